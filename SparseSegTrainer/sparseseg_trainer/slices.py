"""Volumes as stacks of slices: the slice axis, the (slice, row, column) view, normalisation, resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .geometry import Geometry

PERCENTILES = (0.5, 99.5)
# Percentiles of a regular sample of this many voxels differ from the whole volume's by less than the noise.
SAMPLE = 4_000_000


def slice_axis(geometry: Geometry, chosen: int | None = None) -> int:
    """The slice axis: the ``chosen`` one, or else that of largest spacing; 0, 1, 2 are the image's i, j, k.

    Of equal spacings it is the last one.
    """
    if chosen is not None:
        return chosen
    largest = max(geometry.spacing)
    # Spacings equal but for rounding (0.625 and 0.62500001 from a NIfTI header) count as equal.
    return max(axis for axis in range(3) if geometry.spacing[axis] >= largest * (1 - 1e-4))


def to_slices(array: np.ndarray, axis: int) -> np.ndarray:
    """Views an array (k, j, i) as (slice, row, column), with slices along the image's ``axis``."""
    return np.moveaxis(array, 2 - axis, 0)


def from_slices(array: np.ndarray, axis: int) -> np.ndarray:
    """Views an array (slice, row, column) as (k, j, i): the inverse of ``to_slices``."""
    return np.moveaxis(array, 0, 2 - axis)


def slice_axes(axis: int) -> tuple[int, int, int]:
    """The image's axes (0, 1, 2 are i, j, k) in the order (slice, row, column), slices being along ``axis``."""
    row, column = (other for other in (2, 1, 0) if other != axis)
    return axis, row, column


def slice_spacing(geometry: Geometry, axis: int) -> tuple[float, float, float]:
    """Spacing in mm in the order (slice, row, column)."""
    depth, row, column = (geometry.spacing[along] for along in slice_axes(axis))
    return depth, row, column


def normalise(array: np.ndarray) -> np.ndarray:
    """Intensities as float32 from 0 to 1: percentiles 0.5 to 99.5, clipped. A constant volume becomes zeros.

    ``array`` has any real type and at least one dimension, and is finite.
    """
    values = array.ravel()[:: max(1, array.size // SAMPLE)]
    low, high = (float(value) for value in np.percentile(values.astype(np.float64), PERCENTILES))
    if low == high:  # nearly all voxels are equal, as in a mask: what stands out is all there is to see
        low, high = float(array.min()), float(array.max())
    result = np.zeros(array.shape, np.float32)
    if high > low:
        for source, target in zip(array, result, strict=True):  # one slice at a time bounds the memory
            target[...] = np.clip((source.astype(np.float64) - low) / (high - low), 0, 1)
    return result


def resample_slices(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resamples slices (S, H, W) to (S, h, w), float32, for images and soft labels.

    Bilinear, and averaging over the area where it shrinks, so that nothing is aliased.
    """
    # Imported here: torch takes seconds to load, and reading a cohort does not need it.
    import torch
    from torch.nn.functional import interpolate

    array = np.ascontiguousarray(array, np.float32)
    if array.shape[1:] == tuple(shape):
        return array
    slices = torch.from_numpy(array)[:, None]
    return interpolate(slices, tuple(shape), mode="bilinear", antialias=True)[:, 0].numpy()
