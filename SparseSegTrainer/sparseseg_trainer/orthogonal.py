"""The networks of the orthogonal planes: they see a volume cut along its rows, and along its columns.

A slice does not show what lies above and below it. The cuts do, as finely as slices show the rest, and networks that
see something else are wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from .cohort_grid import pad, padded_shape, unpad
from .prediction import CHUNK, probabilities
from .slices import resample_slices

DEEPEST = 16  # rows of a cut for each slice, at most: a spacing that cannot be right must not fill the memory


def cut_depth(slices: int, slice_spacing: float, spacing: float) -> int:
    """Rows of a cut of so many ``slices``, both spacings in mm."""
    return max(1, round(slices * min(DEEPEST, slice_spacing / spacing)))


def cuts(volume: np.ndarray, axis: int, depth: int) -> np.ndarray:
    """Cuts a volume (slice, row, column) along axis 1 or 2: (cut, depth, the other axis), float32."""
    turned = np.moveaxis(volume, axis, 0)
    return resample_slices(turned, (depth, turned.shape[2]))


def uncut(probability: np.ndarray, axis: int, slices: int) -> np.ndarray:
    """Probabilities of cuts (cut, class, depth, the other axis) -> (slice, class, row, column): undoes ``cuts``."""
    count, classes, _, other = probability.shape
    flat = resample_slices(probability.reshape(-1, *probability.shape[2:]), (slices, other))
    return np.moveaxis(flat.reshape(count, classes, slices, other), (2, 1, 0), (0, 1, 1 + axis))


def orthogonal_probabilities(
    network: nn.Module,
    image: np.ndarray,
    axis: int,
    depth: int,
    flips: bool,
    step: Callable = lambda: None,
    at_once: int = CHUNK,
) -> np.ndarray:
    """What a network of cuts along ``axis`` answers to ``image`` (slice, row, column) in [0, 1].

    Returns (slice, class, row, column) float32, background first. ``step`` is called before each ``at_once`` cuts.
    """
    device, answers = next(network.parameters()).device, []
    seen = cuts(image, axis, depth)
    size = seen.shape[1:]
    for some in torch.from_numpy(pad(seen, padded_shape(size)))[:, None].split(at_once):
        step()
        answers.append(unpad(probabilities(network, some.to(device), flips).cpu().numpy(), size))
    return uncut(np.concatenate(answers), axis, len(image))
