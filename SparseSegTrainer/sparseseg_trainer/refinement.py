"""The volume's own segmentation network, joined with the propagated labels: the refined result.

Registration is right near the drawn slices, a network trained on this volume alone is right about appearance. It
learns from the drawn slices, the absent ones and what was propagated; the two are joined, and the network learns once
more from what they agree on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from .cleanup import keep_touching
from .networks import light_unet
from .propagation import Travelled, soft_dice
from .reporting import Reporter, TimeLeft
from .training.augmentation import Augmentation, augment
from .training.losses import UNCERTAIN, collaborative_loss

CHANNELS, RESIDUAL_UNITS = (16, 32, 64, 96), 2
BATCH = 8
AUGMENTATION = Augmentation(
    rotation=20.0, scale=0.3, shift=0.08, elastic=0.03, gamma=0.35, contrast=0.2, brightness=0.1, noise=0.06
)
FLOOR = 1e-2  # least probability when logarithms are averaged, so that neither source has a veto


@dataclass(frozen=True)
class Round:
    """One round of training: how long, and how the sampled slices divide among the three kinds."""

    steps: int
    learning_rate: float
    drawn: float
    absent: float


ROUNDS = (Round(130, 3e-3, 0.25, 0.35), Round(80, 2e-3, 0.2, 0.25))
