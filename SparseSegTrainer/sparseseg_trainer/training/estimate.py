"""Job ``estimate``: about how long a training will take and how much memory it needs, before it starts."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch

from ..case_loop import no_case, summary_of
from ..cohort import CaseFailure, Cohort, load_case, read_cohort
from ..cohort_grid import CohortGrid
from ..devices import choose_device
from ..errors import InputError
from ..prediction import OVERLAP, probabilities
from ..reporting import Reporter
from ..segmentation_network import build_network
from .keys import learns_from_whole_volumes
from .measured_case import MeasuredCase
from .measuring import measure
from .memory import available_bytes, fitting_device
from .resolving import resolve
from .settings import TrainSettings
from .stage_times import AUGMENTED, CohortSize, stage_seconds, timed, volume_step
from .supervised import steps_for
from .validation import keep_aside
from .volumetric import volume_shape

# A step of these as a multiple of the network's own: mixtures for two students that are one network, a discriminator,
# decoders, adversarial patches. The network of representative is three: both base networks learn first, at half of its
# cost, then the third.
VOLUME_STEPS = {"hybrid_crop": 1.3, "sassnet": 1.6, "mc_net": 2.5, "ss_net": 3.3, "representative": 0.7}
PLANES_STEP = 0.2  # of the network of slices of representative, as a part of such a step


def estimate(cohort: Path, settings: TrainSettings | None = None, reporter: Reporter | None = None) -> dict:
    """Measures a few steps on made-up slices of the cohort's size, and counts how many the training will take.

    Returns {"cases", "failed", "seconds", "memory_bytes", "free_bytes", "device"}. Raises InputError for settings
    and cohorts that ``train`` refuses too, and ``Cancelled``.
    """
    settings, reporter = resolve(settings or TrainSettings()), reporter or Reporter()
    device = choose_device(settings.device)
    source, _ = keep_aside(read_cohort(cohort), settings.validation, settings.seed)
    if not learns_from_whole_volumes(settings.method, settings.dimensions):
        source.cases = [case for case in source.cases if case.label is not None]
    failed: list[CaseFailure] = []
    measured, grid = measure(source, settings.pixels, settings.size_by, settings.region, failed, reporter)
    counts, classes = [found.count for found in measured], len(source.labels)
    device, needed = fitting_device(settings, counts, grid.shape, classes, device)
    reading, drawn = _reading(source, measured, failed)
    if settings.dimensions == 3:
        seconds = reading + _volume_training(settings, classes, measured, grid, device)
    else:
        size = CohortSize(classes, len(measured), sum(counts), round(drawn), grid)
        seconds = reading + sum(stage_seconds(settings, size, device, reporter).values())
    return summary_of(
        len(measured),
        source.failed + failed,
        seconds=round(seconds, 1),
        memory_bytes=needed,
        free_bytes=available_bytes(device),
        device=device.type,
    )


def _reading(source: Cohort, measured: list[MeasuredCase], failed: list[CaseFailure]) -> tuple[float, float]:
    """Seconds to read all cases, and the number of their drawn slices, both from the first one that can be read."""
    for found in measured:
        if found.case.label is None:
            continue
        started = time.monotonic()
        try:
            annotated = load_case(found.case).annotated
        except InputError as error:
            failed.append(CaseFailure.of(found.case.name, error))
            continue
        listed = [case.annotated_slices for case in source.cases if case.label is not None]
        known = [len(annotated if slices is None else slices) for slices in listed]
        return (time.monotonic() - started) * len(measured), sum(known)
    raise no_case(source.failed + failed)


def _volume_training(
    settings: TrainSettings, classes: int, measured: list[MeasuredCase], grid: CohortGrid, device: torch.device
) -> float:
    """Seconds of the training of a network that sees volumes, and of looking at labelled ones with it."""
    sizes = []
    for found in measured:
        inner = grid.size(*found.size, found.spacing)
        sizes.append((found.count, min(inner[0], grid.shape[0]), min(inner[1], grid.shape[1])))
    shape = volume_shape(settings, classes, sizes)
    network = build_network(shape).to(device)
    training = volume_step(network, shape, settings.batch, device) * VOLUME_STEPS.get(settings.method, AUGMENTED)
    patch = torch.rand(1, 1, *shape.patch, device=device)
    answer = timed(lambda: probabilities(network, patch, settings.test_flips), device)
    unlabelled = settings.batch * (1 - settings.consistency.labelled)
    passes = {"ua_mt": 1 + settings.consistency.passes, "hybrid_crop": 1}
    training += passes.get(settings.method, 0) * answer * unlabelled
    windows = [_windows(size, shape.patch) for size in sizes]
    labelled = [number for number, found in zip(windows, measured, strict=True) if found.case.label is not None]
    steps = steps_for(settings, sum(found.count for found in measured))
    epochs, looked_at = settings.baseline_epochs, labelled[0]
    if settings.method == "partial":
        epochs += round(epochs * settings.volumetric.second_step)
        looked_at *= max(1, settings.validation)
    if settings.method == "representative":
        epochs += settings.epochs + round(epochs * PLANES_STEP * (settings.volumetric.planes_epochs - 1))
    return epochs * (steps * training + looked_at * answer) + sum(labelled) * answer


def _windows(size: tuple[int, int, int], patch: tuple[int, int, int]) -> int:
    """How many half overlapping patches cover a volume."""
    sides = zip(size, patch, strict=True)
    return math.prod(1 + math.ceil(max(0, side - seen) / (seen * (1 - OVERLAP))) for side, seen in sides)
