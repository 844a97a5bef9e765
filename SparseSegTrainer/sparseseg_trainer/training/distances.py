"""Signed distance maps of labels, computed on the device that the labels are on, and the loss of learning them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .losses import labels_dice

FAR = 1e6  # squared voxels: farther than any two voxels of a patch
AT_ONCE = 1 << 24  # numbers held while one axis is worked on


def signed_distances(labels: Tensor, classes: int) -> Tensor:
    """Where each class is, as a distance map from -1 to 1: (B, d, h, w) labels -> (B, classes, d, h, w) float.

    0 on the class's own boundary voxels (those with a face towards another label), negative inside and positive
    outside. Distances are in voxels and divided by the largest one inside or outside (Li 2020, eq. 1; Luo 2021,
    eq. 1). A class that is not there at all is 1 everywhere, one that is everywhere -1.
    """
    values = torch.arange(1, classes + 1, device=labels.device).view(1, -1, 1, 1, 1)
    present = labels.unsqueeze(1) == values
    inside, outside = distance(~present), distance(present)
    return (_share(outside) - _share(inside)).masked_fill(inside == 1, 0.0)


def distance(target: Tensor) -> Tensor:
    """Euclidean distance in voxels (..., d, h, w) to the nearest voxel where ``target`` is true, exact.

    The square root of ``FAR`` where there is none. The lower envelope of Felzenszwalb and Huttenlocher (2012) is found
    by trying all places of a line at once, which suits a GPU.
    """
    squared = torch.where(target, 0.0, FAR)
    for axis in (-1, -2, -3):
        squared = _nearest(squared, axis)
    return squared.clamp_max(FAR).sqrt()


def _nearest(squared: Tensor, axis: int) -> Tensor:
    """Least of ``squared`` plus the squared distance along the axis, over all places of each line."""
    lines = squared.movedim(axis, -1)
    places = torch.arange(lines.shape[-1], device=lines.device)
    cost = (places[:, None] - places).square()
    rows = lines.reshape(-1, 1, len(places))
    least = [(some + cost).amin(-1) for some in rows.split(max(1, AT_ONCE // cost.numel()))]
    return torch.cat(least).view(lines.shape).movedim(-1, axis)


def _share(values: Tensor) -> Tensor:
    """Distances as part of the largest one of each map."""
    return values / values.amax((-3, -2, -1), keepdim=True).clamp_min(1)


def shape_loss(logits: Tensor, maps: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Dice loss of the classes plus ``weight`` times the mean squared error of their distance maps (Li 2020, eq. 2).

    ``logits`` (B, C + 1, ...), ``maps`` (B, C, ...), ``labels`` (B, ...).
    """
    return labels_dice(logits, labels) + weight * F.mse_loss(maps, signed_distances(labels, maps.shape[1]))
