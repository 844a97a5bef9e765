"""Montages of slices as PNG images: contours of labels, and pseudo labels as in figure 5 of osman2024.

All arrays are (slice, row, column), reduced to the slices to show. Needs matplotlib (the extra ``report``).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

COLUMNS = 4
PANEL_WIDTH = 2.75  # inches
DPI = 100
# Told apart by color-blind readers, on gray: sky blue and orange.
REFERENCE, PREDICTION = "#56b4e9", "#ffa51f"
# As in the paper's figure 5: yellow where the pseudo labels agree, green where they differ.
CERTAIN, UNCERTAIN, DRAWN = "#ffe600", "#00cc33", "#ff3030"
OPACITY = 0.45


def contour_montage(
    image: np.ndarray,
    contours: Sequence[tuple[str, np.ndarray]],
    titles: Sequence[str],
    pixel: tuple[float, float],
    columns: int = COLUMNS,
) -> bytes:
    """Slices of ``image`` (0 to 1) with the outlines of label maps, each given with its color.

    ``pixel`` is the (row, column) spacing in mm.
    """

    def draw(axes: Axes, index: int) -> None:
        for above, (color, label) in enumerate(contours):
            # The first is thicker and below the others, to be seen where they agree.
            _outline(axes, label[index], color, width=1.0 if above else 2.2)

    return _montage(image, titles, pixel, draw, columns)


def region_montage(
    image: np.ndarray,
    regions: Sequence[tuple[str, np.ndarray]],
    drawn: np.ndarray,
    titles: Sequence[str],
    pixel: tuple[float, float],
) -> bytes:
    """Slices of ``image`` (0 to 1) with boolean ``regions`` filled in their colors and ``drawn`` outlined."""

    def draw(axes: Axes, index: int) -> None:
        for color, region in regions:
            overlay = np.zeros((*region.shape[1:], 4), np.float32)
            overlay[region[index]] = to_rgba(color, OPACITY)
            axes.imshow(overlay, interpolation="nearest", aspect=pixel[0] / pixel[1])
        _outline(axes, drawn[index], DRAWN)

    return _montage(image, titles, pixel, draw)


def _montage(
    image: np.ndarray,
    titles: Sequence[str],
    pixel: tuple[float, float],
    draw: Callable[[Axes, int], None],
    columns: int = COLUMNS,
) -> bytes:
    columns = min(columns, len(image))
    rows = math.ceil(len(image) / columns)
    height_to_width = image.shape[1] * pixel[0] / (image.shape[2] * pixel[1])
    # A very long or flat panel would make a figure of no use, or of no size.
    panel_height = PANEL_WIDTH * min(max(height_to_width, 0.3), 2.5)
    # Figure rather than pyplot: no window system, no state shared with the program this runs in.
    figure = Figure(figsize=(PANEL_WIDTH * columns, panel_height * rows), dpi=DPI, facecolor="black")
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02}).ravel()
    figure.subplots_adjust(0, 0, 1, 1)
    for axes in grid:
        axes.set_axis_off()
    for index, (axes, title) in enumerate(zip(grid, titles, strict=False)):
        aspect = pixel[0] / pixel[1]
        axes.imshow(image[index], cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="bilinear")
        axes.autoscale(False)  # outlines go a pixel beyond the image: their panels would show it smaller
        draw(axes, index)
        box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 2}
        axes.text(0.03, 0.97, title, transform=axes.transAxes, color="white", fontsize=9, va="top", bbox=box)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _outline(axes: Axes, label: np.ndarray, color: str, width: float = 1.0) -> None:
    """Outlines every value of a label slice, half-way between the pixels of either side."""
    padded = np.pad(label, 1)  # closes the outlines of what touches the border
    rows, columns = (np.arange(-1, size + 1) for size in label.shape)
    for value in np.unique(label[label > 0]):
        axes.contour(columns, rows, padded == value, levels=[0.5], colors=[color], linewidths=width)
