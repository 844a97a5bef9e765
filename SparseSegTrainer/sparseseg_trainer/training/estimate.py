"""Job ``estimate``: about how long a training will take and how much memory it needs, before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ..case_loop import no_case, summary_of
from ..cohort import CaseFailure, Cohort, load_case, read_cohort
from ..cohort_grid import SMALLEST, CohortGrid
from ..devices import choose_device
from ..errors import InputError
from ..network_shape import NetworkShape, Overview
from ..prediction import OVERLAP, probabilities
from ..registration import registration_loss, shipped_network
from ..reporting import Reporter
from ..segmentation_network import SegmentationNetwork, build_network
from .augmentation import augment
from .keys import PSEUDO_LABELED, learns_from_whole_volumes
from .losses import segmentation_loss
from .measuring import MeasuredCase, measure
from .memory import available_bytes, needed_bytes
from .pseudo_labels import CHUNK
from .registering import SMOOTHNESS
from .resolving import resolve
from .settings import TrainSettings
from .supervised import semi_scales, shape_of, steps_for
from .validation import LIVE, keep_aside
from .volumetric import volume_shape

# A step of these as a multiple of the network's own: mixtures for two students that are one network, a discriminator,
# decoders, adversarial patches. The network of representative is three: both base networks learn first, at half of its
# cost, then the third.
VOLUME_STEPS = {"hybrid_crop": 1.3, "sassnet": 1.6, "mc_net": 2.5, "ss_net": 3.3, "representative": 0.7}
AUGMENTED = 1.2  # of the others, with augmentation
PLANES_STEP = 0.2  # of the network of slices of representative, as a part of such a step
REPEATS = 3  # measured steps, after one that warms up
FIELDS = 3  # of the registration network for each slice: to and from the one before, and from the one before that


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
    measured, grid = measure(source, settings.pixels, settings.size_by, failed, reporter)
    slices = sum(found.count for found in measured)
    needed = needed_bytes(settings, slices, grid.shape, device)
    if device.type == "cuda" and needed > available_bytes(device):
        device = torch.device("cpu")
        needed = needed_bytes(settings, slices, grid.shape, device)
    reading, drawn = _reading(source, measured, failed)
    classes = len(source.labels)
    if settings.dimensions == 3:
        seconds = reading + _volume_training(settings, classes, measured, grid, device)
    else:
        seconds = reading + _training(settings, slices, round(drawn), _Steps(settings, classes, grid, device), reporter)
    if settings.overview_epochs:
        seconds += _overview_training(settings, classes, len(measured), device)
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
    raise no_case()


def _training(settings: TrainSettings, slices: int, drawn: int, steps: _Steps, reporter: Reporter) -> float:
    """Seconds of all stages of the method."""
    step, forward = steps.training(), steps.forward()
    live = forward * min(LIVE, drawn) / CHUNK  # after every epoch
    reporter.progress("estimate", 0.5)
    if settings.method not in PSEUDO_LABELED:
        shown = drawn if settings.method == "central_only" else slices
        step += _teaching(settings, step, forward)
        return settings.baseline_epochs * (steps_for(settings, shown) * step + live)
    seconds = settings.epochs * (steps_for(settings, slices) * step + live)
    if settings.method != "registration_only":
        # After K1 the semi-supervised network first labels half a batch of unknown slices a step.
        first, later = min(settings.K1, settings.semi_epochs), max(0, settings.semi_epochs - settings.K1)
        semi = (first * steps_for(settings, drawn) + later * steps_for(settings, slices)) * step
        semi += later * steps_for(settings, slices) * forward * settings.batch / 2 / CHUNK
        semi += settings.semi_epochs * live + slices / CHUNK * forward
        seconds += semi * sum(semi_scales(settings, steps.shape))  # a network's smaller slices are augmented large
    if settings.method != "semi_only":
        fields = slices if not settings.reach else min(slices, drawn * (2 * settings.reach + 1))
        seconds += fields * FIELDS * steps.field()
        if settings.registration == "tuned":
            pairs = replace(settings, batch=settings.registration_batch)
            seconds += settings.registration_epochs * steps_for(pairs, slices) * steps.registration()
    reporter.progress("estimate", 1)
    return seconds


def _teaching(settings: TrainSettings, step: float, forward: float) -> float:
    """Seconds that a semi-supervised method adds to a step: a teacher's passes, or a second network and its attacks."""
    if settings.method == "dct_seg":
        return 5 * step  # each network learns from the slices, attacks, and learns from the other's attack
    passes = {"mean_teacher": 1, "ua_mt": 1 + settings.consistency.passes, "ict": 1, "ac_mt": 1}
    unlabelled = settings.batch * (1 - settings.consistency.labelled)
    return passes.get(settings.method, 0) * forward * unlabelled / CHUNK


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
    training = _volume_step(network, shape, settings.batch, device) * VOLUME_STEPS.get(settings.method, AUGMENTED)
    patch = torch.rand(1, 1, *shape.patch, device=device)
    answer = _timed(lambda: probabilities(network, patch, settings.test_flips), device)
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


