"""Semi-PL-Net of osman2024 (Table 3): ``collaborative`` with the semi-supervised network's pseudo labels alone."""

from __future__ import annotations

from torch import nn

from ..loop import Run
from ..pseudo_labels import fused_labels, kept
from ..views_training import with_views
from .collaborative import train_semi, train_target


def train(run: Run) -> nn.Module:
    """Train the target network on what the semi-supervised one (eq. 1-3) predicts, all of it certain (eq. 6)."""
    semi = train_semi(run)
    labels = kept(run, lambda: fused_labels(run, semi, None))
    return with_views(run, train_target(run, semi, labels), labels)
