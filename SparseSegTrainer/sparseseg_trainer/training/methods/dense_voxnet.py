"""Sparse 3D FCN (Cicek et al. 2016), with DenseVoxNet as in zheng2020, which calls it DVN*.

The loss is the cross-entropy of the voxels that are drawn or known to be background alone (eq. 2). With dense labels it
is the fully supervised network of zheng2020's tables.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from ...dense_networks import DenseVoxNet
from ..loop import Run, Stage, train_stage
from ..supervised import first_weights, steps_for
from ..validation import live_dice
from ..volumetric import draw_patches, run_shape


def known_cross_entropy(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Eq. 1 and 2: mean over the known pixels or voxels of a batch. (B, C + 1, ...), (B, ...), (B, ...) bool."""
    loss = F.cross_entropy(logits, labels.long(), reduction="none")
    return (loss * known).sum() / known.sum().clamp_min(1)


def supervised_twice(answers: tuple[Tensor, Tensor], labels: Tensor, known: Tensor, side: float) -> Tensor:
    """The loss of a DenseVoxNet's logits, and ``side`` times that of its side path (deep supervision)."""
    return sum(weight * known_cross_entropy(own, labels, known) for own, weight in zip(answers, (1, side), strict=True))


def train(run: Run) -> nn.Module:
    """Train DenseVoxNet on patches with drawn slices."""
    return train_voxels(run, "target")


def train_voxels(run: Run, name: str) -> nn.Module:
    """The same, as the stage ``name``."""
    settings, steps = run.settings, steps_for(run.settings, len(run.data.cases))

    def batch_loss(network, _, generator):
        images, labels, known = draw_patches(run, run.data.cases, run.settings.batch, generator, drawn_on=True)
        return supervised_twice(network.answers(images), labels, known, settings.volumetric.side)

    with first_weights(run, "voxels"):
        network = DenseVoxNet(run_shape(run))
    epochs, rate, dice = settings.baseline_epochs, settings.learning_rate, partial(live_dice, run)
    return train_stage(run, Stage(name, network, epochs, rate, lambda *_: [None] * steps, batch_loss, steps, dice))
