"""The network of volumes that is told which slices were drawn (specktor2023)."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from .devices import fast_numbers
from .network_shape import HALVINGS, NetworkShape


class MarkedUNet(nn.Module):
    """A residual 3D U-Net with instance normalization, whose first level is at full resolution if ``stride`` is 1.

    ``forward`` takes the images (batch, 1, slices, rows, columns) in [0, 1] and, in a second channel, 1 where the label
    is known and 0 elsewhere. Without that channel every voxel counts as known: the network has learned what to say of
    those alone. Returns logits (batch, classes + 1, slices, rows, columns), background first.
    """

    def __init__(self, shape: NetworkShape):
        super().__init__()
        shape.check()
        strides = [(1, 1, 1)] * (shape.stride == 1) + shape.strides()
        self.network = UNet(
            spatial_dims=3,
            in_channels=2,
            out_channels=shape.classes + 1,
            channels=[shape.width * 2 ** min(level, HALVINGS) for level in range(len(strides) + 1)],
            strides=strides,
            num_res_units=2,
            norm=("INSTANCE", {"affine": True}),
            act="LEAKYRELU",
        )

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            images = torch.cat([images, torch.ones_like(images)], 1)
        with fast_numbers(images):
            logits = self.network(images)
        return logits.float()
