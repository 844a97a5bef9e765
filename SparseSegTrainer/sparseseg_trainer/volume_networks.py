"""The networks that segment volumes; their shape says which one and how wide it is.

All take (batch, 1, slices, rows, columns) in [0, 1], sides multiples of what ``NetworkShape.strides`` reduce them by,
and return logits (batch, classes + 1, slices, rows, columns), background first.
"""

from __future__ import annotations

import copy
import math

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from .devices import fast_numbers
from .network_shape import NetworkShape

RESIDUAL = 1.0  # ``skip`` of a residual block
LAYERS = (1, 2, 3, 3, 3)  # convolutions of the V-Net's levels, from full resolution downwards


def convolution(inputs: int, outputs: int, stride=1, kernel=3, transposed: bool = False) -> Convolution:
    """A 3D convolution, instance normalization, ReLU.

    Instance normalization, where the public implementations have that of batches: it has no running averages, so that
    the weights of several networks can be averaged, and batches of one or two patches are enough.
    """
    return Convolution(
        spatial_dims=3,
        in_channels=inputs,
        out_channels=outputs,
        strides=stride,
        kernel_size=kernel,
        padding=None if kernel == 3 else 0,
        output_padding=0 if transposed else None,
        is_transposed=transposed,
        act=("RELU", {"inplace": True}),
        norm=("INSTANCE", {"affine": True}),
    )


class Block(nn.Module):
    """``layers`` convolutions of one level. Its input is added to its output ``skip`` times: 0 plain, 1 residual."""

    def __init__(self, inputs: int, outputs: int, layers: int, skip: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(*(convolution(outputs if n else inputs, outputs) for n in range(layers)))
        # In the state of the network, so that an average of networks is between both kinds.
        self.register_buffer("skip", torch.tensor(skip))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features) + self.skip.to(features.dtype) * features


class Encoder(nn.Module):
    """The V-Net's way down (Milletari 2016): features of every level, from full resolution downwards."""

    def __init__(self, shape: NetworkShape, skip: float = 0.0):
        super().__init__()
        strides = shape.strides()
        widths = [shape.width * 2**level for level in range(len(strides) + 1)]
        inputs = [1, *widths[1:]]
        self.blocks = nn.ModuleList(
            Block(*sides, layers, skip) for *sides, layers in zip(inputs, widths, LAYERS, strict=False)
        )
        self.downs = nn.ModuleList(
            convolution(width, 2 * width, stride, stride) for width, stride in zip(widths, strides, strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = [self.blocks[0](images)]
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            levels.append(block(down(levels[-1])))
        return levels


class Decoder(nn.Module):
    """The V-Net's way up: features of every level, from full resolution downwards; the first (B, width, ...)."""

    def __init__(self, shape: NetworkShape, skip: float = 0.0):
        super().__init__()
        strides = shape.strides()
        widths = [shape.width * 2**level for level in range(len(strides))]
        self.ups = nn.ModuleList(
            self.up(2 * width, width, stride) for width, stride in zip(widths, strides, strict=True)
        )
        self.blocks = nn.ModuleList(
            Block(width, width, layers, skip) for width, layers in zip(widths, LAYERS, strict=False)
        )

    def up(self, inputs: int, outputs: int, stride) -> nn.Module:
        """What doubles the resolution; here a transposed convolution."""
        return convolution(inputs, outputs, stride, stride, transposed=True)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        found = [levels[-1]]
        for level in reversed(range(len(self.ups))):
            found.insert(0, self.blocks[level](self.ups[level](found[0]) + levels[level]))
        return found[:-1]


class VNet(nn.Module):
    """V-Net: levels of ``width``, 2 ``width`` ... features, with residual blocks if ``skip`` is 1.

    MONAI's own V-Net has a fixed width and 5 x 5 x 5 kernels, 4.6 times the arithmetic; this one is made of MONAI's
    convolutions, 3 x 3 x 3 as in the public implementations for the left atrium.
    """

    def __init__(self, shape: NetworkShape, skip: float = 0.0):
        super().__init__()
        shape.check()
        self.encoder, self.decoder = Encoder(shape, skip), Decoder(shape, skip)
        self.head = nn.Conv3d(shape.width, shape.classes + 1, 1)
        self.reduction = [math.prod(strides) for strides in zip(*shape.strides(), strict=True)]

    def features(self, images: Tensor) -> Tensor:
        """What the head sees: (batch, width, slices, rows, columns)."""
        return self.decoder(self.encoder(images))[0]

    def forward(self, images: Tensor) -> Tensor:
        deepest = [side // by for side, by in zip(images.shape[2:], self.reduction, strict=True)]
        with fast_numbers(images, min(deepest)):
            logits = self.head(self.features(images))
        return logits.float()


class TwoVNets(nn.Module):
    """A plain and a residual V-Net, of the same first weights; the answer is the mean of their probabilities."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.first = VNet(shape)
        self.second = copy.deepcopy(self.first)
        for block in self.second.modules():
            if isinstance(block, Block):
                block.skip.fill_(RESIDUAL)

    def forward(self, images: Tensor) -> Tensor:
        return mean_answer([self.first(images), self.second(images)])


def mean_answer(logits: list[Tensor]) -> Tensor:
    """Logits whose softmax is the mean of that of several ``logits`` of one shape (B, C + 1, ...)."""
    return torch.stack([own.softmax(1) for own in logits]).mean(0).clamp_min(1e-12).log()
