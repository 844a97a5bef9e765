"""The in-plane grid and brightness that a cohort's slices are brought to, for training and for segmenting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .slices import resample_slices

MULTIPLE = 16  # the U-Net halves rows and columns up to four times
SMALLEST = 32  # rows and columns of the smallest padded slice
SIZE_PERCENTILE = 75  # larger slices lose their border in training, smaller ones are padded with zeros
SLACK = 2  # pixels: a slice hardly larger than a multiple of 16 does not cost another 16
BRIGHTNESS = 0.35  # mean of a volume's intensities


@dataclass(frozen=True)
class CohortGrid:
    """The in-plane grid of a whole cohort: spacing in mm (row, column) and the padded shape (rows, columns).

    ``field_of_view`` is the side in mm (of a square of the same area) that every slice is taken to have, whatever the
    spacing in its file; None: that spacing holds. ``partial``: what lies beyond ``shape`` is never looked at.
    """

    spacing: tuple[float, float]
    shape: tuple[int, int] = (0, 0)
    field_of_view: float | None = None
    partial: bool = False

    def size(self, rows: int, columns: int, spacing: tuple[float, float]) -> tuple[int, int]:
        """Rows and columns that a slice of that many pixels and that spacing in mm has on this grid."""
        spacing = believed_spacing((rows, columns), spacing, self.field_of_view)
        fine = (rows * spacing[0] / self.spacing[0], columns * spacing[1] / self.spacing[1])
        return max(1, round(fine[0])), max(1, round(fine[1]))


def pad(slices: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Centre (S, h, w) on zeros of (S, *shape); what does not fit is cropped on both sides."""
    result = np.zeros((len(slices), *shape), slices.dtype)
    source, target = _windows(slices.shape[1:], shape)
    result[:, target[0], target[1]] = slices[:, source[0], source[1]]
    return result


def unpad(slices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Inverse of ``pad``: the last two axes back to ``size``; what was cropped comes back as zeros.

    No copy is made if that is their size already.
    """
    if slices.shape[-2:] == tuple(size):
        return slices
    result = np.zeros((*slices.shape[:-2], *size), slices.dtype)
    target, source = _windows(size, slices.shape[-2:])
    result[..., target[0], target[1]] = slices[..., source[0], source[1]]
    return result


def placed(size: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of ``shape`` that ``pad`` puts slices of ``size`` into."""
    rows, columns = _windows(size, shape)[1]
    return rows, columns


def uncropped(size: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of slices of ``size`` that ``pad`` does not crop."""
    rows, columns = _windows(size, shape)[0]
    return rows, columns


def working_lines(index: int, count: int, size: int) -> list[int]:
    """Those of ``size`` rows of a working grid that show row ``index`` of ``count`` of the image.

    The one that contains its center; where the working grid is the finer one, those whose centers it contains.
    """
    if size > count:
        return [line for line in range(size) if (2 * line + 1) * count // (2 * size) == index]
    return [(2 * index + 1) * size // (2 * count)]


def _windows(size, shape):
    inner, outer = [], []
    for have, want in zip(size, shape, strict=True):
        length = min(have, want)
        inner.append(slice((have - length) // 2, (have - length) // 2 + length))
        outer.append(slice((want - length) // 2, (want - length) // 2 + length))
    return inner, outer


def side_of_view(size: tuple[int, int], spacing: tuple[float, float]) -> float:
    """Side in mm of the square that is as large as a slice of that many pixels and that spacing in mm."""
    return math.sqrt(math.prod(size) * math.prod(spacing))


def believed_spacing(size: tuple[int, int], spacing: tuple[float, float], field_of_view: float | None):
    """The ``spacing`` in mm of a slice of ``size`` pixels, brought to that ``field_of_view`` if there is one."""
    factor = field_of_view / side_of_view(size, spacing) if field_of_view else 1.0
    return spacing[0] * factor, spacing[1] * factor


def choose_grid(
    sizes: list[tuple[int, int]],
    spacings: list[tuple[float, float]],
    pixels: int,
    field_of_view: float | None = None,
    region: tuple[float, float] | None = None,
) -> CohortGrid:
    """Working grid on which the median slice has about ``pixels`` pixels, never finer than the median image.

    ``sizes`` in pixels and ``spacings`` in mm are (row, column), one a case; ``field_of_view`` as in ``CohortGrid``.
    ``region``: mm of the part around the center of a slice that is looked at, and has so many pixels; None: all of it.
    """
    spacings = [believed_spacing(*pair, field_of_view) for pair in zip(sizes, spacings, strict=True)]
    extent = np.median(np.array(sizes) * np.array(spacings), 0)
    if region:
        extent = np.minimum(extent, region)
    finest = np.median(np.array(spacings), 0)
    step = math.sqrt(extent.prod() / pixels) if pixels else 0.0
    spacing = (max(float(finest[0]), step), max(float(finest[1]), step))
    grid = CohortGrid(spacing)
    working = [grid.size(*size, own) for size, own in zip(sizes, spacings, strict=True)]
    large = np.array(region) / spacing if region else np.percentile(working, SIZE_PERCENTILE, axis=0)
    large -= SLACK
    if region:  # along an axis that structures fill nothing of any slice may be lost
        longest = np.max(working, 0)
        large = np.where(large < longest - 2 * SLACK, large, longest)
    return CohortGrid(spacing, padded_shape(large), field_of_view, region is not None)


def padded_shape(size) -> tuple[int, int]:
    """Rows and columns of at least ``size`` that the network takes."""
    rows, columns = (max(SMALLEST, MULTIPLE * math.ceil(side / MULTIPLE)) for side in size)
    return rows, columns


def to_working_grid(image: np.ndarray, size: tuple[int, int], grid: CohortGrid) -> np.ndarray:
    """Normalised slices (S, H, W) in [0, 1] -> bytes (S, *grid.shape) of like mean brightness, of ``size`` before."""
    slices = resample_slices(image, size).clip(0, 1)
    if grid.partial:
        slices = slices[:, *uncropped(size, grid.shape)]
    return pad(np.round(match_brightness(slices) * 255).astype(np.uint8), grid.shape)


def match_brightness(image: np.ndarray, mean: float = BRIGHTNESS) -> np.ndarray:
    """Raise intensities in [0, 1] to the power that gives them that ``mean``; black and white stay.

    Percentiles alone leave volumes with a few very bright voxels (contrast agent, coil) dark.
    """
    histogram, edges = np.histogram(image, 256, (0, 1))
    centers, share = (edges[:-1] + edges[1:]) / 2, histogram / max(1, image.size)
    powers = np.geomspace(0.25, 4, 200)
    means = (centers ** powers[:, None] * share).sum(1)
    return image ** float(powers[np.abs(means - mean).argmin()])
