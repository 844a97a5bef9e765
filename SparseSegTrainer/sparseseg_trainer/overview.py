"""The overview: a network that sees whole volumes, coarsely, beside the one that sees single slices, finely.

Slices far from the drawn ones do not show whether they still belong to the structure; the volume around them does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .cohort_grid import pad, placed, uncropped
from .network_shape import Overview
from .prediction import volume_probabilities
from .segmentation_network import SeveralViews
from .slices import resample_slices


def coarse(slices: np.ndarray, slice_spacing: float, overview: Overview) -> Tensor:
    """An image, or one class of a soft label, (slice, row, column) on the working grid -> (slice, side, side), float32.

    ``slice_spacing`` in mm is that of ``slices``.
    """
    depth = max(1, round(len(slices) * slice_spacing / overview.slice_spacing))
    small = resample_slices(slices, (overview.side, overview.side))
    # along slices as within them: the axes of slices and of rows change places, and back
    volume = resample_slices(small.swapaxes(0, 1), (depth, overview.side)).swapaxes(0, 1)
    return torch.from_numpy(np.ascontiguousarray(volume))


def fine(volume: Tensor, shape: tuple[int, int, int]) -> np.ndarray:
    """Probabilities (class, slice, side, side) -> (slice, class, row, column) on slices of that ``shape``."""
    return interpolate(volume[None], shape, mode="trilinear")[0].numpy().swapaxes(0, 1)


def add_overview(
    probability: np.ndarray,
    network: SeveralViews,
    image: np.ndarray,
    slice_spacing: float,
    flips: bool,
    share: float,
    step: Callable = lambda: None,
) -> None:
    """Average, in place, a ``probability`` (slice, class, row, column) with what the overview of ``network`` answers.

    ``image`` (slice, row, column) in [0, 1] at the model's spacing; ``share`` of the overview in the average. What lies
    beyond the overview's grid stays.
    """
    seen = network.shape.overview
    volume = coarse(pad(image, seen.grid), slice_spacing, seen)
    answer = volume_probabilities(network.overview, volume[None, None], (seen.side,) * 3, flips, step)
    answer = fine(answer[0], (len(image), *seen.grid))
    inside, outside = (part(image.shape[1:], seen.grid) for part in (uncropped, placed))
    both = probability[:, :, *inside]
    both += share * (answer[:, :, *outside] - both)
