"""Job ``train``: a cohort of sparsely labelled volumes -> a model folder."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from ..case_loop import summary_of
from ..cohort import Cohort, read_cohort, refuse_same_folder
from ..cohort_grid import BRIGHTNESS
from ..devices import choose_device
from ..errors import InputError, out_of_memory
from ..files import write_text
from ..model_info import SUFFIX, ModelInfo
from ..models import pack_model, save_model
from ..reporting import Reporter
from ..settings import to_dict
from ..slices import slice_axis
from ..volumes import read_geometry
from .data import PreparedCohort, fingerprint, prepare
from .keys import PSEUDO_LABELED, VOXELWISE, Method, learns_from_whole_volumes
from .loop import Run
from .memory import available_bytes, fitting_device
from .methods import full
from .outputs import model_card, write_curves, write_pseudo_labels
from .resolving import asks_for_views, resolve
from .settings import TrainSettings
from .stage_times import CohortSize, stage_seconds
from .validation import figures as measured_figures
from .validation import keep_aside, shown, write_picture
from .views_training import final_shape

# What a training leaves in its folder besides model.json
WRITTEN = ("weights.safetensors", "training.csv", "training.png", "check.png", "README.md", "pseudo_labels")
METHODS = {key: importlib.import_module(f".methods.{key}", __package__).train for key in get_args(Method)}


def train(
    cohort: Path,
    out: Path,
    settings: TrainSettings | None = None,
    reporter: Reporter | None = None,
    resume: bool = False,
) -> dict:
    """Train a model on the cohort in folder ``cohort`` and write it to the folder ``out``.

    If ``out`` ends in .sparseseg, the folder has that name without the suffix, and is packed into ``out``. ``resume``
    continues from the last checkpoint, if there is one, of a training with the same settings that was killed or
    cancelled; without it a folder that holds one, or a model, is refused. Returns a summary with "cases", "failed",
    "model", "seconds", "memory_bytes".
    Raises ``InputError`` for settings, cohorts and folders that do not fit, and ``Cancelled``.
    """
    out = Path(out)
    if out.suffix == SUFFIX and not out.is_dir():
        if out.exists() and not resume:
            raise _in_use(out, "a model")
        summary = train(cohort, out.with_suffix(""), settings, reporter, resume)
        pack_model(out.with_suffix(""), out)
        return summary | {"model": str(out)}
    reporter, started = reporter or Reporter(), time.monotonic()
    settings = resolve(settings or TrainSettings())
    work, finished = out / "checkpoint", out / ".finished"
    shutil.rmtree(finished, ignore_errors=True)
    device = choose_device(settings.device)
    source = read_cohort(cohort)
    refuse_same_folder(source.folder, out)
    whole = learns_from_whole_volumes(settings.method, settings.dimensions)
    if whole or settings.method == "full":
        full.check_dense(source, settings.method)
    if settings.method not in VOXELWISE:
        source.forget_other_slices(f"The method {settings.method}", reporter)
    described = _described(settings, source)
    if resume and not work.exists() and (out / "summary.json").exists():
        return _finished_summary(out / "summary.json", described)
    _start_checkpoint(out, work, described, resume)
    (out / "summary.json").unlink(missing_ok=True)
    source, aside = keep_aside(source, settings.validation, settings.seed)
    how = {"size_by": settings.size_by, "region": settings.region, "need_label": not whole}
    data = prepare(source, work / "data", settings.pixels, reporter, **how)
    if not settings.absence:
        data.forget_absence()
    device, needed = _fitting_device(device, settings, data, reporter)
    run = Run(data.to(device), settings, device, work, reporter, [])
    if aside:
        run.aside = prepare(aside, work / "aside", settings.pixels, reporter, data.grid)
    _check_known(run)
    run.expected = _expected(run)
    network = METHODS[settings.method](run)

    seen = shown(run, network)
    figures = measured_figures(run, network, seen)
    seconds = round(time.monotonic() - started, 1)
    _write_model(run, source, network, seconds, figures, out)
    write_picture(seen, out)
    fields = {"model": str(out), "seconds": seconds, "memory_bytes": needed}
    summary = summary_of(len(data.cases), data.failed + (run.aside.failed if aside else []), **fields, **figures)
    write_text(out / "summary.json", json.dumps(summary | {"training": described}, indent=2) + "\n")
    with contextlib.suppress(OSError):  # Windows keeps it while slices are mapped from it
        os.replace(work, finished)  # at once: a half-removed checkpoint folder would look like one to resume from
    shutil.rmtree(finished, ignore_errors=True)
    return summary


def _described(settings: TrainSettings, cohort: Cohort) -> dict:
    """What makes a training the same one, as JSON has it."""
    return json.loads(json.dumps({"settings": to_dict(settings), "data": fingerprint(cohort, settings.pixels)}))


def _finished_summary(file: Path, described: dict) -> dict:
    """The summary that a finished training left. Raises InputError if it was another training."""
    summary = json.loads(file.read_text(encoding="utf-8"))
    _check_same(summary.pop("training", None), described, file.parent)
    return summary


def _check_same(before: dict | None, described: dict, folder: Path) -> None:
    if before != described:
        raise InputError(
            "other_training",
            f"The training in {folder} had other settings or another cohort.",
            "Resume with the settings and files it was started with, or start again without resuming.",
        )


def _start_checkpoint(out: Path, work: Path, described: dict, resume: bool) -> None:
    """Note which training it is. Raises InputError if ``out`` holds another one, or anything that would be lost."""
    notes, begun = work / "training.json", any(work.glob("*.safetensors"))
    if begun and not resume:
        raise _in_use(out, "an unfinished training")
    if (out / "model.json").exists() and not begun:
        raise _in_use(out, "a model")
    if not notes.exists():
        _refuse_others(out, work)
    if begun and notes.exists():
        _check_same(json.loads(notes.read_text(encoding="utf-8")), described, work)
    else:
        write_text(notes, json.dumps(described))


def _refuse_others(out: Path, work: Path) -> None:
    """Raises InputError ("folder_in_use") if ``out``, where no training was begun, holds what one would replace."""
    lost = [name for name in WRITTEN if (out / name).exists()]
    if lost or (work.is_dir() and any(work.iterdir())):
        raise InputError(
            "folder_in_use",
            f"{out} holds {lost[0] if lost else work.name}, which belongs to no training and would be lost.",
            "Choose another folder for the model.",
        )


def _in_use(out: Path, what: str) -> InputError:
    return InputError(
        "model_exists",
        f"{out} holds {what} already.",
        'Resume it (--resume; in a job "resume": true), choose another name, or delete what is there.',
    )


def _fitting_device(wanted: torch.device, settings: TrainSettings, data: PreparedCohort, reporter: Reporter):
    """As ``fitting_device``, which the user is told of; refuses what fits nowhere."""
    counts = [case.stop - case.start for case in data.cases]
    device, needed = fitting_device(settings, counts, data.grid.shape, data.classes, wanted)
    if device != wanted:
        reporter.warn("The training does not fit into the GPU's memory: it runs on the CPU, which takes longer.")
    if needed > available_bytes(device):
        raise InputError(
            "not_enough_memory",
            f"The training needs about {needed / 2**30:.1f} GB, more than the {available_bytes(device) / 2**30:.1f} GB "
            "that are free.",
            "Choose the preset fast, a smaller batch (and overview_batch) or fewer pixels, or close other programs.",
        )
    return device, needed


def _check_known(run: Run) -> None:
    if not len(run.data.drawn):
        where = " along its own axis" if any(case.labelled for case in run.data.cases) else ""
        raise InputError(
            "nothing_drawn",
            f"No slice of the cohort has a label{where}.",
            f"Draw the structure on one slice of each volume{where}.",
        )


def _expected(run: Run) -> dict[str, float]:
    """Seconds of the stages, to say when all of them will have ended; nothing where there is only one."""
    data, settings = run.data, run.settings
    if settings.method not in PSEUDO_LABELED and not asks_for_views(settings):
        return {}
    size = CohortSize(data.classes, len(data.cases), len(data.labels), len(data.drawn), data.grid)
    try:
        return stage_seconds(settings, size, run.device, run.reporter)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return {}  # the training itself gets by with less


def _write_model(run: Run, source: Cohort, network: nn.Module, seconds: float, figures: dict, out: Path) -> None:
    """Curves, pseudo labels and the model itself."""
    info = _info(run, source, network, seconds, figures)
    write_curves(out, run.curves)
    if run.settings.pseudo_labels:
        write_pseudo_labels(run, source, out / "pseudo_labels")
    save_model(out, network, info, model_card(info))


def _info(run: Run, source: Cohort, network: nn.Module, seconds: float, figures: dict) -> ModelInfo:
    settings, grid = run.settings, run.data.grid
    names = [case.name for case in run.data.cases]
    across = sum(len(case.other_slices) for case in source.cases if case.name in names)
    return ModelInfo(
        network=final_shape(run, network),
        labels=tuple(source.labels),
        spacing=grid.spacing,
        field_of_view=grid.field_of_view,
        region=_region(run.data),
        axis=_common_axis(run.data, source),
        brightness=BRIGHTNESS,
        flips=settings.test_flips,
        largest_component=settings.largest_component,
        fill_holes=settings.fill_holes,
        smoothing=settings.smoothing,
        training={
            "settings": to_dict(settings),
            "cases": names,
            "drawn_slices": len(run.data.drawn) + across,
            "seconds": seconds,
            "torch": torch.__version__,
        },
        figures=figures,
    )


def _region(data: PreparedCohort) -> tuple[int | None, int | None] | None:
    """Rows and columns that a model looks at: all of those of which no slice learned from has lost some."""
    if not data.grid.partial:
        return None
    sides = enumerate(data.grid.shape)
    region = tuple(side if any(case.size[axis] > side for case in data.cases) else None for axis, side in sides)
    return region if any(region) else None


def _common_axis(data: PreparedCohort, source: Cohort) -> int | None:
    """None if every case was cut along its axis of largest spacing, else the axis that most were cut along."""
    axes = {case.name: case.axis for case in data.cases}
    named = [case for case in source.cases if case.name in axes and case.axis is not None]
    if all(case.axis == slice_axis(read_geometry(case.image, case.name)) for case in named):
        return None
    chosen = list(axes.values())
    return max(set(chosen), key=chosen.count)
