"""Answers and networks of a few pixels, for losses that are worked out by hand."""

from __future__ import annotations

import torch
from torch import nn


def probability(*foreground: float) -> torch.Tensor:
    """Softmax maps (1, 2, 1, pixels) with these probabilities of the one class."""
    values = torch.tensor(foreground).view(1, 1, 1, -1)
    return torch.cat([1 - values, values], 1)


class Slope(nn.Module):
    """A network with logits 0 and ``slope`` x."""

    def __init__(self, slope: float):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images):
        return torch.cat([torch.zeros_like(images), self.slope * images], 1)
