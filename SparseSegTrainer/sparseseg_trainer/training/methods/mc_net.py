"""Mutual consistency (Wu et al., MICCAI 2021; Medical Image Analysis 2022), for volumes.

Decoders that differ in how they enlarge features share one encoder. Each one's probabilities are drawn to the others'
sharpened ones by the mean squared error over all patches.

L = 0.5 sum_i L_D(p_i) + r(t) sum over i != j of mean (p_i - s(p_j))^2, s(p) = p^(1/T) / sum p^(1/T), T = 0.1
"""

from __future__ import annotations

from functools import partial
from itertools import permutations

import torch.nn.functional as F
from torch import Tensor, nn

from ..consistency import ramp_up
from ..loop import Run
from ..losses import labels_dice
from ..settings import TrainSettings
from ..teaching import Lesson, train_extended
from ..volume_heads import Decoders


def sharpened(logits: Tensor, temperature: float) -> Tensor:
    """p^(1/T) / sum p^(1/T) of p = softmax(logits): (B, C + 1, ...)."""
    return (logits / temperature).softmax(1)


def mutual_consistency(logits: list[Tensor], temperature: float) -> Tensor:
    """Sum over ordered pairs of decoders of the mean squared error between one's answer and the other's sharpened."""
    pairs = permutations(logits, 2)
    return sum(F.mse_loss(own.softmax(1), sharpened(other, temperature)) for own, other in pairs)


def mutual_loss(settings: TrainSettings, network: Decoders, lesson: Lesson) -> Tensor:
    """Each decoder's Dice loss of the known labels, and their consistency with its weight as ramped up by then."""
    how, known = settings.volumetric, len(lesson.labels)
    logits = network.answers(lesson.images)
    supervised = sum(labels_dice(some[:known], lesson.labels) for some in logits)
    weight = how.mutual * ramp_up(lesson.done, 0.0, settings.consistency.ramp)
    return settings.consistency.supervised * supervised + weight * mutual_consistency(logits, how.temperature)


def train(run: Run) -> nn.Module:
    """Train all decoders on labelled and unlabelled volumes; returns the V-Net, with its own decoder."""
    return train_extended(run, partial(Decoders, count=run.settings.volumetric.decoders), mutual_loss)
