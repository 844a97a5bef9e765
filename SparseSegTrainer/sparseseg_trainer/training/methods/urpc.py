"""Uncertainty rectified pyramid consistency (Luo et al., MICCAI 2021), for volumes.

The answers p_s of four levels of one decoder are drawn to their mean p. A level's squared error counts where the level
agrees with the mean, by exp(-D) with D = KL(p || p_s), and D itself is kept small.

L = mean over s of [0.5 L_sup(p_s) + 0.1 r(t) (mean((p_s - p)^2 exp(-D)) / mean(exp(-D)) + mean D)]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..consistency import LEAST, ramp_up
from ..loop import Run
from ..settings import TrainSettings
from ..teaching import Lesson, supervised_loss, train_extended
from ..volume_heads import Pyramid

SMALL = 1e-8


def pyramid_consistency(logits: list[Tensor]) -> Tensor:
    """Mean over the levels of mean((p_s - p)^2 exp(-D)) / mean(exp(-D)) + mean(D), from logits (B, C + 1, ...)."""
    answers = torch.stack([some.softmax(1) for some in logits])
    mean = answers.mean(0)
    # the limit keeps the gradient finite where a softmax has reached 0
    far = (mean * (mean.clamp_min(LEAST).log() - answers.clamp_min(LEAST).log())).sum(2, keepdim=True)
    trust, rest = (-far).exp(), tuple(range(1, answers.ndim))
    error = ((answers - mean).square() * trust).mean(rest) / (trust.mean(rest) + SMALL)
    return (error + far.mean(rest)).mean()


def pyramid_loss(settings: TrainSettings, network: Pyramid, lesson: Lesson) -> Tensor:
    """The supervised loss, mean over the levels, and their consistency with its weight as ramped up by then."""
    how, known = settings.consistency, len(lesson.labels)
    logits = network.answers(lesson.images)
    supervised = sum(supervised_loss(settings, some[:known], lesson.labels) for some in logits) / len(logits)
    weight = how.weight * ramp_up(lesson.done, 0.0, how.ramp)
    return supervised + weight * pyramid_consistency([some[known:] for some in logits])


def train(run: Run) -> nn.Module:
    """Train all levels on labelled and unlabelled volumes; returns the V-Net, which answers from the finest."""
    return train_extended(run, Pyramid, pyramid_loss)
