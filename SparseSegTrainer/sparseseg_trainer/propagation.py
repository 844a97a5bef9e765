"""Labels travel from the annotated slices through the volume, along the registration network's fields.

osman2024, "Pseudo Label Generation by Self-Supervised Learning", with soft labels, several annotated slices, and the
ends of the structure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .registration import neighbour_fields, warp

GAPS = (1, 2, 3)  # a slice hears the three slices before it, which drifts less than hearing the nearest alone
GAP_WEIGHTS = {1: 1.0, 2: 0.7, 3: 0.5}
FADING = 25.0  # slices after which trust in a travelled label has fallen to 1/e, however well the fields agree


@dataclass
class Travelled:
    """Labels as they reached each slice.

    ``carried``: (slice, class, row, column), background first, sums to 1. ``confidence``: (slice,) from 0 to 1, 1 on
    annotated slices and beyond marked ends. ``distance``: (slice,) in slices to the nearest annotated one.
    """

    carried: Tensor
    confidence: Tensor
    distance: Tensor


class Fields:
    """The fields between all slices one to three apart, computed once for a volume (slice, row, column)."""

    def __init__(self, network: nn.Module, slices: Tensor):
        self.count = len(slices)
        self.gaps = [gap for gap in GAPS if gap < len(slices)]
        self.ways = {}
        for gap in self.gaps:
            self.ways[gap], self.ways[-gap] = neighbour_fields(network, slices, gap)

    def between(self, source: int, target: int) -> Tensor:
        """The field (2, row, column) that pulls slice ``source`` onto slice ``target``."""
        return self.ways[target - source][min(source, target)]


@torch.no_grad()
def propagate_labels(
    fields: Fields, drawn: dict[int, Tensor], first: int | None = None, last: int | None = None
) -> Travelled:
    """Carries the ``drawn`` soft labels, {slice: (class, row, column)}, to every slice.

    Between two annotated slices both labels are blended by nearness and agreement. ``first`` and ``last`` are the
    structure's end slices where marked: beyond them nothing is in doubt.
    """
    count, annotated = fields.count, sorted(drawn)
    example = drawn[annotated[0]]
    probability = example.new_zeros((count, *example.shape))
    confidence = torch.zeros(count)
    for position, start in enumerate(annotated):
        before = annotated[position - 1] if position else None
        after = annotated[position + 1] if position + 1 < len(annotated) else None
        for stop, other in ((0 if before is None else before, before), (count - 1 if after is None else after, after)):
            labels, agreement = travel(drawn[start], start, stop, fields)
            for index in labels.keys() - {start, other}:
                trust = agreement[index] * math.exp(-abs(index - start) / FADING)
                share = 1.0 if other is None else trust * abs(index - other) ** 2
                probability[index] += share * labels[index]
                confidence[index] = 1 - (1 - confidence[index]) * (1 - trust)
    for index, label in drawn.items():
        probability[index], confidence[index] = label, 1.0
    probability /= probability.sum(1, keepdim=True).clamp_min(1e-6)
    _mark_beyond(confidence, first, last)
    distance = (torch.arange(count)[:, None] - torch.tensor(annotated)).abs().amin(1)
    return Travelled(probability, confidence, distance)


def travel(label: Tensor, start: int, stop: int, fields: Fields) -> tuple[dict[int, Tensor], dict[int, float]]:
    """Carries one ``label`` (class, row, column) from slice ``start`` up to and including ``stop``.

    Returns, for each slice on the way, the soft label and its forward-backward agreement: the product of the soft
    Dice between a label and itself sent one slice on and back.
    """
    step = 1 if stop >= start else -1
    labels, agreement = {start: label}, {start: 1.0}
    for target in range(start + step, stop + step, step):
        sources = [(gap, target - step * gap) for gap in fields.gaps if target - step * gap in labels]
        weights = label.new_tensor([GAP_WEIGHTS[gap] for gap, _ in sources]).view(-1, 1, 1, 1)
        field = torch.stack([fields.between(source, target) for _, source in sources])
        warped = warp(torch.stack([labels[source] for _, source in sources]), field)
        labels[target] = (warped * weights / weights.sum()).sum(0)
        back = warp(labels[target][None], fields.between(target, target - step)[None])[0]
        agreement[target] = agreement[target - step] * soft_dice(back[1:], labels[target - step][1:])
    return labels, agreement


def soft_dice(first: Tensor, second: Tensor) -> float:
    """Dice of two soft masks of the same shape; 1 where both are empty."""
    total = (first.sum() + second.sum()).item()
    return 2 * torch.minimum(first, second).sum().item() / total if total > 1e-3 else 1.0


def _mark_beyond(confidence: Tensor, first: int | None, last: int | None) -> None:
    """The user's own word counts as much as a drawing: beyond marked ends confidence is 1."""
    if first is not None:
        confidence[:first] = 1.0
    if last is not None:
        confidence[last + 1 :] = 1.0
