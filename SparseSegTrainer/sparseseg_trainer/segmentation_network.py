"""The network that segments slices, and the few numbers that describe it in a model file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError
from .networks import unet

LIMITS = {"context": (0, 8), "classes": (1, 100), "width": (4, 256), "depth": (1, 4)}
STRIDES = (1, 2, 4)  # the working grid's sides are multiples of 16
SMALLEST = 32  # rows and columns that the U-Net needs: 2 x 2 pixels at its bottom, for batch normalization


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
        check_limits(self, LIMITS)
        if self.stride not in STRIDES:
            raise InputError("bad_setting", f"The setting 'stride' is {self.stride}.", "It has to be 1, 2 or 4.")


def check_limits(settings, limits: dict[str, tuple[float, float]]) -> None:
    """Raises InputError ("bad_setting") for an attribute of ``settings`` outside its (lowest, highest) value."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InputError("bad_setting", f"The setting '{name}' is {value}.", f"It has to be from {low} to {high}.")


class SegmentationNetwork(nn.Module):
    """A U-Net that sees ``stride`` x ``stride`` pixels as channels and answers for each of them: cheap on a CPU.

    ``forward`` takes (batch, 1 + 2 context, row, column) in [0, 1], rows and columns multiples of ``stride``, and
    returns logits (batch, classes + 1, row, column), background first.
    """

    def __init__(self, shape: NetworkShape):
        super().__init__()
        shape.check()
        self.stride = shape.stride
        fold = shape.stride**2
        self.network = unet((1 + 2 * shape.context) * fold, (shape.classes + 1) * fold, shape.width, shape.depth)

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = images.shape[2:]
        missing = [max(0, SMALLEST * self.stride - side) for side in (columns, rows)]
        if any(missing):
            images = F.pad(images, (0, missing[0], 0, missing[1]))
        return self._logits(images)[..., :rows, :columns]

    def _logits(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            if self.stride == 1:
                return self.network(images).float()
            folded = F.pixel_unshuffle(images, self.stride).contiguous(memory_format=torch.channels_last)
            return F.pixel_shuffle(self.network(folded).float(), self.stride)
