"""What is drawn on a volume, on the working grid of its cohort."""

from __future__ import annotations

import numpy as np

from ..cohort_grid import uncropped, working_lines
from ..slices import resample_slices
from ..sparse_volume import SparseVolume


def working_label(volume: SparseVolume, size: tuple[int, int]) -> np.ndarray:
    """The drawn classes on the working grid, uint8 (S, *size); what is unknown is 0.

    ``size`` is that of a slice there before padding. Of drawn slices each pixel has the class with the largest share of
    its area. A slice across another axis fills the rows or columns that show it (``working_lines``).
    """
    result, annotated = np.zeros((len(volume.image), *size), np.uint8), list(volume.annotated)
    for dimension, index in volume.others:
        drawn = volume.label.take(index, dimension)[:, None]  # a row: of a column PyTorch makes zeros
        classes = _by_share(drawn, (1, size[2 - dimension]))[:, 0]
        for line in working_lines(index, volume.image.shape[dimension], size[dimension - 1]):
            np.moveaxis(result, dimension, 0)[line] = classes
    if annotated:
        result[annotated] = _by_share(volume.label[annotated], size)
    return result


def known_lines(volume: SparseVolume, size: tuple[int, int], shape: tuple[int, int]) -> list[tuple[int, ...]]:
    """The rows, and the columns, of the working grid without its padding that are known on every slice."""
    found = [set(), set()]
    for dimension, index in volume.others:
        inside = uncropped(size, shape)[dimension - 1]
        lines = working_lines(index, volume.image.shape[dimension], size[dimension - 1])
        found[dimension - 1] |= {line - inside.start for line in lines if inside.start <= line < inside.stop}
    return [tuple(sorted(lines)) for lines in found]


def _by_share(drawn: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Classes (slices, H, W) on pixels of another ``size``, by the largest share of each one's area."""
    classes = [0, *(int(value) for value in np.unique(drawn) if value)]
    shares = np.stack([resample_slices((drawn == value).astype(np.float32), size) for value in classes])
    return np.array(classes, np.uint8)[shares.argmax(0)]
