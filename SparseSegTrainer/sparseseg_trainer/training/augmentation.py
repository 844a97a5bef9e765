"""Augmentation of whole batches on the device: one resampling a batch, then changes of intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .coding import UNCERTAIN
from .losses import one_hot

PIECES = 5  # of a curve of grey values


@dataclass(frozen=True)
class Augmentation:
    """How far a slice is changed; every strength is the largest change, 0 switches it off."""

    rotation: float = 0.0  # degrees
    scale: float = 0.0  # fraction
    shift: float = 0.0  # fraction of the slice's size
    flip: bool = False  # along rows and columns, each for half of the slices
    elastic: float = 0.0  # fraction of the slice's size, smooth over about a quarter of it
    curve: float = 0.0  # how uneven a random rising curve of grey values is, from black to white
    inversion: float = 0.0  # share of slices whose curve falls instead: dark and bright change places
    gamma: float = 0.0  # exponent in exp(+-gamma)
    contrast: float = 0.0  # factor 1 +- contrast
    brightness: float = 0.0  # added, intensities being about 0 to 1
    noise: float = 0.0  # largest standard deviation
    blur: float = 0.0  # share of slices that are blurred


def augment(
    images: Tensor, labels: Tensor, classes: int, how: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change images (B, channels, H, W) in [0, 1] and label maps (B, H, W) alike; labels keep their coding.

    Volumes are images whose channels are their slices, with label maps (B, slices, H, W): all slices of a volume are
    moved alike and none into another, so that what is known of a slice stays true. Random numbers come from
    ``generator``, a CPU generator, so that a seed gives the same batches on every device.
    """
    images, labels = _deform(images, labels, classes, how, generator)
    return _change_intensity(images, how, generator), labels


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator) * 2 - 1


def _grid(batch: int, height: int, width: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Sampling positions (B, H, W, 2) in [-1, 1] for rotation, scale, shift, flips and a smooth deformation."""
    angle = _uniform(generator, batch) * math.radians(how.rotation)
    size = torch.exp(_uniform(generator, batch) * how.scale)
    flips = torch.ones(batch, 2)
    if how.flip:
        flips -= 2 * torch.randint(0, 2, (batch, 2), generator=generator)
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    aspect = height / width  # the rotation is rigid in pixels, not in the [-1, 1] square
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cosine * flips[:, 0], -sine * aspect * flips[:, 1]
    theta[:, 1, 0], theta[:, 1, 1] = sine / aspect * flips[:, 0], cosine * flips[:, 1]
    theta[:, :, 2] = _uniform(generator, batch, 2) * 2 * how.shift
    grid = F.affine_grid(theta, [batch, 1, height, width], align_corners=False)
    if how.elastic:
        coarse = _uniform(generator, batch, 2, 6, 6) * 2 * how.elastic
        smooth = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
        grid = grid + smooth.permute(0, 2, 3, 1)
    return grid


def _deform(images, labels, classes, how, generator):
    batch, channels, height, width = images.shape
    grid = _grid(batch, height, width, how, generator).to(images.device)
    offsets = (0, UNCERTAIN) if bool((labels > UNCERTAIN).any()) else (0,)
    masks = [one_hot(labels, classes, offset).flatten(1, -3) for offset in offsets]
    sampled = F.grid_sample(torch.cat([images, *masks], 1), grid, padding_mode="border", align_corners=False)
    share = sampled[:, channels:].unflatten(1, (-1, *labels.shape[1:-2]))
    background = 1 - share.sum(1, keepdim=True)
    values = torch.tensor(
        [0] + [offset + c for offset in offsets for c in range(1, classes + 1)],
        dtype=labels.dtype,
        device=labels.device,
    )
    return sampled[:, :channels], values[torch.cat([background, share], 1).max(1).indices]


def _curved(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Grey values along a random curve of ``PIECES`` straight pieces, another one for each image.

    Contrasts of the same tissues differ between scanners and contrast agents by more than gamma and brightness do.
    """
    batch = len(images)
    steps = torch.exp(torch.randn(batch, PIECES, generator=generator) * how.curve)
    heights = F.pad(steps.cumsum(1) / steps.sum(1, keepdim=True), (1, 0))
    falls = torch.rand(batch, 1, generator=generator) < how.inversion
    heights = torch.where(falls, 1 - heights, heights).to(images.device)
    place = images.clamp(0, 1).flatten(1) * PIECES
    piece = place.long().clamp_max(PIECES - 1)
    lower, upper = heights.gather(1, piece), heights.gather(1, piece + 1)
    return torch.lerp(lower, upper, place - piece).view_as(images)


def _change_intensity(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    batch = len(images)

    def column(values: Tensor) -> Tensor:
        return values.to(images.device).view(batch, 1, 1, 1)

    if how.curve or how.inversion:
        images = _curved(images, how, generator)
    if how.gamma:
        images = images.clamp_min(1e-4) ** column(torch.exp(_uniform(generator, batch) * how.gamma))
    if how.contrast:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = (images - mean) * column(1 + _uniform(generator, batch) * how.contrast) + mean
    if how.brightness:
        images = images + column(_uniform(generator, batch) * how.brightness)
    if how.blur:
        chosen = column(torch.rand(batch, generator=generator) < how.blur)
        images = torch.where(chosen, F.avg_pool2d(images, 3, 1, 1, count_include_pad=False), images)
    if how.noise:
        strength = column(torch.rand(batch, generator=generator) * how.noise)
        images = images + torch.randn(images.shape, generator=generator).to(images.device) * strength
    return images
