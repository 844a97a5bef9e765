"""Fusion of two sets of pseudo labels into certain and uncertain ones (osman2024, eq. 4-5)."""

from __future__ import annotations

from torch import Tensor

from .losses import UNCERTAIN


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
