"""What a training leaves beside the weights: curves, model card, fused pseudo labels, figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ..cohort import Cohort
from ..cohort_grid import unpad
from ..files import csv_text, whole_file, write_text
from ..model_info import ModelInfo
from ..slices import from_slices
from ..volumes import read_geometry, write_label
from .coding import UNCERTAIN
from .data import PreparedCase
from .keys import PSEUDO_LABELED
from .loop import Run


def write_curves(out: Path, curves: list[dict]) -> None:
    """``training.csv``: stage, epoch, loss, learning_rate, dice; and ``training.png`` where matplotlib is installed."""
    columns = ("stage", "epoch", "loss", "learning_rate", "dice")
    write_text(out / "training.csv", csv_text([columns, *([row.get(name) for name in columns] for row in curves)]))
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    figure = Figure(figsize=(6, 6), layout="constrained")
    for axes, value in zip(figure.subplots(2, sharex=True), ("loss", "dice"), strict=True):
        for stage in dict.fromkeys(row["stage"] for row in curves if value in row):
            rows = [row for row in curves if row["stage"] == stage]
            axes.plot([row["epoch"] for row in rows], [row.get(value) for row in rows], label=stage)
        axes.set(xlabel="epoch", ylabel=value)
        axes.legend()
    with whole_file(out / "training.png") as file:
        figure.savefig(file, dpi=150)


def write_pseudo_labels(run: Run, cohort: Cohort, folder: Path) -> None:
    """The fused labels of each case on its image's grid, 1..C certain and 101..100+C uncertain class numbers.

    Not the label values of the user's files, which may need all 16 bits (see ``coding``). They are shown, not measured:
    values are copied from the nearest pixel of the working grid.
    """
    fused_file = run.folder / "fused.safetensors"
    if not fused_file.exists():  # a method without fusion
        return
    fused = load_file(fused_file)["fused"].numpy()
    images = {case.name: case.image for case in cohort.cases}
    for done, case in enumerate(run.data.cases):
        run.reporter.progress("write", done / len(run.data.cases), case.name)
        labels = _on_image(fused[case.start : case.stop], case)
        geometry = read_geometry(images[case.name], case.name)
        write_label(folder / f"{case.name}.nrrd", from_slices(labels, case.axis), geometry)


def _on_image(labels: np.ndarray, case: PreparedCase) -> np.ndarray:
    inner = torch.from_numpy(unpad(labels, case.size))[:, None].float()
    return torch.nn.functional.interpolate(inner, case.original, mode="nearest-exact")[:, 0].to(torch.uint8).numpy()


def _pseudo_label_note(info: ModelInfo) -> str:
    """How to read the files in pseudo_labels, where there are some."""
    settings = info.training["settings"]
    if settings["method"] not in PSEUDO_LABELED or not settings["pseudo_labels"]:
        return ""
    classes = ", ".join(f"{number} {label.name}" for number, label in enumerate(info.labels, 1))
    several = f";\n{UNCERTAIN} more where the two sources of pseudo labels disagree"
    return f"""The folder `pseudo_labels` holds what the network was taught as class numbers, not label
values: {classes}{several if settings["method"] == "collaborative" else ""}.

"""


def _view_note(info: ModelInfo) -> str:
    if not info.field_of_view:
        return ""
    return f" if the field of view is {info.field_of_view:.0f} mm, which is assumed whatever the spacing in the file"


def _region_note(info: ModelInfo) -> str:
    if not info.region:
        return ""
    pairs = zip(info.region, info.spacing, strict=True)
    height, width = (f"{side * spacing:.0f} mm" if side else "all" for side, spacing in pairs)
    return f"""- It looks only at {height} x {width} (rows x columns) around the center of a slice, where
  what was drawn lay in all volumes that it has learned from. If it may lie elsewhere, train with `region=whole`.
"""


def _figures_note(info: ModelInfo) -> str:
    """What was measured, and what it is worth."""
    figures = info.figures
    drawn = f"- Dice on the drawn slices themselves: {figures['drawn_slices_dice']:.3f}."
    if "validation_dice" not in figures:
        return f"""{drawn} This is no estimate for new
  volumes: compare with full labels of volumes that were not used here (`sparseseg evaluate`).
"""
    aside = f"{figures['validation_dice']:.3f} (cases kept aside: {len(figures['validation'])})"
    return f"""{drawn}
- Dice on the drawn slices of volumes that were not trained on: {aside}.
  A few slices tell little about whole volumes: compare with full labels too (`sparseseg evaluate`).
"""


def model_card(info: ModelInfo) -> str:
    """README.md of the model folder."""
    notes, labels = info.training, ", ".join(f"{label.name} ({label.value})" for label in info.labels)
    settings = notes["settings"]
    axis = "the axis of largest spacing" if info.axis is None else f"the image's axis {'ijk'[info.axis]}"
    return f"""# A SparseSeg segmentation model

Segments: {labels}. Made for images like those it was trained on. Check every result before you rely on it: this is
no medical device.

- Method `{settings["method"]}`, preset `{settings["preset"]}`, seed {settings["seed"]}, {notes["seconds"]:.0f} s.
- Trained on {len(notes["cases"])} volumes with {notes["drawn_slices"]} labeled slices.
- Slices along {axis}, {info.spacing[0]:.3f} x {info.spacing[1]:.3f} mm a pixel{_view_note(info)}.
{_region_note(info)}{_figures_note(info)}
{_pseudo_label_note(info)}\
Use: `sparseseg segment VOLUMES --model THIS_FOLDER --out RESULT`. All settings are in `model.json`, the loss curves in
`training.csv`.
"""
