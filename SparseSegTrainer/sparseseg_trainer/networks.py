"""The 2D U-Nets used for registration and for segmentation (MONAI)."""

from __future__ import annotations

import torch
from monai.networks.nets import BasicUNet, UNet
from torch import nn


def unet(in_channels: int, out_channels: int, width: int = 16, depth: int = 4) -> nn.Module:
    """2D U-Net of osman2024, "Network Architectures": zero padding, batch normalisation after each convolution.

    It halves rows and columns four times. ``width`` features at full resolution, doubled at each of the first ``depth``
    (at most 4) down-samplings. Input and output are (batch, channel, row, column), rows and columns of any size from 16
    up (MONAI's up-sampling pads), from 32 up to train on batches of one.
    """
    features = tuple(width * 2 ** min(level, depth) for level in range(5))
    network = BasicUNet(
        spatial_dims=2,
        in_channels=in_channels,
        out_channels=out_channels,
        features=(*features, width),
        norm="batch",
        act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
    )
    return network.to(memory_format=torch.channels_last)


def light_unet(in_channels: int, out_channels: int, channels: tuple[int, ...], residual_units: int = 1) -> nn.Module:
    """2D U-Net with strided convolutions, about five times as fast as ``unet``: for smooth outputs and little time.

    Rows and columns of the input must be multiples of 2 ** (len(channels) - 1).
    """
    network = UNet(
        spatial_dims=2,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=channels,
        strides=(2,) * (len(channels) - 1),
        num_res_units=residual_units,
        norm="batch",
    )
    return network.to(memory_format=torch.channels_last)
