"""Which slices a user has drawn or corrected, told from those that an earlier propagation has filled.

Every segment carries a tag with a checksum of each slice that SparseSeg wrote. A slice that holds something
else now was drawn by the user, so corrections on a few slices and a second propagation just work. The tag is
saved with the segmentation and taken back by undo.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import vtk

from sparseseg_trainer.slices import to_slices

TAG = "SparseSeg.PropagatedSlices"


def drawnSlices(label: np.ndarray, axis: int, segments: Sequence[vtk.vtkObject]) -> tuple[int, ...]:
    """The slices of ``label`` (k, j, i; value n + 1 is segment n) that the user drew or corrected."""
    drawn = set()
    for value, segment in enumerate(segments, start=1):
        written = _read(segment, axis)
        current = _checksums(label == value, axis)
        drawn |= {index for index in current.keys() | written.keys() if current.get(index) != written.get(index)}
    return tuple(index for index in sorted(drawn) if to_slices(label, axis)[index].any())


def markPropagated(label: np.ndarray, axis: int, segments: Sequence[vtk.vtkObject], drawn: Iterable[int]) -> None:
    """Remembers in each segment what its slices other than ``drawn`` hold, as written by SparseSeg."""
    for value, segment in enumerate(segments, start=1):
        checksums = _checksums(label == value, axis)
        parts = [f"{index}={checksum:x}" for index, checksum in checksums.items() if index not in set(drawn)]
        # No ':' and no '|': they separate the tags in a .seg.nrrd file.
        segment.SetTag(TAG, ";".join([str(axis), *parts]))


def _checksums(mask: np.ndarray, axis: int) -> dict[int, int]:
    """Checksum of each slice that is not empty."""
    slices = to_slices(mask, axis)
    return {int(index): zlib.crc32(np.packbits(slices[index])) for index in np.flatnonzero(slices.any(axis=(1, 2)))}


def _read(segment, axis: int) -> dict[int, int]:
    """Slice number and checksum from the tag; nothing if it is missing or of another slice axis."""
    text = vtk.reference("")
    if not segment.GetTag(TAG, text):
        return {}
    writtenAxis, *parts = str(text).split(";")
    if writtenAxis != str(axis):
        return {}
    return {int(index): int(checksum, 16) for index, checksum in (part.split("=") for part in parts)}