def _overview_training(settings: TrainSettings, classes: int, volumes: int, device: torch.device) -> float:
    """Seconds of the training of an overview."""
    shape = Overview(settings.overview_width, settings.overview_side, (SMALLEST, SMALLEST), 1.0).network(classes)
    step = _volume_step(build_network(shape).to(device), shape, settings.overview_batch, device) * AUGMENTED
    return settings.overview_epochs * steps_for(replace(settings, batch=settings.overview_batch), volumes) * step


def _volume_step(network: nn.Module, shape: NetworkShape, batch: int, device: torch.device) -> float:
    """Seconds of a step of a network that sees volumes, without augmentation."""
    shown = 1 if device.type == "cpu" else batch  # there one volume tells of all, a GPU computes several at once
    images = torch.rand(shown, 1, *shape.patch, device=device)
    labels = torch.zeros(shown, *shape.patch, dtype=torch.uint8, device=device)

    def step() -> None:
        network.train()
        segmentation_loss(network(images), labels, 1.0).mean().backward()
        network.zero_grad(set_to_none=True)

    return _timed(step, device) * batch / shown


def _windows(size: tuple[int, int, int], patch: tuple[int, int, int]) -> int:
    """How many half overlapping patches cover a volume."""
    sides = zip(size, patch, strict=True)
    return math.prod(1 + math.ceil(max(0, side - seen) / (seen * (1 - OVERLAP))) for side, seen in sides)


def _timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds of a step, after one that warms up."""

    def finish() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.monotonic()

    step()
    started = finish()
    for _ in range(REPEATS):
        step()
    return (finish() - started) / REPEATS


class _Steps:
    """Seconds of the steps that a training repeats, measured on slices of noise."""

    def __init__(self, settings: TrainSettings, classes: int, grid: CohortGrid, device: torch.device):
        self.settings, self.classes, self.device = settings, classes, device
        self.network = SegmentationNetwork(shape_of(settings, classes, grid.shape)).to(device)
        self.shape = grid.shape

    def training(self) -> float:
        """One step of the segmentation network: augmentation, forward, backward, optimizer."""
        settings, generator = self.settings, torch.Generator().manual_seed(0)
        images, labels = self._noise(settings.batch, 1 + 2 * settings.context), self._noise(settings.batch, 1)[:, 0]
        labels = (labels * (self.classes + 1)).to(torch.uint8)
        optimizer = torch.optim.Adam(self.network.parameters())

        def step() -> None:
            self.network.train()
            some = augment(images, labels, self.classes, settings.augmentation, generator)
            segmentation_loss(self.network(some[0]), some[1], settings.gamma).mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return _timed(step, self.device)

    def forward(self) -> float:
        """The prediction of ``CHUNK`` slices."""
        images = self._noise(CHUNK, 1 + 2 * self.settings.context)
        return _timed(lambda: probabilities(self.network, images, self.settings.test_flips), self.device)

    def field(self) -> float:
        """One displacement field."""
        network, images = shipped_network(self.device), self._noise(8, 1)

        @torch.no_grad()
        def step() -> None:
            network(images, images)

        return _timed(step, self.device) / len(images)

    def registration(self) -> float:
        """One step of the registration network."""
        network, images = shipped_network(self.device), self._noise(self.settings.registration_batch, 1)

        def step() -> None:
            registration_loss(images, images, network(images, images), "ncc", SMOOTHNESS).backward()

        return _timed(step, self.device)

    def _noise(self, count: int, channels: int) -> torch.Tensor:
        return torch.rand(count, channels, *self.shape, device=self.device)
