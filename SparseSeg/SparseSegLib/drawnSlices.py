"""Which slices a user has drawn or corrected, and what of an earlier propagation these corrections concern.

Every segment carries a tag with a checksum of each slice as the last propagation left it: those that it filled, and
those that were drawn for it. A slice that holds something else now was drawn by the user, so corrections on a few
slices and a second propagation just work. The tag is saved with the segmentation and taken back by undo.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import vtk

from sparseseg_trainer.slices import to_slices

TAG = "SparseSeg.PropagatedSlices"
Checksums = dict[int, int]  # of each slice that is not empty


@dataclass(frozen=True)
class Written:
    """What the last propagation left in a segment: the ``ends`` it was given, slices ``filled`` and ``drawn``."""

    ends: str = ""
    filled: Checksums = field(default_factory=dict)
    drawn: Checksums = field(default_factory=dict)


def drawnSlices(label: np.ndarray, axis: int, segments: Sequence[vtk.vtkObject]) -> tuple[int, ...]:
    """The slices of ``label`` (k, j, i; value n + 1 is segment n) that the user drew or corrected."""
    drawn = set()
    for segment, current in zip(segments, checksumsOf(label, axis, len(segments)), strict=True):
        written = _read(segment, axis).filled
        drawn |= {index for index in current.keys() | written.keys() if current.get(index) != written.get(index)}
    return tuple(index for index in sorted(drawn) if to_slices(label, axis)[index].any())


def concernedSlices(
    label: np.ndarray, axis: int, segments: Sequence[vtk.vtkObject], drawn: Sequence[int], ends: str
) -> set[int]:
    """The slices that a new propagation may change: those between a change and the ``drawn`` slices around it.

    A change is a slice that was drawn, corrected or erased since the last propagation, or other ``ends``: they concern
    what lies outside all drawn slices. Without any change the whole volume is concerned.
    """
    count = len(to_slices(label, axis))
    changed, otherEnds = set(), False
    for segment, current in zip(segments, checksumsOf(label, axis, len(segments)), strict=True):
        written = _read(segment, axis)
        known = {*drawn, *written.drawn}
        changed |= {index for index in known if current.get(index) != written.drawn.get(index)}
        otherEnds |= written.ends != ends
    fixed = sorted({-1, *drawn, count} - changed)
    concerned = set()
    for before, after in itertools.pairwise(fixed):
        outside = before == -1 or after == count
        if (otherEnds and outside) or any(before < index < after for index in changed):
            concerned |= set(range(before + 1, after))
    return concerned or set(range(count))


def markPropagated(
    label: np.ndarray,
    axis: int,
    segments: Sequence[vtk.vtkObject],
    drawn: Sequence[Checksums],
    byUser: Iterable[int],
    ends: str,
) -> None:
    """Remembers in each segment what a propagation has written: all slices of ``label`` but those ``byUser``.

    ``drawn``: the checksums, for each segment, of the slices that it started from.
    """
    byUser = set(byUser)
    for segment, current, start in zip(segments, checksumsOf(label, axis, len(segments)), drawn, strict=True):
        filled = [f"{index}={checksum:x}" for index, checksum in current.items() if index not in byUser]
        given = [f"{index}!{checksum:x}" for index, checksum in start.items()]
        # No ':' and no '|': they separate the tags in a .seg.nrrd file.
        segment.SetTag(TAG, ";".join([str(axis), ends, *filled, *given]))


def checksumsOf(label: np.ndarray, axis: int, segments: int) -> list[Checksums]:
    """For each segment, the checksum of each slice that is not empty."""
    return [_checksums(label == value, axis) for value in range(1, segments + 1)]


def _checksums(mask: np.ndarray, axis: int) -> Checksums:
    slices = to_slices(mask, axis)
    return {int(index): zlib.crc32(np.packbits(slices[index])) for index in np.flatnonzero(slices.any(axis=(1, 2)))}


def _read(segment, axis: int) -> Written:
    """What the tag says; nothing if it is missing or of another slice axis."""
    text = vtk.reference("")
    if not segment.GetTag(TAG, text):
        return Written()
    writtenAxis, ends, *parts = str(text).split(";")
    if writtenAxis != str(axis):
        return Written()
    return Written(ends, _pairs(parts, "="), _pairs(parts, "!"))


def _pairs(parts: Iterable[str], sign: str) -> Checksums:
    pairs = (part.split(sign) for part in parts if sign in part)
    return {int(index): int(checksum, 16) for index, checksum in pairs}
