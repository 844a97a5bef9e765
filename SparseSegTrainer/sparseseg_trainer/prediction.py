"""From slices on the working grid to class probabilities."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

MIRRORS = ((), (2,), (3,), (2, 3))  # axes of (B, channels, rows, columns) turned round


@torch.inference_mode()
def probabilities(network: nn.Module, images: Tensor, flips: bool = False) -> Tensor:
    """Softmax of the network (B, C + 1, rows, columns), averaged over the four mirrored views if ``flips``."""
    network.eval()
    mirrors = MIRRORS if flips else MIRRORS[:1]
    total = sum(network(images.flip(axes)).float().softmax(1).flip(axes) for axes in mirrors)
    return total / len(mirrors)


def smooth_along_slices(probability: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian average of (slices, ...) over neighbouring slices; ``sigma`` in slices, below 0.3 nothing changes."""
    if sigma < 0.3:
        return probability
    return gaussian_filter1d(probability, sigma, axis=0, mode="nearest", truncate=3.0)
