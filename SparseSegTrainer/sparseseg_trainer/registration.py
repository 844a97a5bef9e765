"""Self-supervised registration of neighbouring slices (osman2024, "... Generation by Self-Supervised Learning")."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterable
from functools import cache
from itertools import chain
from pathlib import Path

import torch
from monai.losses import LocalNormalizedCrossCorrelationLoss
from monai.networks.blocks import Convolution, Warp
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .devices import side_by_side
from .networks import light_unet

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "registration.safetensors"


class _WarpOfThread(threading.local):
    """MONAI's warp keeps its last grid of positions: threads that shared one would take each other's."""

    def __init__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI says that it uses PyTorch's sampling, which is what is wanted
            self.warp = Warp(mode="bilinear", padding_mode="border")


_of_thread = _WarpOfThread()


def warp(image: Tensor, field: Tensor) -> Tensor:
    """``image`` (batch, channel, row, column) as the ``field`` (batch, 2, row, column), in pixels, pulls it."""
    return _of_thread.warp(image, field)


class RegistrationNetwork(nn.Module):
    """A U-Net that gives the displacement field, in pixels, which pulls the moving slice onto the fixed one.

    The field is refined in ``passes``: each pass sees the moving slice as warped so far. ``forward`` takes two
    (batch, 1, row, column) tensors in [0, 1] and returns (batch, 2, row, column): row and column displacement, so
    that ``warp(moving, field)`` resembles ``fixed``.
    """

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 96), passes: int = 2):
        super().__init__()
        self.network = light_unet(2, 2, channels)
        self.passes = passes

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        field = self.network(torch.cat([moving, fixed], 1))
        for _ in range(self.passes - 1):
            field = field + self.network(torch.cat([warp(moving, field), fixed], 1))
        return field


def smoothness(field: Tensor) -> Tensor:
    """Mean squared forward difference of a field (batch, 2, row, column) along rows and columns."""
    return field.diff(dim=2).square().mean() + field.diff(dim=3).square().mean()


def registration_loss(moving: Tensor, fixed: Tensor, field: Tensor, similarity: str, weight: float) -> Tensor:
    """Similarity of the warped and the fixed slice plus ``weight`` times the smoothness of the field.

    ``similarity`` is "mse" or "ncc" (local normalised cross-correlation, 9-pixel window).
    """
    warped = warp(moving, field)
    unlike = 1 + _cross_correlation()(warped, fixed) if similarity == "ncc" else (warped - fixed).square().mean()
    return unlike + weight * smoothness(field)


@cache
def _cross_correlation() -> nn.Module:
    return LocalNormalizedCrossCorrelationLoss(spatial_dims=2, kernel_size=9)


@cache
def _shipped() -> RegistrationNetwork:
    network = RegistrationNetwork()
    network.load_state_dict(load_file(SHIPPED_WEIGHTS))
    return network.eval()


def shipped_network(device: torch.device | str = "cpu") -> RegistrationNetwork:
    """A copy of the network that ships with the package (see ``weights/README.md``), in evaluation mode."""
    return copy.deepcopy(_shipped()).to(device)


def folded(network: nn.Module) -> nn.Module:
    """``network`` (MONAI's blocks, in evaluation mode) with its batch normalizations inside its convolutions, in place.

    It gives the same fields in less time and can no longer be trained.
    """
    for block in network.modules():
        if isinstance(block, Convolution) and hasattr(block, "adn"):
            norm, transposed = block.adn.N, isinstance(block.conv, nn.ConvTranspose2d)
            block.conv, block.adn.N = fuse_conv_bn_eval(block.conv, norm, transposed), nn.Identity()
    return network


def displacement_fields(
    network: nn.Module, slices: Tensor, pairs: Iterable[tuple[int, int]], batch: int = 8
) -> dict[tuple[int, int], Tensor]:
    """The field (2, row, column) of each pair (source, target): it pulls slice ``source`` onto slice ``target``.

    ``slices``: (slice, row, column), rows and columns padded to multiples of 16. A ``batch`` of 8 fits a processor's
    cache: less time than 32.
    """
    pairs = sorted(set(pairs))

    def fields_of(some: list[tuple[int, int]]) -> tuple[Tensor, ...]:
        sources, targets = zip(*some, strict=True)
        return network(slices[list(sources), None], slices[list(targets), None]).unbind()

    batches = [pairs[start : start + batch] for start in range(0, len(pairs), batch)]
    fields = chain.from_iterable(side_by_side(fields_of, batches, slices.device))
    return dict(zip(pairs, fields, strict=True))
