"""One case as slices: its normalised image, and what its user has said about some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError
from .slices import normalise, slice_axes, slice_axis, slice_spacing, to_slices
from .volumes import Geometry, read_image, read_label

if TYPE_CHECKING:
    from .case import Case

OUTERMOST = 0.035  # part of the slices at either end that is taken as background: 3 of 88


@dataclass
class SparseVolume:
    """A case in memory. Slices are counted along ``axis``, the image's i, j or k (0, 1, 2).

    ``image`` (S, H, W) is float32 from 0 to 1. ``label`` (S, H, W) holds class indices on the ``annotated``
    slices and on the ``others``, and 0 elsewhere: 0 is background, c the class whose label value in files is
    ``values[c - 1]``; uint8 up to 255 classes, None if the case has no label. ``others`` were drawn across another
    axis: (1, n) is row n and (2, n) column n of all slices. ``first`` and ``last`` are its end slices where marked.
    ``spacing`` is in mm, (slice, row, column); ``geometry`` is that of the file.
    """

    case: Case
    image: np.ndarray
    label: np.ndarray | None
    annotated: tuple[int, ...]
    first: int | None
    last: int | None
    axis: int
    geometry: Geometry
    spacing: tuple[float, float, float]
    values: tuple[int, ...] = ()
    others: tuple[tuple[int, int], ...] = ()

    def absent(self, margin_fraction: float = OUTERMOST, absence: bool = True) -> np.ndarray:
        """Which slices (S,) bool are known to be background though nobody drew on them.

        Those beyond the marked first and last slice. Where one is not marked and ``absence`` is set: the outermost
        slices on its side (the fraction of all, at least one) as far out as nothing is drawn, unless the user said
        that the structure reaches them.
        """
        count = len(self.image)
        margin = max(1, round(margin_fraction * count)) if absence else 0
        drawn = [*self.annotated, *(np.flatnonzero(self.label.any((1, 2))) if self.others else ())]
        start = 0 if self.case.reaches_first else min([margin, *drawn])
        stop = count if self.case.reaches_last else max([count - margin, *(index + 1 for index in drawn)])
        absent = np.zeros(count, bool)
        absent[: start if self.first is None else self.first] = True
        absent[stop if self.last is None else self.last + 1 :] = True
        return absent

    def file_values(self, label: np.ndarray) -> np.ndarray:
        """Turns class indices of any shape into the label values of the user's files."""
        values = np.array((0, *self.values))
        return values.astype(np.uint8 if values.max() < 256 else np.uint16)[label]


def load_case(case: Case, need_label: bool = True) -> SparseVolume:
    """Reads a case and checks it; without ``need_label`` a case may have no label.

    Raises InputError: those of ``read_image`` and ``read_label``, and "no_label", "empty_label",
    "unknown_label", "slice_out_of_range", "bad_axis", "bad_extent".
    """
    volume = read_image(case.image, case.name)
    geometry = volume.geometry
    if case.axis not in (None, 0, 1, 2):
        raise InputError(
            "bad_axis",
            f"Case {case.name}: there is no slice axis {case.axis}.",
            "Choose 0, 1 or 2 for the image's i, j or k.",
        )
    axis = slice_axis(geometry, case.axis)
    label, annotated, values, others = None, (), (), ()
    if case.label is not None:
        found, annotated = read_drawn_slices(case, geometry, axis)
        others = _others(case, axis)
        values = _known_values(case, found)
        label = _class_indices(found, values, case)
    elif need_label:
        raise InputError(
            "no_label",
            f"Case {case.name} has no label.",
            "Draw the structure on one slice, and give that label map as the label of the case.",
        )
    else:
        _check_slices(case, geometry, axis)
        _check_extent(case, case.annotated_slices or (), geometry.size[axis])
    return SparseVolume(
        case=case,
        image=normalise(np.ascontiguousarray(to_slices(volume.array, axis))),
        label=label,
        annotated=annotated,
        first=case.first_slice,
        last=case.last_slice,
        axis=axis,
        geometry=geometry,
        spacing=slice_spacing(geometry, axis),
        values=values,
        others=others,
    )


