"""Job ``estimate``: about how long a training will take and how much memory it needs, before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..case_loop import summary_of
from ..cohort import CaseFailure, Cohort, load_case, read_cohort
from ..cohort_grid import CohortGrid
from ..devices import choose_device
from ..errors import InputError
from ..prediction import probabilities
from ..registration import registration_loss, shipped_network
from ..reporting import Reporter
from ..segmentation_network import SegmentationNetwork
from .augmentation import augment
from .data import MeasuredCase, measure
from .keys import PSEUDO_LABELED
from .losses import segmentation_loss
from .memory import available_bytes, needed_bytes
from .presets import resolve
from .pseudo_labels import CHUNK
from .registering import SMOOTHNESS
from .settings import TrainSettings
from .supervised import shape_of, steps_for
from .validation import LIVE, keep_aside

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
    source.cases = [case for case in source.cases if case.label is not None]
    failed: list[CaseFailure] = []
    measured, grid = measure(source, settings.pixels, failed, reporter)
    slices = sum(found.count for found in measured)
    needed = needed_bytes(settings, slices, grid.shape, device)
    if device.type == "cuda" and needed > available_bytes(device):
        device = torch.device("cpu")
        needed = needed_bytes(settings, slices, grid.shape, device)
    reading, drawn = _reading(source, measured, failed)
    steps = _Steps(settings, len(source.labels), grid, device)
    seconds = reading + _training(settings, slices, round(drawn), steps, reporter)
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
        started = time.monotonic()
        try:
            annotated = load_case(found.case).annotated
        except InputError as error:
            failed.append(CaseFailure.of(found.case.name, error))
            continue
        known = [len(case.annotated_slices or annotated) for case in source.cases]
        return (time.monotonic() - started) * len(measured), sum(known)
    raise InputError("no_case", "No case of the cohort can be used.", "See the list of failed cases.")


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
        semi_steps = steps_for(settings, drawn)
        seconds += settings.semi_epochs * (semi_steps * step + live) + slices / CHUNK * forward
        # In half of its epochs the semi-supervised network first labels half a batch of unknown slices a step.
        seconds += (settings.semi_epochs - settings.K1) * semi_steps * forward * settings.batch / 2 / CHUNK
    if settings.method != "semi_only":
        fields = slices if not settings.reach else min(slices, drawn * (2 * settings.reach + 1))
        seconds += fields * FIELDS * steps.field()
        if settings.registration == "tuned":
            seconds += settings.registration_epochs * steps_for(settings, slices) * steps.registration()
    reporter.progress("estimate", 1)
    return seconds


def _teaching(settings: TrainSettings, step: float, forward: float) -> float:
    """Seconds that a semi-supervised method adds to a step: a teacher's passes, or a second network and its attacks."""
    if settings.method == "dct_seg":
        return 5 * step  # each network learns from the slices, attacks, and learns from the other's attack
    passes = {"mean_teacher": 1, "ua_mt": 1 + settings.consistency.passes, "ict": 1, "ac_mt": 1}
    unlabelled = settings.batch * (1 - settings.consistency.labelled)
    return passes.get(settings.method, 0) * forward * unlabelled / CHUNK


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

        return self._seconds(step)

    def forward(self) -> float:
        """The prediction of ``CHUNK`` slices."""
        images = self._noise(CHUNK, 1 + 2 * self.settings.context)
        return self._seconds(lambda: probabilities(self.network, images, self.settings.test_flips))

    def field(self) -> float:
        """One displacement field."""
        network, images = shipped_network(self.device), self._noise(8, 1)

        @torch.no_grad()
        def step() -> None:
            network(images, images)

        return self._seconds(step) / len(images)

    def registration(self) -> float:
        """One step of the registration network."""
        network, images = shipped_network(self.device), self._noise(self.settings.registration_batch, 1)

        def step() -> None:
            registration_loss(images, images, network(images, images), "ncc", SMOOTHNESS).backward()

        return self._seconds(step)

    def _noise(self, count: int, channels: int) -> torch.Tensor:
        return torch.rand(count, channels, *self.shape, device=self.device)

    def _seconds(self, step: Callable[[], None]) -> float:
        step()
        self._finish()
        started = time.monotonic()
        for _ in range(REPEATS):
            step()
        self._finish()
        return (time.monotonic() - started) / REPEATS

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
