"""The networks of zheng2020: DenseVoxNet, a network of slices along three axes, and the meta network above both.

All take patches (batch, 1, slices, rows, columns) in [0, 1], sides multiples of 4, and return logits (batch,
classes + 1, slices, rows, columns), background first.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from monai.networks.blocks import DenseBlock
from torch import Tensor, nn

from .devices import fast_numbers
from .network_shape import NetworkShape
from .networks import unet
from .volume_networks import mean_answer

SMALLEST = 32  # pixels that the network of slices needs along each side
GROWTH, LAYERS = 0.75, 3  # features that a layer adds, of ``width``; layers of a block, times ``depth``


class DenseVoxNet(nn.Module):
    """DenseVoxNet (Yu 2017), with a stem and a first dense block of its own for each of several inputs.

    ``width`` 16 and ``depth`` 4 are the paper's 16 features of the stem, 12 layers a block and 12 features a layer.
    ``inputs`` are the channels of each input: (1,) is DenseVoxNet, two of them make a Y, as in zheng2020's Figure 4.
    Instances are normalized, not batches, for the reasons in ``volume_networks``.
    """

    def __init__(self, shape: NetworkShape, inputs: tuple[int, ...] = (1,)):
        super().__init__()
        shape.check()
        width, growth, layers = shape.width, round(GROWTH * shape.width), LAYERS * shape.depth
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv3d(channels, width, 3, 2, 1, bias=False), _dense(width, growth, layers))
            for channels in inputs
        )
        merged = len(inputs) * (width + growth * layers)
        self.transition = _normal(merged, nn.Conv3d(merged, merged, 1, bias=False))
        deep = merged + growth * layers
        self.deep = nn.Sequential(
            nn.MaxPool3d(2),
            _dense(merged, growth, layers),
            _normal(deep, nn.Conv3d(deep, deep, 1, bias=False)),
            nn.ConvTranspose3d(deep, 8 * width, 4, 2, 1, bias=False),
            nn.ConvTranspose3d(8 * width, 4 * width, 4, 2, 1, bias=False),
            _normal(4 * width, nn.Conv3d(4 * width, shape.classes + 1, 1)),
        )
        self.side = nn.ConvTranspose3d(merged, shape.classes + 1, 4, 2, 1)

    def answers(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and those of the side path that only training looks at (deep supervision)."""
        with fast_numbers(images[0]):
            found = [branch(image) for branch, image in zip(self.branches, images, strict=True)]
            merged = self.transition(torch.cat(found, 1))
            return self.deep(merged).float(), self.side(merged).float()

    def forward(self, *images: Tensor) -> Tensor:
        return self.answers(*images)[0]


def _normal(channels: int, layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.InstanceNorm3d(channels, affine=True), nn.ReLU(inplace=True), layer)


def _dense(channels: int, growth: int, layers: int) -> DenseBlock:
    widths = [channels + growth * number for number in range(layers)]
    return DenseBlock([_normal(width, nn.Conv3d(width, growth, 3, padding=1, bias=False)) for width in widths])


class PlanesNetwork(nn.Module):
    """One U-Net for the slices of a patch along each of its axes; its answer to the patch is the mean of the three."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        shape.check()
        self.network = unet(1, shape.classes + 1, shape.width, shape.depth)

    def slices(self, images: Tensor) -> Tensor:
        """Logits of slices (batch, 1, any side, any side)."""
        sides = images.shape[2:]
        images = F.pad(images, [part for side in reversed(sides) for part in (0, max(0, SMALLEST - side))])
        with fast_numbers(images):
            return self.network(images)[..., : sides[0], : sides[1]].float()

    def answers(self, patches: Tensor) -> list[Tensor]:
        """Logits of patches by their slices across the first, second and third axis."""
        return [together(self.slices(apart(patches, axis)), axis, len(patches)) for axis in range(3)]

    def forward(self, patches: Tensor) -> Tensor:
        return mean_answer(self.answers(patches))


def apart(patches: Tensor, axis: int) -> Tensor:
    """The slices of patches (B, K, slices, rows, columns) across one of the axes: (B x their number, K, side, side)."""
    return patches.movedim(2 + axis, 1).flatten(0, 1)


def together(slices: Tensor, axis: int, batch: int) -> Tensor:
    """The inverse of ``apart``."""
    return slices.unflatten(0, (batch, -1)).movedim(1, 2 + axis)


class Representative(nn.Module):
    """The meta network above what it learned from: it sees the patch and how the other networks' labels agree on it."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.classes = shape.classes
        alone = replace(shape, architecture="dense_voxnet")
        self.planes, self.voxels = PlanesNetwork(alone), DenseVoxNet(alone)
        self.meta = DenseVoxNet(alone, (1, shape.classes))

    def sources(self) -> list[nn.Module]:
        """Four networks of volumes, one for each set of pseudo labels: across the three axes, and of voxels."""
        return [*(_Plane(self.planes, axis) for axis in range(3)), self.voxels]

    def forward(self, patches: Tensor) -> Tensor:
        with torch.no_grad():
            labels = torch.stack([own.argmax(1) for own in (*self.planes.answers(patches), self.voxels(patches))])
        return self.meta(patches, agreement(labels, self.classes))


class _Plane(nn.Module):
    """What a network of slices says of a patch across one axis."""

    def __init__(self, network: PlanesNetwork, axis: int):
        super().__init__()
        self.network, self.axis = network, axis

    def forward(self, patches: Tensor) -> Tensor:
        return together(self.network.slices(apart(patches, self.axis)), self.axis, len(patches))


def agreement(labels: Tensor, classes: int) -> Tensor:
    """A of zheng2020: for each class the share of label maps that have it. (V, B, ...) -> (B, classes, ...) float."""
    return F.one_hot(labels.long(), classes + 1)[..., 1:].float().mean(0).movedim(-1, 1)
