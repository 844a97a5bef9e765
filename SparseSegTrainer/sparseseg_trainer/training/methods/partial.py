"""Partial annotations (Specktor Fadida et al. 2023): a few neighboring slices of each volume, and its two end slices.

A network of volumes learns from blocks with drawn slices. It is told which slices are drawn, and its batch Dice counts
these alone (eq. 2), slices beyond the ends among them. The second of two steps begins with the best network of the
first and brings the learning rate back to its start again and again ("Optimization").
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ..loop import Run, Stage, plateau, train_stage
from ..losses import one_hot
from ..supervised import new_network, steps_for
from ..validation import known_dice
from ..volumetric import draw_patches

HIDDEN = 0.5  # share of the blocks whose mask does not tell which slices are drawn


def selective_batch_dice(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Eq. 2: minus the Dice of all known voxels of a batch taken together, mean over the classes; from -1 to 0.

    ``logits`` (B, C + 1, ...), ``labels`` (B, ...) with 0..C, ``known`` (B, ...) bool.
    """
    probability = logits.float().softmax(1)[:, 1:]
    target = one_hot(labels, probability.shape[1]) * known.unsqueeze(1)
    everywhere = (0, *range(2, probability.ndim))
    overlap = (probability * target).sum(everywhere)
    total = (probability * known.unsqueeze(1)).sum(everywhere) + target.sum(everywhere)
    return -(2 * overlap / total.clamp_min(1e-6)).mean()


def marked(images: Tensor, known: Tensor, hidden: Tensor) -> Tensor:
    """Images (B, 1, ...) and, as a second channel, the mask of what is ``known`` (B, ...), 1 everywhere if ``hidden``.

    ``hidden`` (B,) bool: where all masks tell, the network reads from them where the structure ends, and is at a loss
    in segmentation, where they are 1 everywhere.
    """
    mask = known | hidden.to(known.device).view(-1, *[1] * (known.ndim - 1))
    return torch.cat([images, mask.unsqueeze(1).to(images)], 1)


def train(run: Run) -> nn.Module:
    """Train in two steps on blocks with drawn slices; returns the best network of the last one."""
    epochs, how = run.settings.baseline_epochs, run.settings.volumetric
    second = round(epochs * how.second_step)
    if not second:
        return _step(run, "target", new_network(run), epochs, 0)
    first = _step(run, "first step", new_network(run), epochs, 0)
    return _step(run, "target", first.requires_grad_(True), second, how.restart)


def _step(run: Run, name: str, network: nn.Module, epochs: int, restart: int) -> nn.Module:
    """One of the steps: the best network of so many epochs; the learning rate falls where it stops getting better."""
    cases = [case for case in run.data.cases if case.labelled]
    steps = steps_for(run.settings, len(cases))

    def batch_loss(network, _, generator):
        images, labels, known = draw_patches(run, cases, run.settings.batch, generator, drawn_on=True)
        hidden = torch.rand(len(known), generator=generator) < HIDDEN
        return selective_batch_dice(network(marked(images, known, hidden)), labels, known)

    stage = Stage(
        name,
        network,
        epochs,
        run.settings.learning_rate,
        epoch_batches=lambda *_: [None] * steps,
        batch_loss=batch_loss,
        steps=steps,
        dice=partial(known_dice, run),
        keep_best=True,
        rate=partial(plateau, patience=run.settings.volumetric.patience, restart=restart),
    )
    return train_stage(run, stage)
