"""What belongs to a structure: its largest connected part, or the parts that touch what was drawn; its holes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes
from scipy.ndimage import label as connected_parts


def keep_largest(labels: np.ndarray) -> np.ndarray:
    """Keep the largest connected part of each class of a label map of any shape; the rest becomes background."""
    result = np.zeros_like(labels)
    for value in _classes(labels):
        parts, count = connected_parts(labels == value)
        sizes = np.bincount(parts.ravel())[1:]
        result[parts == 1 + sizes.argmax() if count > 1 else parts > 0] = value
    return result


def fill_holes(labels: np.ndarray) -> np.ndarray:
    """Fill the background that a class of a label map of any shape encloses; other classes inside stay."""
    result = labels.copy()
    for value in _classes(labels):
        result[binary_fill_holes(labels == value) & (result == 0)] = value
    return result


def keep_touching(labels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Keep the connected parts of each class that touch the same class in ``drawn``, a label map of the same shape.

    A class of which no part touches keeps its largest part.
    """
    result = np.zeros_like(labels)
    for value in _classes(labels):
        parts, _ = connected_parts(labels == value)
        touching = np.unique(parts[drawn == value])
        touching = touching[touching > 0]
        if len(touching):
            result[np.isin(parts, touching)] = value
        else:
            result |= keep_largest(np.where(labels == value, labels, 0))
    return result


def _classes(labels: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(labels) if value]
