"""From slices or volumes on the working grid to class probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

CHUNK = 16  # slices, or cuts, predicted at once: what a processor's cache holds, which is faster than more
MIRRORS = ((), (-2,), (-1,), (-2, -1))  # axes of (..., rows, columns) turned round
WINDOWS, OVERLAP = 4, 0.5  # of a volume: how many are looked at together, and how much of two neighbours is the same


@torch.inference_mode()
def probabilities(network: nn.Module, images: Tensor, flips: bool = False) -> Tensor:
    """Softmax of the network (B, C + 1, ..., rows, columns), averaged over the four mirrored views if ``flips``."""
    network.eval()
    mirrors = MIRRORS if flips else MIRRORS[:1]
    total = sum(network(images.flip(axes)).float().softmax(1).flip(axes) for axes in mirrors)
    return total / len(mirrors)


@torch.inference_mode()
def volume_probabilities(
    network: nn.Module, volume: Tensor, patch: tuple[int, int, int], flips: bool = False, step: Callable = lambda: None
) -> Tensor:
    """Softmax (1, C + 1, slices, rows, columns) of a network that sees ``patch`` voxels of a ``volume`` (1, 1, ...).

    Overlapping windows are averaged, weighted by a Gaussian around their centres; ``step`` is called before each few of
    them. The result is where ``volume`` is, the network may be elsewhere.
    """

    def answer(windows: Tensor) -> Tensor:
        step()
        return probabilities(network, windows, flips)

    device = next(network.parameters()).device
    return sliding_window_inference(
        volume, patch, WINDOWS, answer, OVERLAP, "gaussian", sw_device=device, device=volume.device
    )


def smooth_along_slices(probability: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian average of (slices, ...) over neighbouring slices; ``sigma`` in slices, below 0.3 nothing changes."""
    if sigma < 0.3:
        return probability
    return gaussian_filter1d(probability, sigma, axis=0, mode="nearest", truncate=3.0)
