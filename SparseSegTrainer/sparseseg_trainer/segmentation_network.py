"""The network that segments slices, and the few numbers that describe it in a model file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError
from .networks import unet

LIMITS = {"context": (0, 8), "classes": (1, 100), "width": (4, 256), "depth": (1, 4), "stride": (1, 4)}


@dataclass(frozen=True)
class NetworkShape:
    """What it takes to build the network; see ``TrainSettings`` for the meaning."""

    context: int
    classes: int
    width: int
    depth: int
    stride: int

    def check(self) -> None:
        """Raises InputError ("bad_setting") for a number that no network of this program has."""
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    "bad_setting",
                    f"The network's '{name}' is {getattr(self, name)}.",
                    f"It has to be from {low} to {high}.",
                )


class SegmentationNetwork(nn.Module):
    """A U-Net that sees ``stride`` x ``stride`` pixels as channels and answers for each of them: cheap on a CPU.

    ``forward`` takes (batch, 1 + 2 context, row, column) in [0, 1], rows and columns multiples of 16, and returns
    logits (batch, classes + 1, row, column), background first.
    """

    def __init__(self, shape: NetworkShape):
        super().__init__()
        shape.check()
        self.stride = shape.stride
        fold = shape.stride**2
        self.network = unet((1 + 2 * shape.context) * fold, (shape.classes + 1) * fold, shape.width, shape.depth)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            if self.stride == 1:
                return self.network(images).float()
            folded = F.pixel_unshuffle(images, self.stride).contiguous(memory_format=torch.channels_last)
            return F.pixel_shuffle(self.network(folded).float(), self.stride)
