"""The figures of a benchmark's report, as its plan asks for them. Needs matplotlib."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..cohort import read_cohort
from ..errors import InputError
from ..figures import DRAWN, REFERENCE, contour_montage
from ..matching import read_reference, shown_prediction
from ..pictures import Picture, View, pseudo_label_pictures
from ..reporting import Reporter
from ..scores import ALL_METRICS
from . import charts
from .cohorts import DataFolder
from .plan import FigurePlan, Plan
from .results import Row

SLICES = 5  # of a case
PSEUDO_CASES = 2  # whose pseudo labels are shown, of every method


def make_pictures(plan: Plan, data: DataFolder, rows: list[Row], out: Path, reporter: Reporter) -> list[Picture]:
    """The plan's figures for one data set, of the ``rows`` that there are."""
    pictures = []
    for wanted in plan.figures:
        names = plan.row_names(wanted.methods)
        shown = [row for name in names for row in rows if row.name == name]
        reporter.progress("report", 0, f"{data.data.name}: {wanted.kind}")
        if shown:
            compare = next((row for row in rows if row.name == plan.compare), None)
            pictures += _pictures(wanted, data, shown, compare, out, reporter)
    return pictures


def _pictures(
    wanted: FigurePlan, data: DataFolder, rows: list[Row], compare: Row | None, out: Path, reporter: Reporter
) -> list[Picture]:
    name, metric = data.data.name, ALL_METRICS[wanted.metric]
    if wanted.kind == "slices":
        return _slices(wanted, data, rows, compare or rows[-1], out, reporter)
    if wanted.kind == "pseudo_labels":
        return _pseudo_labels(wanted, data, rows, out, reporter)
    spread = "Mean and standard deviation over the cases."
    if wanted.kind == "positions":
        heading, png = "Dice by the slice's position", charts.positions(rows, out)
        caption = f"Mean over the cases, in {charts.BINS} parts of the extent that the reference has."
    elif wanted.kind == "curve":
        heading, caption = f"{metric} by {wanted.setting}", spread
        png = charts.curve(rows, wanted.setting, wanted.metric)
    else:
        heading, png = metric, charts.bars(rows, wanted.metric, compare)
        caption = spread + (f" *: p < {charts.SIGNIFICANT} against {compare.name}." if compare else "")
    return [Picture(f"{wanted.title or heading}: {name}", caption, (), png)] if png else []


def _slices(
    wanted: FigurePlan, data: DataFolder, rows: list[Row], ranked_by: Row, out: Path, reporter: Reporter
) -> list[Picture]:
    """The cases of median and worst Dice in the row ``ranked_by``: a line of slices for each of ``rows``."""
    ranked = sorted(ranked_by.cases, key=lambda case: case.value("dice"))
    chosen = {"median": ranked[(len(ranked) - 1) // 2].name, "worst": ranked[0].name}
    pictures = []
    for which, name in chosen.items():
        if which == "worst" and name == chosen["median"]:
            continue
        try:
            png, shown = _methods_montage(data, rows, name, out)
        except InputError as error:
            reporter.warn(f"No picture: {error.message}")
            continue
        heading = f"{wanted.title or 'Slices'}: {data.data.name}, {name}"
        dice = ", ".join(f"{row.name} {_dice(row, name):.3f}" for row in shown)
        caption = f"The case of {which} Dice by {ranked_by.name}. Dice: {dice}."
        legend = (("reference", REFERENCE), ("prediction", DRAWN))
        pictures.append(Picture(heading, caption, legend, png))
    return pictures


def _dice(row: Row, name: str) -> float:
    return next(case.value("dice") for case in row.cases if case.name == name)


def _methods_montage(data: DataFolder, rows: list[Row], name: str, out: Path) -> tuple[bytes, list[Row]]:
    """The montage of a case, a line for each of the rows that have measured it, and these rows."""
    reference = read_reference(next(case for case in data.cases if case.name == name))
    view = View.of(reference.label, geometry=reference.geometry, axis=reference.axis, count=SLICES)
    image, truth = view.of_image(reference.case), view.of_volume(reference.label)
    shown, predictions, titles = [], [], []
    for row in rows:
        cell = next((cell for cell in row.done if name in cell.fold.test), None)
        if cell is None:
            continue
        shown.append(row)
        predictions.append(view.of_volume(shown_prediction(read_cohort(cell.folder(out) / "segmented"), reference)))
        titles += [f"{row.name}\n{title}" if place == 0 else title for place, title in enumerate(view.titles)]
    contours = [(REFERENCE, np.concatenate([truth] * len(shown))), (DRAWN, np.concatenate(predictions))]
    png = contour_montage(np.concatenate([image] * len(shown)), contours, titles, view.pixel, len(view.slices))
    return png, shown


def _pseudo_labels(
    wanted: FigurePlan, data: DataFolder, rows: list[Row], out: Path, reporter: Reporter
) -> list[Picture]:
    """What the methods that make labels of whole volumes have taught their networks."""
    pictures = []
    for row in rows:
        cell = row.shown_cell()
        folder = cell.folder(out) / "model/pseudo_labels"
        if folder.is_dir():
            cohort = read_cohort(data.training(cell.scheme, cell.fold, reporter))
            for picture in pseudo_label_pictures(folder, cohort, reporter, PSEUDO_CASES):
                title = f"{wanted.title}: " if wanted.title else ""
                pictures.append(replace(picture, heading=f"{title}{data.data.name}, {row.name}, {picture.heading}"))
    return pictures
