"""How long the stages of a training that sees slices will take: some steps, measured, times how many there will be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from ..cohort_grid import SMALLEST, CohortGrid
from ..network_shape import NetworkShape, Overview
from ..prediction import CHUNK, probabilities
from ..registration import registration_loss, shipped_network
from ..reporting import Reporter
from ..segmentation_network import PLANES, SegmentationNetwork, build_network
from .augmentation import augment
from .keys import PSEUDO_LABELED, SEMI_SUPERVISED
from .losses import segmentation_loss
from .registering import SMOOTHNESS
from .settings import TrainSettings
from .supervised import semi_parts, semi_schedule, shape_of, steps_for
from .validation import LIVE
from .views_training import FEWEST

AUGMENTED = 1.2  # a step on volumes with augmentation as a multiple of one without
FIELDS = 3  # of the registration network for each slice: to and from the one before, and from the one before that
REPEATS = 3  # measured steps, after one that warms up


@dataclass(frozen=True)
class CohortSize:
    """What a training's time depends on."""

    classes: int
    volumes: int
    slices: int
    drawn: int  # slices
    grid: CohortGrid


def stage_seconds(
    settings: TrainSettings, size: CohortSize, device: torch.device, reporter: Reporter
) -> dict[str, float]:
    """Seconds of each stage of a method that sees slices, by its name, in order. Takes some seconds itself."""
    with torch.random.fork_rng(devices=[]):
        steps = _Steps(settings, size, device)
        stages = _of_slices(settings, size, steps, reporter)
        reporter.progress("estimate", 0.5)
        if settings.overview_epochs:
            stages["overview"] = _overview(settings, size, device)
    reporter.progress("estimate", 1)
    return stages


def _of_slices(settings: TrainSettings, size: CohortSize, steps: _Steps, reporter: Reporter) -> dict[str, float]:
    step, forward = steps.training, steps.forward()
    reporter.check_cancelled()
    live, every_slice = (forward * count / CHUNK for count in (min(LIVE, size.drawn), size.slices))  # answered once
    long_enough = size.slices >= FEWEST * size.volumes
    cuts = _cuts(settings, size, step) if settings.orthogonal_epochs and long_enough else {}
    if settings.method not in PSEUDO_LABELED:
        shown = size.drawn if settings.method == "central_only" else size.slices
        step += _teaching(settings, step, forward)
        return {"target": settings.baseline_epochs * (steps_for(settings, shown) * step + live)} | cuts
    stages, labeling = {}, 0.0
    if settings.method in SEMI_SUPERVISED:
        schedule = semi_schedule(settings, size.drawn, size.slices)
        semi = sum(steps for _, steps in schedule) * step + len(schedule) * live  # ``live`` after every epoch
        # After K1 the semi-supervised network first labels half a batch of unknown slices a step.
        semi += sum(steps for weight, steps in schedule if weight) * forward * settings.batch / 2 / CHUNK
        # a network's smaller slices are augmented large
        stages = {part: semi * scale for part, scale in semi_parts(settings, size.grid.shape).items()}
        labeling = every_slice * len(stages)
    if settings.method != "semi_only" and settings.registration == "tuned":
        count = steps_for(settings, size.slices, settings.registration_batch)
        stages["registration"] = settings.registration_epochs * count * steps.registration()
    if cuts:
        stages |= {"first labels": labeling} | cuts
        labeling += every_slice * len(cuts)
    if settings.method != "semi_only":
        reached = size.drawn * (2 * settings.reach + 1) if settings.reach else size.slices
        labeling += min(size.slices, reached) * FIELDS * steps.field()
    target = settings.epochs * (steps_for(settings, size.slices) * step + live)
    return stages | {"pseudo labels": labeling, "target": target}


def _cuts(settings: TrainSettings, size: CohortSize, step: float) -> dict[str, float]:
    """Seconds of the training of the networks of cuts, which are about as large as slices."""
    lines = {name: size.volumes * size.grid.shape[axis - 1] for name, axis in PLANES.items()}
    return {name: settings.orthogonal_epochs * steps_for(settings, count) * step for name, count in lines.items()}


def _teaching(settings: TrainSettings, step: float, forward: float) -> float:
    """Seconds that a semi-supervised method adds to a step: a teacher's passes, or a second network and its attacks."""
    if settings.method == "dct_seg":
        return 5 * step  # each network learns from the slices, attacks, and learns from the other's attack
    passes = {"mean_teacher": 1, "ua_mt": 1 + settings.consistency.passes, "ict": 1, "ac_mt": 1}
    unlabelled = settings.batch * (1 - settings.consistency.labelled)
    return passes.get(settings.method, 0) * forward * unlabelled / CHUNK


def _overview(settings: TrainSettings, size: CohortSize, device: torch.device) -> float:
    """Seconds of the training of an overview."""
    shape = Overview(settings.overview_width, settings.overview_side, (SMALLEST, SMALLEST), 1.0).network(size.classes)
    step = volume_step(build_network(shape).to(device), shape, settings.overview_batch, device) * AUGMENTED
    steps = steps_for(settings, size.volumes, settings.overview_batch)
    return settings.overview_epochs * steps * step


def volume_step(network: nn.Module, shape: NetworkShape, batch: int, device: torch.device) -> float:
    """Seconds of a step of a network that sees volumes, without augmentation."""
    shown = 1 if device.type == "cpu" else batch  # there one volume tells of all, a GPU computes several at once
    images = torch.rand(shown, 1, *shape.patch, device=device)
    labels = torch.zeros(shown, *shape.patch, dtype=torch.uint8, device=device)

    def step() -> None:
        network.train()
        segmentation_loss(network(images), labels, 1.0).mean().backward()
        network.zero_grad(set_to_none=True)

    return timed(step, device) * batch / shown


def timed(step: Callable[[], None], device: torch.device) -> float:
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

    def __init__(self, settings: TrainSettings, size: CohortSize, device: torch.device):
        self.settings, self.classes, self.device = settings, size.classes, device
        self.shape = size.grid.shape
        self.network = SegmentationNetwork(shape_of(settings, size.classes, self.shape)).to(device)

    @cached_property
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

        return timed(step, self.device)

    def forward(self) -> float:
        """The prediction of ``CHUNK`` slices."""
        images = self._noise(CHUNK, 1 + 2 * self.settings.context)
        return timed(lambda: probabilities(self.network, images, self.settings.test_flips), self.device)

    def field(self) -> float:
        """One displacement field."""
        network, images = shipped_network(self.device), self._noise(8, 1)

        @torch.no_grad()
        def step() -> None:
            network(images, images)

        return timed(step, self.device) / len(images)

    def registration(self) -> float:
        """One step of the registration network."""
        network, images = shipped_network(self.device), self._noise(self.settings.registration_batch, 1)

        def step() -> None:
            registration_loss(images, images, network(images, images), "ncc", SMOOTHNESS).backward()

        return timed(step, self.device)

    def _noise(self, count: int, channels: int) -> torch.Tensor:
        return torch.rand(count, channels, *self.shape, device=self.device)