def read_drawn_slices(case: Case, geometry: Geometry, axis: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """The label values (S, H, W) on the annotated slices and those across other axes, 0 elsewhere, and the former.

    All slices with a label count as annotated where the case lists none. Raises as ``load_case`` does.
    """
    _check_slices(case, geometry, axis)
    array = np.ascontiguousarray(to_slices(read_label(case.label, geometry, case.name), axis))
    drawn = array.any(axis=(1, 2))
    annotated = case.annotated_slices
    if annotated is None:
        annotated = tuple(int(index) for index in np.flatnonzero(drawn))
    _check_extent(case, annotated, len(array))
    lines = [(slice(None),) * dimension + (index,) for dimension, index in _others(case, axis)]
    across = [array[line].copy() for line in lines]
    empty = [index for index in annotated if not drawn[index]]
    if empty or not (annotated or any(line.any() for line in across)):
        where = f"is empty on slice {empty[0]}, which is listed as annotated" if empty else "is empty"
        if case.annotated_slices == () and not lines:
            where = "has no annotated slice"
        some = ", ".join(map(str, np.flatnonzero(drawn)[:5])) or "none"
        raise InputError(
            "empty_label",
            f"Case {case.name}: the label {case.label} {where} (along axis {axis}; labeled slices: {some}).",
            "Draw the structure there, or correct the slice number (counted from 0).",
        )
    unknown = np.ones(len(array), bool)
    unknown[list(annotated)] = False
    array[unknown] = 0
    for line, values in zip(lines, across, strict=True):
        array[line] = values
    return array, annotated


def _others(case: Case, axis: int) -> tuple[tuple[int, int], ...]:
    """``Case.other_slices`` as rows (1, number) and columns (2, number) of slices along ``axis``."""
    return tuple((slice_axes(axis).index(along), number) for along, number in case.other_slices)


def _check_slices(case: Case, geometry: Geometry, axis: int) -> None:
    """Raises InputError if a slice number of ``case`` does not fit its volume, whose slices are along ``axis``."""
    marks = [("first slice", case.first_slice), ("last slice", case.last_slice)]
    numbers = [(f"annotated slice {index}", axis, index) for index in case.annotated_slices or ()]
    numbers += [(f"{name} {index}", axis, index) for name, index in marks if index is not None]
    for along, index in case.other_slices:
        if along not in slice_axes(axis)[1:]:
            raise InputError(
                "bad_axis",
                f"Case {case.name}: the other slice {along}:{index} has to lie along another axis than {axis}.",
                "List it as an annotated slice, or correct its axis (0, 1 or 2).",
            )
        numbers.append((f"other slice {along}:{index}", along, index))
    for name, along, index in numbers:
        if not 0 <= index < geometry.size[along]:
            raise InputError(
                "slice_out_of_range",
                f"Case {case.name}: the {name} is not one of the volume's slices 0 to {geometry.size[along] - 1}.",
                "Correct the slice number (counted from 0) or the axis.",
            )


def _check_extent(case: Case, annotated: Sequence[int], count: int) -> None:
    """Raises InputError if the marked ends of ``case``, which has ``count`` slices, leave out an annotated slice."""
    first = 0 if case.first_slice is None else case.first_slice
    last = count - 1 if case.last_slice is None else case.last_slice
    outside = [index for index in annotated if not first <= index <= last]
    if first > last or outside:
        what = "the first slice comes after the last in"
        if first <= last:
            what = f"the annotated slice {outside[0]} lies outside"
        raise InputError(
            "bad_extent",
            f"Case {case.name}: {what} the marked extent {first} to {last}.",
            "Correct the first and the last slice of the structure (counted from 0), or the drawing.",
        )


def _known_values(case: Case, found: np.ndarray) -> tuple[int, ...]:
    """The label values of the case's cohort, or those ``found`` in a case that stands alone."""
    if case.cohort is not None:
        return case.cohort.values
    return label_values(found)


def label_values(array: np.ndarray) -> tuple[int, ...]:
    """The values in ``array`` without 0, sorted."""
    return tuple(int(value) for value in np.flatnonzero(np.bincount(array.ravel())) if value)


def _class_indices(found: np.ndarray, values: tuple[int, ...], case: Case) -> np.ndarray:
    unknown = sorted(set(label_values(found)) - set(values))
    if unknown:
        raise InputError(
            "unknown_label",
            f"Case {case.name}: the label {case.label} has the value {unknown[0]}, missing in labels.json.",
            "Add it to labels.json, or correct the label.",
        )
    table = np.zeros(max(values) + 1, np.uint8 if len(values) < 256 else np.uint16)
    table[list(values)] = np.arange(1, len(values) + 1)
    return table[found]
