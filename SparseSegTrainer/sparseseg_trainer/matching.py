"""A reference case and the prediction that belongs to it, read on one grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cohort import Case, Cohort
from .errors import InputError
from .slices import slice_axis, slice_spacing, to_slices
from .volumes import Geometry, read_geometry, read_label


@dataclass
class Reference:
    """A dense label, (slice, row, column), and its grid; ``spacing`` in mm in the same order."""

    case: Case
    label: np.ndarray
    geometry: Geometry
    axis: int

    @property
    def spacing(self) -> tuple[float, float, float]:
        return slice_spacing(self.geometry, self.axis)


def read_reference(case: Case) -> Reference:
    """The dense label of ``case``.

    Raises InputError ("no_label", "sparse_reference" and those of ``read_label``).
    """
    if case.label is None:
        raise InputError("no_label", f"Case {case.name} has no reference.", "Give its label in cohort.csv.")
    geometry = read_geometry(case.image, case.name)
    axis = slice_axis(geometry, case.axis)
    label = to_slices(read_label(case.label, geometry, case.name), axis)
    if case.annotated_slices is not None and len(case.annotated_slices) < len(label):
        drawn = len(case.annotated_slices)
        raise InputError(
            "sparse_reference",
            f"Case {case.name}: only {drawn} of {len(label)} slices of the reference are drawn.",
            "Give a reference with every slice drawn, and leave annotated_slices empty.",
        )
    return Reference(case, label, geometry, axis)


def read_prediction(predictions: Cohort, reference: Reference) -> np.ndarray:
    """The predicted label, (slice, row, column), on the grid of its reference.

    Raises InputError ("missing_prediction", "other_grid" and the others of ``read_label``).
    """
    name = reference.case.name
    case = next((case for case in predictions.cases if case.name == name), None)
    if case is None or case.label is None:
        for failure in predictions.failed:
            if failure.case == name:
                raise InputError(failure.code, failure.message, failure.advice)
        raise InputError(
            "missing_prediction",
            f"Case {name} has no prediction in {predictions.folder}; it counts with an overlap of 0.",
            "Segment this case too, or leave it out of the reference.",
        )
    return to_slices(read_label(case.label, reference.geometry, name), reference.axis)


def shown_prediction(predictions: Cohort, reference: Reference) -> np.ndarray:
    """As ``read_prediction``; empty where that raises: the tables count the case, its reference alone is shown."""
    try:
        return read_prediction(predictions, reference)
    except InputError:
        return np.zeros_like(reference.label)
