"""What a report shows of its cases: which ones, which slices of them, and how they lie on the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects

from . import figures
from .cohort import Case, Cohort
from .errors import InputError
from .matching import read_reference, shown_prediction
from .reporting import Reporter
from .scores import METRICS, CaseScores
from .slices import normalise, slice_axes, slice_axis, slice_spacing, to_slices
from .training.coding import UNCERTAIN
from .volumes import Geometry, read_geometry, read_image, read_label

SLICES = 8  # of a case
PSEUDO_CASES = 4  # whose pseudo labels are shown
MARGIN = 0.15  # around the structures, as a part of their size


@dataclass(frozen=True)
class Picture:
    """A figure of the report: heading, a sentence under it, the legend (text, CSS color), the PNG's bytes."""

    heading: str
    caption: str
    legend: tuple[tuple[str, str], ...]
    png: bytes


def case_pictures(truth: Cohort, predicted: Cohort, scores: list[CaseScores], reporter: Reporter) -> list[Picture]:
    """The cases of worst, median and best Dice, with outlines of reference and prediction."""
    ranked = sorted(scores, key=lambda case: case.value("dice"))
    chosen = {"Worst": ranked[0], "Median": ranked[(len(ranked) - 1) // 2], "Best": ranked[-1]}
    if len(ranked) < 3:
        del chosen["Median"]
    if len(ranked) == 1:
        chosen = {"The only case": ranked[0]}
    cases = {case.name: case for case in truth.cases}
    pictures = []
    for title, case in chosen.items():
        reporter.progress("report", len(pictures) / len(chosen), case.name)
        try:
            png = _draw_case(cases[case.name], predicted)
        except InputError as error:
            reporter.warn(f"No picture: {error.message}")
            continue
        values = ", ".join(f"{name} {case.value(metric):.3g}" for metric, name in METRICS.items())
        caption = case.failure.message if case.failure else values + "."
        legend = (("reference", figures.REFERENCE), ("prediction", figures.PREDICTION))
        pictures.append(Picture(f"{title}: {case.name}", caption, legend, png))
    return pictures


def _draw_case(case: Case, predicted: Cohort) -> bytes:
    reference = read_reference(case)
    prediction = shown_prediction(predicted, reference)
    view = View.of(reference.label, prediction, geometry=reference.geometry, axis=reference.axis)
    contours = [
        (figures.REFERENCE, view.of_volume(reference.label)),
        (figures.PREDICTION, view.of_volume(prediction)),
    ]
    return figures.contour_montage(view.of_image(case), contours, view.titles, view.pixel)


def pseudo_label_pictures(folder: Path, cohort: Cohort, reporter: Reporter, count: int = PSEUDO_CASES) -> list[Picture]:
    """Certain and uncertain pseudo labels (``folder``/CASE.nrrd) of ``count`` cases, on the cohort's images."""
    found = [case for case in cohort.cases if (folder / f"{case.name}.nrrd").is_file()]
    if not found:
        reporter.warn(f"No pseudo labels are shown: {folder} has none for the cases of {cohort.folder}.")
    pictures = []
    for case in (found[index] for index in _spread(0, len(found) - 1, count)):
        reporter.progress("report", 0.5, case.name)
        try:
            png, share = _draw_pseudo_labels(case, folder / f"{case.name}.nrrd")
        except InputError as error:
            reporter.warn(f"No picture: {error.message}")
            continue
        legend = (
            ("certain: the pseudo labels agree", figures.CERTAIN),
            ("uncertain: they differ", figures.UNCERTAIN),
            ("label in the cohort", figures.DRAWN),
        )
        caption = f"{share:.0%} of the labeled voxels are certain."
        pictures.append(Picture(f"Pseudo labels: {case.name}", caption, legend, png))
    return pictures


def _draw_pseudo_labels(case: Case, path: Path) -> tuple[bytes, float]:
    """The montage, and the part of the labeled voxels that is certain."""
    geometry = read_geometry(case.image, case.name)
    axis = slice_axis(geometry, case.axis)
    pseudo = to_slices(read_label(path, geometry, case.name), axis)
    drawn = np.zeros_like(pseudo)
    if case.label is not None:
        drawn = to_slices(read_label(case.label, geometry, case.name), axis)
    view = View.of(pseudo, geometry=geometry, axis=axis)
    shown = view.of_volume(pseudo)
    regions = [
        (figures.CERTAIN, (shown > 0) & (shown <= UNCERTAIN)),
        (figures.UNCERTAIN, shown > UNCERTAIN),
    ]
    png = figures.region_montage(view.of_image(case), regions, view.of_volume(drawn), view.titles, view.pixel)
    labeled = np.count_nonzero(pseudo)
    return png, np.count_nonzero((pseudo > 0) & (pseudo <= UNCERTAIN)) / max(1, labeled)


@dataclass(frozen=True)
class View:
    """The part of a volume that a picture shows: some slices, cut to a box, in the usual orientation."""

    slices: list[int]
    box: tuple[slice, slice]
    flips: tuple[slice, slice]
    geometry: Geometry
    axis: int

    @classmethod
    def of(cls, *labels: np.ndarray, geometry: Geometry, axis: int, count: int = 0) -> View:
        """Slices (``count``, else the usual number) over the extent of ``labels`` (slice, row, column), cut to the
        structures and a margin."""
        labeled = np.logical_or.reduce([label > 0 for label in labels])
        [extent] = find_objects(labeled.view(np.uint8)) or [tuple(slice(0, size) for size in labeled.shape)]
        first, last = extent[0].start, extent[0].stop - 1
        slices = _spread(first, last, count or SLICES)
        box = tuple(_widen(part, size) for part, size in zip(extent[1:], labeled.shape[1:], strict=True))
        return cls(slices, box, _flips(geometry, axis), geometry, axis)

    @property
    def pixel(self) -> tuple[float, float]:
        """Spacing in mm of (row, column)."""
        return slice_spacing(self.geometry, self.axis)[1:]

    @property
    def titles(self) -> list[str]:
        return [f"slice {index}" for index in self.slices]

    def of_volume(self, array: np.ndarray) -> np.ndarray:
        """The part shown of an array (slice, row, column)."""
        return array[(self.slices, *self.box)][(slice(None), *self.flips)]

    def of_image(self, case: Case) -> np.ndarray:
        """The part shown of the case's image, from 0 to 1. Raises InputError as ``read_image`` does."""
        return normalise(self.of_volume(to_slices(read_image(case.image, case.name).array, self.axis)))


def _spread(first: int, last: int, count: int) -> list[int]:
    """At most ``count`` whole numbers, evenly from ``first`` to ``last``; none if they are reversed."""
    return [round(number) for number in np.linspace(first, last, max(0, min(count, last - first + 1)))]


def _widen(part: slice, size: int) -> slice:
    margin = 2 + round(MARGIN * (part.stop - part.start))
    return slice(max(0, part.start - margin), min(size, part.stop + margin))


def _flips(geometry: Geometry, axis: int) -> tuple[slice, slice]:
    """Turns slices as radiologists view them: rows to back or feet, columns to left or back."""
    matrix = np.reshape(geometry.direction, (3, 3))  # column a: where axis a points, in L, P, S
    _, row_axis, column_axis = slice_axes(axis)
    flips = []
    for index, wanted in ((row_axis, (1, 1, -1)), (column_axis, (1, 1, 1))):
        main = int(np.argmax(np.abs(matrix[:, index])))
        flips.append(slice(None, None, 1 if matrix[main, index] * wanted[main] > 0 else -1))
    return tuple(flips)
