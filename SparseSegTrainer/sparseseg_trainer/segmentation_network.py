"""The network that segments slices, and how any network is built from its shape."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dense_networks import DenseVoxNet, Representative
from .devices import fast_numbers
from .marked_network import MarkedUNet
from .network_shape import NetworkShape
from .networks import unet
from .volume_networks import RESIDUAL, TwoVNets, VNet

PLANES = {"rows": 1, "columns": 2}  # the axes of (slice, row, column) along which a volume is cut besides
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


class SeveralViews(nn.Module):
    """A network of ``slices``, as which it is called, and those ``beside`` it that see volumes otherwise, by name.

    These are "rows" and "columns" (``orthogonal.py``) and the "overview" (``overview.py``), as ``shape`` has them.
    """

    def __init__(self, slices: nn.Module, beside: dict[str, nn.Module], shape: NetworkShape):
        super().__init__()
        self.slices, self.shape = slices, shape
        for name, network in beside.items():
            self.add_module(name, network)

    def forward(self, images: Tensor) -> Tensor:
        return self.slices(images)

    @property
    def beside(self) -> dict[str, nn.Module]:
        """The networks beside that of slices."""
        return {name: network for name, network in self.named_children() if network is not self.slices}


ARCHITECTURES = {"slices": SegmentationNetwork, "vnet": VNet, "two_vnets": TwoVNets, "marked_unet": MarkedUNet}
ARCHITECTURES |= {"dense_voxnet": DenseVoxNet, "representative": Representative}


def build_network(shape: NetworkShape) -> nn.Module:
    """The network of this shape with random weights. Raises InputError ("bad_setting")."""
    network, beside = ARCHITECTURES[shape.architecture](shape), {}
    if shape.orthogonal:
        beside |= {name: SegmentationNetwork(replace(shape, context=0)) for name in PLANES}
    if shape.overview:
        beside["overview"] = VNet(shape.overview.network(shape.classes), RESIDUAL)
    return SeveralViews(network, beside, shape) if beside else network
