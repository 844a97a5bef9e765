"""Semi-PL-Net of osman2024 (Table 3): ``collaborative`` with the semi-supervised network's pseudo labels alone."""

from __future__ import annotations

from torch import nn

from ..loop import Run
from .collaborative import train_on_labels, train_semi


def train(run: Run) -> nn.Module:
    """Train the target network on what the semi-supervised one (eq. 1-3) predicts, all of it certain (eq. 6)."""
    return train_on_labels(run, train_semi(run), None)
