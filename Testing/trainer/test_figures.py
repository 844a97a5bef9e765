"""The pictures of reports, by the colors of their pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

figures = pytest.importorskip("sparseseg_trainer.figures", exc_type=ImportError)

SIDE = 50  # of the slice, in voxels


def pixels_of(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(png))[..., :3]


def has_color(pixels: np.ndarray, color: str) -> np.ndarray:
    """Where the pixels have about this color, on whatever it is drawn."""
    from matplotlib.colors import to_rgb

    return np.abs(pixels - to_rgb(color)).max(2) < 0.25  # a thin line half-way between two pixels covers 0.7 of each


def border(label: np.ndarray, side: int) -> np.ndarray:
    """The border of what is labeled on a slice that is shown with ``side`` pixels."""
    voxels = (np.arange(side) + 0.5) * len(label) // side
    shown = label[voxels.astype(int)][:, voxels.astype(int)] > 0
    return shown & ~binary_erosion(shown)


def test_a_contour_montage_is_red_along_the_predictions_border_and_blue_along_the_references_and_nowhere_else():
    prediction, reference = np.zeros((2, 1, SIDE, SIDE), int)
    prediction[0, 25:45, 4:10] = prediction[0, 38:45, 4:30] = 1  # an L: no turned or mirrored one is the same
    reference[0, 10:18, 33:46] = 1
    contours = [(figures.REFERENCE, reference), (figures.DRAWN, prediction)]
    pixels = pixels_of(figures.contour_montage(np.full((1, SIDE, SIDE), 0.3), contours, [""], (1.0, 1.0)))
    assert len(pixels) == pixels.shape[1] > 4 * SIDE
    for color, [label] in contours:
        drawn, wanted = has_color(pixels, color), border(label, len(pixels))
        within = len(pixels) / SIDE  # a voxel
        assert distance_transform_edt(~wanted)[drawn].max() < within
        assert distance_transform_edt(~drawn)[wanted].max() < within


def test_a_panel_with_an_outline_shows_the_image_as_large_as_one_without():
    label = np.zeros((2, SIDE, SIDE), int)
    label[1, 20:30, 20:30] = 1
    pixels = pixels_of(figures.contour_montage(np.ones((2, SIDE, SIDE)), [(figures.DRAWN, label)], [""] * 2, (1, 1)))
    plain, outlined = np.array_split(pixels, 2, axis=1)
    black = [(panel.max(2) < 0.5).mean() for panel in (plain, outlined)]
    assert black[0] == pytest.approx(black[1], abs=0.002)
