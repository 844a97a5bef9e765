"""Job ``train``: a cohort of sparsely labelled volumes -> a model folder."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch

from ..cohort import Cohort, read_cohort
from ..cohort_grid import BRIGHTNESS
from ..devices import choose_device
from ..errors import InputError
from ..files import write_text
from ..models import ModelInfo, save_model
from ..reporting import Reporter
from ..segmentation_network import NetworkShape
from ..settings import to_dict
from ..slices import slice_axis
from ..volumes import read_geometry
from .data import PreparedCohort, prepare
from .loop import Run
from .memory import available_bytes, training_bytes
from .methods import central_only, collaborative, full
from .outputs import drawn_dice, model_card, write_curves, write_pseudo_labels
from .presets import resolve
from .settings import TrainSettings
from .supervised import network_shape

METHODS = {"collaborative": collaborative.train, "central_only": central_only.train, "full": full.train}


def train(
    cohort: Path,
    out: Path,
    settings: TrainSettings | None = None,
    reporter: Reporter | None = None,
    resume: bool = False,
) -> dict:
    """Train a model on the cohort in folder ``cohort`` and write it to the folder ``out``.

    ``resume`` continues from the last checkpoint, if there is one, of a training with the same settings that was
    killed or cancelled. Returns a summary with "cases", "failed", "model", "seconds", "memory_bytes".
    Raises ``InputError`` for settings, cohorts and checkpoints that do not fit, and ``Cancelled``.
    """
    reporter = reporter or Reporter()
    settings = resolve(settings or TrainSettings())
    out, started = Path(out), time.monotonic()
    work = out / "checkpoint"
    if resume and not work.exists() and (out / "summary.json").exists():
        return json.loads((out / "summary.json").read_text(encoding="utf-8"))
    (out / "summary.json").unlink(missing_ok=True)
    device = choose_device(settings.device)
    source = read_cohort(cohort)
    data = prepare(source, work / "data", settings.pixels, reporter)
    if not settings.absence:
        data.forget_absence()
    _start_checkpoint(work, settings, data, resume)
    device, needed = _fitting_device(device, settings, data, reporter)
    run = Run(data.to(device), settings, device, work, reporter, [])
    _check_known(run)
    network = METHODS[settings.method](run)

    figures = {"drawn_slices_dice": drawn_dice(run, network)}
    summary = {
        "cases": len(data.cases),
        "failed": [asdict(failure) for failure in data.failed],
        "model": str(out),
        "seconds": round(time.monotonic() - started, 1),
        "memory_bytes": needed,
        **figures,
    }
    info = _info(run, source, network_shape(run), summary, figures)
    write_curves(out, run.curves)
    if settings.pseudo_labels:
        write_pseudo_labels(run, source, out / "pseudo_labels")
    save_model(out, network, info, model_card(info))
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    shutil.rmtree(work)
    return summary


def _start_checkpoint(work: Path, settings: TrainSettings, data: PreparedCohort, resume: bool) -> None:
    """Check that the checkpoints belong to this training, or remove them."""
    described = json.loads(json.dumps({"settings": to_dict(settings), "data": data.fingerprint}))
    notes = work / "training.json"
    if resume and notes.exists():
        if json.loads(notes.read_text(encoding="utf-8")) != described:
            raise InputError(
                "other_training",
                f"The checkpoint in {work} belongs to a training with other settings or another cohort.",
                "Resume with the settings it was started with, or start again without resuming.",
            )
        return
    for file in [*work.glob("*.safetensors"), notes]:
        file.unlink(missing_ok=True)
    write_text(notes, json.dumps(described))


def _fitting_device(device: torch.device, settings: TrainSettings, data: PreparedCohort, reporter: Reporter):
    """The device, or the CPU if the training would not fit, and the estimated bytes; refuses what fits nowhere."""
    rows, columns = data.grid.shape
    slices = 3 * data.images.numel()  # images, drawn and fused labels, a byte each
    needed = training_bytes(rows * columns, settings) + slices
    if device.type == "cuda" and needed > available_bytes(device):
        reporter.warn("The training does not fit into the GPU's memory: it runs on the CPU, which takes longer.")
        device = torch.device("cpu")
    if needed > available_bytes(device):
        raise InputError(
            "not_enough_memory",
            f"The training needs about {needed / 2**30:.1f} GB, more than the {available_bytes(device) / 2**30:.1f} GB "
            "that are free.",
            "Choose the preset fast, a smaller batch or fewer pixels, or close other programs.",
        )
    return device, needed


def _check_known(run: Run) -> None:
    if not len(run.data.drawn):
        raise InputError(
            "nothing_drawn", "No slice of the cohort has a label.", "Draw the structure on one slice of each volume."
        )


def _info(run: Run, source: Cohort, shape: NetworkShape, summary: dict, figures: dict) -> ModelInfo:
    settings = run.settings
    return ModelInfo(
        network=shape,
        labels=tuple(source.labels),
        spacing=run.data.grid.spacing,
        axis=_common_axis(run.data, source),
        brightness=BRIGHTNESS,
        flips=settings.test_flips,
        largest_component=settings.largest_component,
        smoothing=settings.smoothing,
        training={
            "settings": to_dict(settings),
            "cases": [case.name for case in run.data.cases],
            "drawn_slices": len(run.data.drawn),
            "seconds": summary["seconds"],
            "torch": torch.__version__,
        },
        figures=figures,
    )


def _common_axis(data: PreparedCohort, source: Cohort) -> int | None:
    """None if every case was cut along its axis of largest spacing, else the axis that most were cut along."""
    axes = {case.name: case.axis for case in data.cases}
    default = {
        case.name: slice_axis(read_geometry(case.image, case.name)) for case in source.cases if case.name in axes
    }
    if axes == default:
        return None
    chosen = list(axes.values())
    return max(set(chosen), key=chosen.count)
