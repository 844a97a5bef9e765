"""Self-PL-Net of osman2024 (Table 3): ``collaborative`` with the propagated pseudo labels alone."""

from __future__ import annotations

from torch import nn

from ..loop import Run
from ..pseudo_labels import fused_labels, kept, reached
from ..registering import registration_network
from .collaborative import train_target


def train(run: Run) -> nn.Module:
    """Train the target network on the slices that propagated labels reach, all of them certain (eq. 6)."""
    labels = kept(run, lambda: fused_labels(run, None, registration_network(run)))
    return train_target(run, None, labels, reached(run))
