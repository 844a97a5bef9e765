"""Collaborative learning (osman2024): two sources of pseudo labels, fused, teach the target network."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ...segmentation_network import SeveralViews
from ..loop import Run, Stage, train_stage
from ..losses import collaborative_loss, segmentation_loss
from ..pseudo_labels import fused_labels, kept, predicted
from ..registering import registration_network
from ..sampling import draw, mixed_batches
from ..semi_networks import SemiNetworks
from ..supervised import look_up, new_network, semi_parts, semi_schedule, steps_for
from ..validation import live_dice
from ..views_training import wants_cuts, with_cuts, with_overview


def train(run: Run) -> nn.Module:
    """Train the target network of ``collaborative`` and those beside it; the fused labels stay with the checkpoints."""
    return train_on_labels(run, train_semi(run), registration_network(run))


def train_on_labels(run: Run, semi: SemiNetworks, registration: nn.Module | None) -> nn.Module:
    """Train the target network on what ``semi`` and ``registration`` (if there is one) label, and those beside it.

    Networks of cuts, if set, learn what ``semi`` alone labels, and label with it what the others learn: they are wrong
    elsewhere.
    """
    labeling = semi
    if wants_cuts(run):
        first = kept(run, lambda: fused_labels(run, semi, None, "first labels"), "first")
        labeling = with_cuts(run, semi, semi.networks[0], first)
        del first  # a byte a voxel of the cohort, for which the memory was not reckoned
    fused = kept(run, lambda: fused_labels(run, labeling, registration))
    network = train_target(run, semi, fused)
    if isinstance(labeling, SeveralViews):
        network = SeveralViews(network, labeling.beside, labeling.shape)
    return with_overview(run, network, fused)


def train_semi(run: Run) -> SemiNetworks:
    """The semi-supervised network, or one for each of the ``semi_scales``."""
    parts = semi_parts(run.settings, run.data.grid.shape)
    trained = [_train_semi(run, part, scale) for part, scale in parts.items()]
    together = SemiNetworks([one.networks[0] for one in trained], list(parts.values()))
    return together.to(run.device).eval()  # a GPU may have been full after some of them


def _train_semi(run: Run, part: str, scale: float) -> SemiNetworks:
    """Semi-supervised network (eq. 1-3): drawn slices until epoch K1, then its own labels too, with weight alpha(t)."""
    settings, data = run.settings, run.data
    known = [(data.drawn, 1 - settings.absence_share), (data.absent, settings.absence_share)]
    unlabelled = data.unknown
    schedule = semi_schedule(settings, len(data.drawn), len(data.labels))

    def epoch_batches(epoch, averaged, generator):
        weight, steps = schedule[epoch]
        batch = run.settings.batch  # read anew: it is halved when the memory is not enough
        half = batch // 2 if weight and len(unlabelled) else 0
        labelled = mixed_batches(known, batch - half, steps, generator)
        if not half:
            return [(numbers, None, None, 0.0) for numbers in labelled]
        numbers = draw(unlabelled, half * steps, generator)
        labels = predicted(run, averaged, numbers)
        unknown = zip(numbers.split(half), labels.split(half), strict=True)
        return [(numbers, *pair, weight) for numbers, pair in zip(labelled, unknown, strict=True)]

    def batch_loss(network, batch, generator):
        numbers, unknown, pseudo, weight = batch
        labels = data.labels[numbers.to(data.labels.device)]
        if unknown is not None:
            labels = torch.cat([labels, pseudo.to(labels)])
        together = numbers if unknown is None else torch.cat([numbers, unknown])
        images, labels = look_up(run, together, labels, generator)
        losses = segmentation_loss(network(images), labels, settings.gamma)
        loss = losses[: len(numbers)].mean()
        return loss if unknown is None else loss + weight * losses[len(numbers) :].mean()

    network = SemiNetworks([new_network(run, part)], [scale])
    rate = settings.semi_learning_rate
    dice, steps = partial(live_dice, run), sum(steps for _, steps in schedule) / len(schedule)
    stage = Stage(part, network, len(schedule), rate, epoch_batches, batch_loss, steps, dice, halved=False)
    return train_stage(run, stage)


def train_target(run: Run, semi: SemiNetworks | None, fused: Tensor, numbers: Tensor | None = None) -> nn.Module:
    """Target network (eq. 6-7) on drawn, absent and pseudo-labelled slices.

    It starts from the first of ``semi``, if set and there is one. ``numbers`` are the slices with labels in ``fused``,
    or all.
    """
    settings, data = run.settings, run.data
    numbers = torch.arange(len(data.labels)) if numbers is None else numbers
    known = settings.drawn_share
    parts = [
        (data.unknown[torch.isin(data.unknown, numbers)], 1 - known),
        (data.drawn, known * (1 - settings.absence_share)),
        (data.absent, known * settings.absence_share),
    ]
    if not known:
        parts = [(numbers, 1.0)]
    steps = steps_for(run.settings, len(numbers))

    def epoch_batches(epoch, averaged, generator):
        return mixed_batches(parts, run.settings.batch, steps, generator)

    def batch_loss(network, numbers, generator):
        images, labels = look_up(run, numbers, fused[numbers], generator, settings.target_augmentation)
        weights = settings.beta, settings.gamma_certain, settings.gamma_uncertain
        return collaborative_loss(network(images), labels, *weights, settings.uncertain).mean()

    network = new_network(run)
    if settings.warm_start and semi is not None:
        network.load_state_dict(semi.networks[0].state_dict())
    epochs, rate, dice = settings.epochs, settings.learning_rate, partial(live_dice, run)
    return train_stage(run, Stage("target", network, epochs, rate, epoch_batches, batch_loss, steps, dice))
