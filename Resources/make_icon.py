"""Draws the icon of the extension and the module: slices of a volume, one of them with a drawn outline.

Run ``python Resources/make_icon.py`` from the project's root; needs matplotlib.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon

ROOT = Path(__file__).resolve().parents[1]
FILES = (ROOT / "Resources/SparseSeg.png", ROOT / "SparseSeg/Resources/Icons/SparseSeg.png")
CORNERS = np.array([(-0.75, -0.12), (0.0, -0.42), (0.75, -0.12), (0.0, 0.18)])


def main() -> None:
    figure = plt.figure(figsize=(1.28, 1.28), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-1, 1), ylim=(-1, 1))
    axes.axis("off")
    angle = np.linspace(0, 2 * np.pi, 60)
    for number, height in enumerate(np.linspace(-0.45, 0.65, 5)):
        drawn = number == 2
        corners = CORNERS + np.array([0, height])
        axes.add_patch(Polygon(corners, fc="#3b4a5a", ec="#dfe6ee", lw=1, alpha=0.9, zorder=2 * number))
        x = 0.3 * (1 - 0.12 * abs(number - 2)) * np.cos(angle)
        y = 0.13 * (1 - 0.12 * abs(number - 2)) * np.sin(angle) + height - 0.12
        color = "#e69f00" if drawn else "#56b4e9"
        axes.fill(x, y, color=color, alpha=1 if drawn else 0.45, zorder=2 * number + 1)
    for path in FILES:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, transparent=True)


if __name__ == "__main__":
    main()
