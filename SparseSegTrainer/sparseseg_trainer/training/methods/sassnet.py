"""Shape-aware semi-supervised segmentation (Li et al., MICCAI 2020), for volumes.

A second head learns the signed distance map of the labels. A discriminator learns to tell the maps of labelled patches
from others, and the network learns maps of unlabelled ones that it takes for labelled.

L = L_D + 0.3 (z - d)^2 - 0.01 r(t) log D(z_u, x_u), of the discriminator -log D(z_l, x_l) - log(1 - D(z_u, x_u))
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..consistency import ramp_up
from ..distances import shape_loss
from ..loop import Run
from ..settings import TrainSettings
from ..teaching import Lesson, train_extended
from ..volume_heads import Judged


def fooling(discriminator: nn.Module, maps: Tensor, images: Tensor) -> Tensor:
    """Cross-entropy of the discriminator with "labelled", for what is not; it does not train the discriminator."""
    fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
    verdict = functional_call(discriminator, fixed, (maps, images))
    return F.cross_entropy(verdict, torch.ones(len(maps), dtype=torch.long, device=maps.device))


def judging(discriminator: nn.Module, maps: Tensor, images: Tensor, known: int) -> Tensor:
    """Cross-entropy of the discriminator with the truth, that the first ``known`` are labelled; trains it alone."""
    truth = (torch.arange(len(maps), device=maps.device) < known).long()
    return F.cross_entropy(discriminator(maps.detach(), images), truth)


def adversarial_loss(settings: TrainSettings, network: Judged, lesson: Lesson) -> Tensor:
    """Both heads' loss of the known labels and the fooling, as ramped up by then, plus the discriminator's own loss."""
    how, known = settings.volumetric, len(lesson.labels)
    logits, maps = network.answers(lesson.images)
    supervised = shape_loss(logits[:known], maps[:known], lesson.labels, how.distance)
    weight = how.adversarial * ramp_up(lesson.done, 0.0, settings.consistency.ramp)
    fooled = fooling(network.rival, maps[known:], lesson.unlabelled)
    return supervised + weight * fooled + judging(network.rival, maps, lesson.images, known)


def train(run: Run) -> nn.Module:
    """Train both heads and the discriminator on labelled and unlabelled volumes; returns the V-Net."""
    return train_extended(run, Judged, adversarial_loss)
