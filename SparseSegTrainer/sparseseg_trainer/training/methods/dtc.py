"""Dual-task consistency (Luo et al., AAAI 2021), for volumes.

Two heads learn the labels and their signed distance maps. A distance map z, turned into a segmentation by the smooth
step sigmoid(-k z), has to agree with the other head's on all patches.

L = L_D + 0.3 (z - d)^2 + r(t) mean (sigmoid(-1500 z) - p)^2
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..consistency import ramp_up
from ..distances import shape_loss
from ..loop import Run
from ..settings import TrainSettings
from ..teaching import Lesson, train_extended
from ..volume_heads import DistanceHead


def disagreement(logits: Tensor, maps: Tensor, steepness: float) -> Tensor:
    """Mean squared difference of the classes' probabilities and the insides of their distance maps."""
    return F.mse_loss(torch.sigmoid(-steepness * maps), logits.softmax(1)[:, 1:])


def dual_task_loss(settings: TrainSettings, network: DistanceHead, lesson: Lesson) -> Tensor:
    """Both heads' loss of the known labels, and their disagreement with its weight as ramped up by then."""
    how, known = settings.volumetric, len(lesson.labels)
    logits, maps = network.answers(lesson.images)
    supervised = shape_loss(logits[:known], maps[:known], lesson.labels, how.distance)
    weight = how.dual_task * ramp_up(lesson.done, 0.0, settings.consistency.ramp)
    return supervised + weight * disagreement(logits, maps, how.steepness)


def train(run: Run) -> nn.Module:
    """Train both heads on labelled and unlabelled volumes; returns the V-Net, with the head that segments."""
    return train_extended(run, DistanceHead, dual_task_loss)
