"""The network that segments slices, and how any network is built from its shape."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dense_networks import DenseVoxNet, Representative
from .devices import fast_numbers
from .marked_network import MarkedUNet
from .network_shape import NetworkShape, Overview
from .networks import unet
from .volume_networks import RESIDUAL, TwoVNets, VNet

SMALLEST = 32  # rows and columns that the U-Net needs: 2 x 2 pixels at its bottom, for batch normalization


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
        with fast_numbers(images):
            if self.stride == 1:
                return self.network(images).float()
            folded = F.pixel_unshuffle(images, self.stride).contiguous(memory_format=torch.channels_last)
            return F.pixel_shuffle(self.network(folded).float(), self.stride)


class SlicesAndOverview(nn.Module):
    """A network of slices, as which it is called, and the ``overview`` network beside it, which sees ``seen``."""

    def __init__(self, slices: nn.Module, overview: nn.Module, seen: Overview):
        super().__init__()
        self.slices, self.overview, self.seen = slices, overview, seen

    def forward(self, images: Tensor) -> Tensor:
        return self.slices(images)


ARCHITECTURES = {"slices": SegmentationNetwork, "vnet": VNet, "two_vnets": TwoVNets, "marked_unet": MarkedUNet}
ARCHITECTURES |= {"dense_voxnet": DenseVoxNet, "representative": Representative}


def build_network(shape: NetworkShape) -> nn.Module:
    """The network of this shape with random weights. Raises InputError ("bad_setting")."""
    network = ARCHITECTURES[shape.architecture](shape)
    if shape.overview:
        return SlicesAndOverview(network, VNet(shape.overview.network(shape.classes), RESIDUAL), shape.overview)
    return network
