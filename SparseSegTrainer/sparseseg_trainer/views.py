"""What the networks that see volumes otherwise add to the answer of the network of slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .orthogonal import cut_depth, orthogonal_probabilities
from .overview import add_overview
from .prediction import CHUNK
from .segmentation_network import PLANES, SeveralViews


def add_views(
    probability: np.ndarray,
    network: SeveralViews,
    image: np.ndarray,
    slice_spacing: float,
    flips: bool,
    step: Callable = lambda: None,
    at_once: int = CHUNK,
) -> None:
    """Average, in place, a ``probability`` (slice, class, row, column) with the answers of all networks beside it.

    ``image`` (slice, row, column) in [0, 1] at the model's spacing. ``step`` is called now and then, and ``at_once``
    cuts are predicted together.
    """
    shape, count = network.shape, 1  # each network counts the same
    if shape.orthogonal:
        depth = cut_depth(len(image), slice_spacing, shape.orthogonal.spacing)
        for name, axis in PLANES.items():
            own = getattr(network, name)
            probability += orthogonal_probabilities(own, image, axis, depth, flips, step, at_once)
        count += len(PLANES)
        probability /= count
    if shape.overview:
        add_overview(probability, network, image, slice_spacing, flips, 1 / (count + 1), step)
