"""Fusion of two sets of pseudo labels into certain and uncertain ones (osman2024, eq. 4-5)."""

from __future__ import annotations

from torch import Tensor

from .coding import UNCERTAIN

TRUST = 0.6  # largest share of a propagated label beside the network's prediction
# Power of its confidence that the share falls with. The larger, the less is lost where slices differ so much that
# labels do not travel (hippocampus), and the less gained where they do (prostate, left atrium).
DOUBT = 4


def fuse(semi: Tensor, propagated: Tensor, fusion: str) -> Tensor:
    """Fuse two label maps of the same shape (0..C, uint8).

    ``"consistency"``: where both name the same class it is certain (eq. 4); where only one names a class, or they
    name different ones, the pixel is uncertain (100 + class, eq. 5), of the semi-supervised network's class if it has
    one. ``"intersection"``: uncertain pixels become background. ``"union"``: they become certain.
    """
    named = semi.where(semi > 0, propagated)
    if fusion == "union":
        return named
    agree = semi == propagated
    if fusion == "intersection":
        return semi.where(agree, 0)
    return semi.where(agree, named + UNCERTAIN)


def blend(semi: Tensor, propagated: Tensor, confidence: Tensor) -> Tensor:
    """Mean of two sets of probabilities (slices, classes, rows, columns), the propagated one as far as it is trusted.

    ``confidence`` (slices,) from 0 to 1 as ``propagate_labels`` has it.
    """
    share = (TRUST * confidence**DOUBT).view(-1, 1, 1, 1)
    return share * propagated + (1 - share) * semi


def mark_disagreement(labels: Tensor, semi: Tensor, propagated: Tensor) -> Tensor:
    """Label maps (uint8) with 100 added where a class is named that not both sources name."""
    disputed = (labels > 0) & ((labels != semi) | (labels != propagated))
    return labels.where(~disputed, labels + UNCERTAIN)
