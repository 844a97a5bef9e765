"""The picture of the README: some slices of a volume, the drawn one in yellow, what became of it in red."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SHARES = (0.25, 0.35, 0.5, 0.65, 0.75)  # of the way from the first slice to the last


def save_picture(path: Path, image: np.ndarray, label: np.ndarray, drawn: int) -> None:
    """Writes a row of slices of ``image`` (slice, row, column) with the outline of ``label``."""
    chosen = [drawn if share == 0.5 else round(share * (len(image) - 1)) for share in SHARES]
    figure, axes = plt.subplots(1, len(chosen), figsize=(12, 3.2), facecolor="black")
    for axis, index in zip(axes, chosen, strict=True):
        axis.imshow(image[index], cmap="gray", origin="lower", vmin=0, vmax=np.percentile(image, 99.5))
        if label[index].any():
            axis.contour(label[index] > 0, [0.5], colors="yellow" if index == drawn else "red", linewidths=1.5)
        axis.set_title("drawn" if index == drawn else f"slice {index}", color="white", fontsize=11)
        axis.axis("off")
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.9, wspace=0.03)
    figure.savefig(path, dpi=100, facecolor="black")
    plt.close(figure)
