"""The instant result: labels carried along the fields, shrinking towards the ends, corrected by appearance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from .appearance import appearance
from .ends import tapered
from .propagation import Fields, Travelled, propagate_labels

EVIDENCE = 0.4  # share of the appearance's evidence that counts
FLOOR = 1e-2  # least probability of a carried label: appearance can overrule it, but not easily
BLUR = 0.12  # pixels of uncertainty about the border for each slice that a label was carried
BLUR_AT_START, BLUR_LIMIT = 0.3, 4.0  # pixels


@dataclass
class Instant:
    """A volume's labels before its own network.

    ``travelled``: labels as carried, confidence, distance. ``evidence``: (slice, class, row, column) in logits.
    ``probability``: (slice, class, row, column), background first.
    """

    travelled: Travelled
    evidence: Tensor
    probability: Tensor


@torch.no_grad()
def instant_result(
    network: nn.Module,
    slices: Tensor,
    drawn: dict[int, Tensor],
    absent: Tensor,
    first: int | None = None,
    last: int | None = None,
) -> Instant:
    """Segments ``slices`` (slice, row, column) from the ``drawn`` soft labels {slice: (class, row, column)}.

    ``absent`` (slice,) bool marks slices known as background; ``first`` and ``last`` are the end slices where marked.
    """
    travelled = propagate_labels(Fields(network, slices), drawn, first, last)
    annotated = sorted(drawn)
    labels = tapered(travelled.carried, annotated, absent).argmax(1)
    evidence = torch.zeros_like(travelled.carried[:, 1:])
    with torch.enable_grad():
        found = appearance(slices, labels, annotated, absent)
    evidence[:, : found.shape[1]] = found
    return Instant(travelled, evidence, shaped(travelled, evidence, annotated, absent))


def shaped(travelled: Travelled, evidence: Tensor, annotated: list[int], absent: Tensor) -> Tensor:
    """The carried labels, shrinking towards the ``absent`` slices, with the evidence of appearance added.

    All (slice, class, row, column). Annotated slices stay as they were drawn, absent ones are background.
    """
    carried = tapered(travelled.carried, annotated, absent)
    blurred = carried.cpu().numpy().copy()
    for index, distance in enumerate(travelled.distance.tolist()):
        sigma = min(BLUR_LIMIT, BLUR_AT_START + BLUR * distance)
        blurred[index] = gaussian_filter(blurred[index], (0, sigma, sigma))
    logits = torch.from_numpy(blurred).to(carried).clamp_min(FLOOR).log()
    logits[:, 1:] += EVIDENCE * evidence
    result = logits.softmax(1)
    result[absent] = carried[absent]
    result[annotated] = travelled.carried[annotated]
    return result
