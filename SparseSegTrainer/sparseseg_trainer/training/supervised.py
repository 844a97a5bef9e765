"""Training on slices whose labels are known: the baselines, and what the other methods share with them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from ..network_shape import NetworkShape
from ..segmentation_network import build_network
from .augmentation import Augmentation, augment
from .loop import Run, Stage, seeded, train_stage
from .losses import pseudo_label_weight, segmentation_loss
from .sampling import mixed_batches
from .settings import TrainSettings
from .validation import live_dice
from .volumetric import run_shape

SMALL = 5000  # pixels of a padded slice


def shape_of(settings: TrainSettings, classes: int, shape: tuple[int, int]) -> NetworkShape:
    """The network that the settings ask for on slices of ``shape``; small ones are not reduced."""
    stride = settings.stride if _reducible(shape) else 1
    return NetworkShape(settings.context, classes, settings.width, settings.depth, stride)


def semi_parts(settings: TrainSettings, shape: tuple[int, int]) -> dict[str, float]:
    """The semi-supervised networks, and at which sizes they see slices of ``shape``; small ones are not reduced."""
    scales = settings.semi_scales if _reducible(shape) else (1.0,) * len(settings.semi_scales)
    return {f"semi {number}" if number > 1 else "semi": scale for number, scale in enumerate(scales, 1)}


def _reducible(shape: tuple[int, int]) -> bool:
    """Whether slices of ``shape`` have detail to spare."""
    return shape[0] * shape[1] > SMALL


def network_shape(run: Run) -> NetworkShape:
    """The network of this training."""
    if run.settings.dimensions == 3:
        return run_shape(run)
    return shape_of(run.settings, run.data.classes, run.data.grid.shape)


def new_network(run: Run, part: str = "weights") -> nn.Module:
    """The segmentation network with first weights that depend on the seed and the ``part`` that it plays alone."""
    with first_weights(run, part):
        return build_network(network_shape(run))


@contextlib.contextmanager
def first_weights(run: Run, part: str = "weights") -> Iterator[None]:
    """Within it a new network gets weights that depend on the seed and the ``part`` that it plays alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(run.settings.seed, part).initial_seed())
        yield


def steps_for(settings: TrainSettings, slices: int, batch: int = 0) -> int:
    """Batches in an epoch: as set, or each of so many slices or volumes once, ``batch`` (0: as set) at a time."""
    return settings.steps or math.ceil(slices / (batch or settings.batch))


def semi_schedule(settings: TrainSettings, drawn: int, slices: int) -> list[tuple[float, int]]:
    """Of each epoch of a semi-supervised network alpha(t) of eq. 3 in osman2024 and the batches.

    They show as many slices as are learned from, or as set: the drawn ones, then all of the cohort.
    """
    weights = [pseudo_label_weight(t, settings.K1, settings.K2, settings.alpha_f) for t in range(settings.semi_epochs)]
    return [(weight, steps_for(settings, slices if weight else drawn)) for weight in weights]


def look_up(
    run: Run, numbers: Tensor, labels: Tensor, generator: torch.Generator, how: Augmentation | None = None
) -> tuple[Tensor, Tensor]:
    """The slices of these numbers (B, channels, rows, columns) and their ``labels`` (B, rows, columns), augmented.

    ``how``, if not as the setting ``augmentation`` says.
    """
    images = run.data.batch(numbers, run.settings.context).to(run.device)
    return augment(images, labels.to(run.device), run.data.classes, how or run.settings.augmentation, generator)


def train_supervised(run: Run, parts: list[tuple[Tensor, float]]) -> nn.Module:
    """Train on slices with known labels; ``parts`` are (slice numbers, share of a batch). Returns the network."""
    settings, data = run.settings, run.data
    steps = steps_for(run.settings, sum(len(numbers) for numbers, share in parts if share > 0))

    def epoch_batches(epoch, averaged, generator):
        return mixed_batches(parts, run.settings.batch, steps, generator)

    def batch_loss(network, numbers, generator):
        labels = data.labels[numbers.to(data.labels.device)]
        images, labels = look_up(run, numbers, labels, generator)
        return segmentation_loss(network(images), labels, settings.gamma).mean()

    network = new_network(run)
    epochs, rate = settings.baseline_epochs, settings.learning_rate
    stage = Stage("target", network, epochs, rate, epoch_batches, batch_loss, steps, partial(live_dice, run))
    return train_stage(run, stage)
