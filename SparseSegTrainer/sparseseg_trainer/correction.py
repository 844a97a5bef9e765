"""Labels carried along a registration's fields, corrected by appearance, which also finds the ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from .appearance import appearance
from .devices import side_by_side
from .ends import Taper, likeliest_tapers, tapered, usual_tapers
from .known_slices import KnownSlices
from .propagation import Register, Travelled, propagate_labels

EVIDENCE = 0.4  # share of the appearance's evidence that counts
FLOOR = 1e-2  # least probability of a carried label: appearance can overrule it, but not easily
BLUR = 0.3  # pixels of uncertainty about the border for each slice that a label was carried
BLUR_AT_START, BLUR_LIMIT = 0.3, 8.0  # pixels
BLUR_PART = 0.5  # of the radius of the smallest class drawn, at most: a thin structure would vanish


@dataclass
class Combined:
    """What registration and appearance say together, and what each of them says.

    ``travelled``: labels as carried, confidence, distance. ``tapered`` and ``probability`` (slice, class, row, column),
    background first: carried labels that shrink towards the ends, and these with the ``evidence`` (slice, class - 1,
    row, column) of the appearance. ``usual``: the tapers to where the structure ends at the latest. ``first`` and
    ``last``: the end slices where marked.
    """

    known: KnownSlices
    first: int | None
    last: int | None
    travelled: Travelled
    usual: tuple[Taper, Taper]
    tapered: Tensor
    evidence: Tensor
    probability: Tensor


@torch.no_grad()
def combined(register: Register, known: KnownSlices, first: int | None = None, last: int | None = None) -> Combined:
    """Segments all slices from what is ``known`` of some.

    ``register`` gives the fields; ``first`` and ``last`` are the end slices where marked.
    """
    slices, drawn, absent, annotated = known.slices, known.drawn, known.absent, sorted(known.drawn)
    travelled = propagate_labels(register, slices, drawn, first, last)
    usual = usual_tapers(annotated, absent)
    labels = tapered(travelled.carried, annotated, usual).max(1).indices
    with torch.enable_grad():
        evidence = appearance(slices, labels, annotated, absent, known.classes)
    marked = (first is not None, last is not None)
    carried = tapered(
        travelled.carried, annotated, likeliest_tapers(travelled.carried, evidence, annotated, usual, marked)
    )
    limit = min(BLUR_LIMIT, BLUR_PART * smallest_radius(list(drawn.values())))
    logits = blurred(carried, travelled.distance, limit).clamp_min(FLOOR).log()
    logits[:, 1:] += EVIDENCE * evidence
    probability = logits.softmax(1)
    probability[absent] = carried[absent]
    probability[annotated] = travelled.carried[annotated]
    return Combined(known, first, last, travelled, usual, carried, evidence, probability)


def smallest_radius(drawn: list[Tensor]) -> float:
    """Of the class with the smallest area in any of the ``drawn`` labels (class, row, column): of a disk, in pixels."""
    areas = torch.stack(drawn)[:, 1:].sum((2, 3))
    return math.sqrt(areas[areas > 0.5].min().item() / math.pi) if (areas > 0.5).any() else 0.0


def blurred(probability: Tensor, distance: Tensor, limit: float) -> Tensor:
    """``probability`` (slice, class, row, column) with borders as uncertain as ``distance`` (slice,) makes them.

    ``limit`` is the most, in pixels.
    """
    sigmas = (BLUR_AT_START + BLUR * distance).clamp_max(limit).tolist()

    def softer(one: tuple[np.ndarray, float]) -> np.ndarray:
        labels, sigma = one
        return gaussian_filter(labels, (0, sigma, sigma))

    result = side_by_side(softer, zip(probability.cpu().numpy(), sigmas, strict=True))
    return torch.from_numpy(np.stack(result)).to(probability)
