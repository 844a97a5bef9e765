"""The losses of osman2024, for any number of classes.

Label maps hold 0 for background and 1..C for the classes; fused pseudo labels hold 101..100+C besides, where the two
sources disagree (``UNCERTAIN`` + class). Images are slices or, but for ``collaborative_loss``, volumes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .coding import UNCERTAIN

SIGMA = 1.0


def one_hot(labels: Tensor, classes: int, offset: int = 0) -> Tensor:
    """(B, ...) label map -> (B, classes, ...) float foreground masks of the values offset + 1 .. offset + classes."""
    values = torch.arange(1, classes + 1, device=labels.device).view(1, -1, *[1] * (labels.ndim - 1)) + offset
    return (labels.unsqueeze(1) == values).float()


def named(labels: Tensor) -> Tensor:
    """The classes that a label map names, whether certain or not."""
    return labels.where(labels <= UNCERTAIN, labels - UNCERTAIN)


def dice_loss(probability: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Dice loss of eq. 2 with sigma = 1 over each image's pixels, mean over the classes.

    ``probability`` and ``target`` are (B, C, ...) without the background, ``mask`` (B, 1, ...) is 0 where a pixel is
    ignored. Returns (B,).
    """
    space = tuple(range(2, probability.ndim))
    if mask is not None:
        probability, target = probability * mask, target * mask
    overlap = (probability * target).sum(space)
    total = probability.sum(space) + target.sum(space)
    return (1 - (2 * overlap + SIGMA) / (total + SIGMA)).mean(1)


def labels_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice loss of softmax(``logits``) (B, C + 1, ...) against ``labels`` (B, ...), mean over images and classes."""
    probability = logits.float().softmax(1)[:, 1:]
    return dice_loss(probability, one_hot(labels, probability.shape[1])).mean()


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy of eq. 2 (with the usual sign), mean over each image's pixels (all of them, ignored ones are 0).

    ``logits`` (B, C + 1, ...), ``labels`` (B, ...) with 0..C, ``mask`` (B, 1, ...). Returns (B,).
    """
    loss = F.cross_entropy(logits, labels.long(), reduction="none")
    return (loss if mask is None else loss * mask[:, 0]).flatten(1).mean(1)


def segmentation_loss(logits: Tensor, labels: Tensor, gamma: float, mask: Tensor | None = None) -> Tensor:
    """L_Dice + gamma L_CE of eq. 2 for each image. Returns (B,)."""
    probability = logits.float().softmax(1)[:, 1:]
    dice = dice_loss(probability, one_hot(labels, probability.shape[1]), mask)
    return dice + gamma * cross_entropy(logits.float(), labels, mask)


def collaborative_loss(
    logits: Tensor, fused: Tensor, beta: float, gamma_certain: float, gamma_uncertain: float, treatment: str
) -> Tensor:
    """Loss of the target network, eq. 6-7, for each image. Returns (B,).

    ``fused`` (B, H, W) holds certain labels 0..C and uncertain ones 101..100+C. ``treatment`` says what an uncertain
    pixel is: ``"weighted"`` as in the paper (background in the certain term, foreground in the uncertain term, which is
    weighted by beta), ``"background"``, ``"ignored"`` (in neither term), or ``"trusted"`` (as if certain).
    """
    uncertain = fused > UNCERTAIN
    if treatment == "trusted":
        return segmentation_loss(logits, named(fused), gamma_certain)
    certain_labels = fused.masked_fill(uncertain, 0)
    if treatment == "ignored":
        return segmentation_loss(logits, certain_labels, gamma_certain, (~uncertain).unsqueeze(1).float())
    loss = segmentation_loss(logits, certain_labels, gamma_certain)
    if treatment == "weighted":
        uncertain_labels = (fused.int() - UNCERTAIN).clamp_min(0)
        present = uncertain.any(-1).any(-1)  # drawn slices have no uncertain set: no second term for them
        loss = loss + beta * present * segmentation_loss(logits, uncertain_labels, gamma_uncertain)
    return loss


def pseudo_label_weight(epoch: int, k1: int, k2: int, final: float) -> float:
    """alpha(t) of eq. 3: 0 before epoch k1, then rising linearly to ``final`` at epoch k2."""
    if epoch < k1:
        return 0.0
    if epoch >= k2:
        return final
    return (epoch - k1) / (k2 - k1) * final
