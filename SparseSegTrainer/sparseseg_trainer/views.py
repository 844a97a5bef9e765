"""What the networks that see volumes otherwise add to the answer of the network of slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .orthogonal import CHUNK, add_orthogonal
from .overview import add_overview
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
    if network.shape.orthogonal:
        add_orthogonal(probability, network, image, slice_spacing, flips, step, at_once)
    if network.shape.overview:
        others = 1 + len(PLANES) if network.shape.orthogonal else 1
        share = 1 / (1 + others)  # each network counts the same
        add_overview(probability, network, image, slice_spacing, flips, share, step)
