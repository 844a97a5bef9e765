"""The job "propagate": from the drawn slices of each case to its whole volume."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from .case import Case
from .case_loop import run_and_write, summary_of
from .cleanup import keep_touching
from .cohort import Cohort, label_path, read_cohort, refuse_to_replace_inputs, write_cohort
from .correction import corrected
from .demons import demons_fields
from .devices import SEEDS, choose_device, seed_everything
from .files import bare_name, csv_text, require_other_files, require_writable, write_text
from .network_shape import check_limits
from .refinement import refine
from .registration import displacement_fields, folded, shipped_network
from .reporting import Reporter
from .settings import CheckedSettings
from .slices import from_slices
from .sparse_volume import SparseVolume, load_case
from .training.coding import UNCERTAIN
from .volumes import write_image, write_label
from .working_grid import WorkingGrid

MOST_CLASSES = UNCERTAIN - 1  # that a volume's own network can learn; label maps mark uncertain pixels above them


@dataclass(frozen=True)
class PropagateSettings(CheckedSettings):
    """How to propagate.

    ``quality``: "instant" (seconds a volume) or "refined" (the instant result first, then about a minute).
    ``absence``: the volume's outermost slices count as background where no end is marked. ``probabilities``: also
    write the probability of each label.
    """

    quality: Literal["instant", "refined"] = "refined"
    seed: int = 0
    device: str = "auto"
    absence: bool = True
    probabilities: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_limits(self, {"seed": SEEDS})


@dataclass
class Propagation:
    """A whole volume's label.

    ``label``: (S, H, W) class indices, drawn slices as drawn. ``confidence``: (S,) from 0 to 1. ``probability``:
    (S, class, row, column) on the working ``grid``, which brings it to full size a few slices at a time.
    """

    label: np.ndarray
    confidence: np.ndarray
    probability: torch.Tensor
    grid: WorkingGrid


def propagate_case(
    volume: SparseVolume,
    settings: PropagateSettings = PropagateSettings(),
    reporter: Reporter | None = None,
    on_instant: Callable[[Propagation], None] = lambda instant: None,
) -> Propagation:
    """Segments all slices of ``volume`` from its annotated ones.

    ``on_instant`` receives the instant result before it is refined. Raises ``Cancelled``.
    """
    reporter = reporter or Reporter()
    device = choose_device(settings.device)
    seed_everything(settings.seed)
    grid = WorkingGrid(volume.image, volume.label[list(volume.annotated)].any(0), device)
    drawn = {index: grid.soft_label(volume.label[index], len(volume.values)) for index in volume.annotated}
    absent = torch.from_numpy(volume.absent(absence=settings.absence))
    reporter.check_cancelled()
    known = grid.slices, drawn, absent, volume.first, volume.last
    instant = corrected(partial(displacement_fields, folded(shipped_network(device))), *known)
    result = _finished(volume, instant.probability, instant.travelled.confidence, grid)
    if settings.quality == "instant":
        return result
    on_instant(result)
    if len(volume.values) > MOST_CLASSES:
        reporter.warn(f"Case {volume.case.name} has more than {MOST_CLASSES} labels: its result stays the instant one.")
        return result
    nearer = corrected(partial(demons_fields, reporter=reporter), *known)
    refined = refine(grid.slices, drawn, absent, nearer, settings.seed, reporter)
    return _finished(volume, *refined, grid)


def _finished(
    volume: SparseVolume, probability: torch.Tensor, confidence: torch.Tensor, grid: WorkingGrid
) -> Propagation:
    """The label at full size: drawn slices bit for bit, and only what hangs together with them."""
    label = grid.full_label(probability)
    label[list(volume.annotated)] = volume.label[list(volume.annotated)]
    label = keep_touching(label, volume.label)
    return Propagation(label, confidence.numpy(), probability, grid)


def propagate(
    cohort: Path,
    out: Path,
    settings: PropagateSettings = PropagateSettings(),
    reporter: Reporter | None = None,
) -> dict:
    """Propagates every case of the folder ``cohort`` into the cohort folder ``out``.

    Writes labels/CASE.nrrd, cohort.csv, labels.json, confidence.csv (case, slice, confidence) and report.json, and
    returns the latter. A case that fails does not stop the others. Raises InputError if the cohort cannot be read, a
    file of it would be replaced or nothing be written, and ``Cancelled``; the cases finished by then are the cohort in
    ``out``.
    """
    reporter, out = reporter or Reporter(), Path(out)
    given = read_cohort(cohort)
    refuse_to_replace_inputs(given, out)
    given.forget_other_slices("Propagation", reporter)
    failed, confidence = list(given.failed), []

    def work(case: Case) -> Case:
        volume = load_case(case)
        path = label_path(out, case)
        result = _propagate_into(path, volume, given, settings, reporter)
        if settings.probabilities:
            _write_probabilities(volume, result, out / "probabilities" / case.name, given)
        confidence.extend((case.name, index, value) for index, value in enumerate(_rounded(result)))
        return replace(case, label=path, annotated_slices=None)

    def write(done: list[Case]) -> dict:
        write_cohort(out, done, given.labels)
        write_text(out / "confidence.csv", csv_text([("case", "slice", "confidence"), *confidence]))
        summary = summary_of(len(done), failed, out=str(out))
        write_text(out / "report.json", json.dumps(summary, indent=2))
        return summary

    return run_and_write(given.cases, failed, work, "propagate", reporter, write)


def propagate_file(
    image: Path,
    label: Path,
    out: Path,
    slices: Sequence[int] | None = None,
    axis: int | None = None,
    first: int | None = None,
    last: int | None = None,
    reaches_first: bool = False,
    reaches_last: bool = False,
    settings: PropagateSettings = PropagateSettings(),
    reporter: Reporter | None = None,
) -> dict:
    """Propagates one volume: the drawn ``slices`` of the file ``label`` (all labeled ones if None) into ``out``.

    Raises InputError and ``Cancelled``.
    """
    reporter, out = reporter or Reporter(), Path(out)
    require_writable(out)
    require_other_files([Path(image), Path(label)], [out])
    annotated = tuple(sorted(set(slices))) if slices else None
    case = Case(
        Path(image).name, Path(image), Path(label), annotated, axis, first, last, "", reaches_first, reaches_last
    )
    cohort = Cohort(None, [case])
    reporter.progress("propagate", 0, case.name)
    volume = load_case(case)

    result = _propagate_into(out, volume, cohort, settings, reporter)
    if settings.probabilities:
        _write_probabilities(volume, result, out.with_name(f"{bare_name(out)}_probability"), cohort)
    return summary_of(1, [], label=str(out), confidence=_rounded(result))


def _propagate_into(
    path: Path, volume: SparseVolume, cohort: Cohort, settings: PropagateSettings, reporter: Reporter
) -> Propagation:
    """Propagates a volume and writes its label: the instant one as soon as it is there, then the refined one."""

    def write_instant(instant: Propagation) -> None:
        _write(volume, instant, path, cohort)
        reporter.result(partial="instant", case=volume.case.name, label=str(path), confidence=_rounded(instant))

    result = propagate_case(volume, settings, reporter, write_instant)
    _write(volume, result, path, cohort)
    return result


def _rounded(result: Propagation) -> list[float]:
    """The confidence of each slice as it is told."""
    return [round(float(value), 3) for value in result.confidence]


def _write(volume: SparseVolume, result: Propagation, path: Path, cohort: Cohort) -> None:
    array = from_slices(volume.file_values(result.label), volume.axis)
    write_label(path, array, volume.geometry, cohort.labels)


def _write_probabilities(volume: SparseVolume, result: Propagation, stem: Path, cohort: Cohort) -> None:
    """Writes the probability of each label into STEM_VALUE.nrrd."""
    for position, label in enumerate(cohort.labels, 1):
        array = from_slices(result.grid.full_class(result.probability, position), volume.axis)
        write_image(stem.with_name(f"{stem.name}_{label.value}.nrrd"), array, volume.geometry)
