"""How much memory there is, and how much a training needs."""

from __future__ import annotations

import math
from dataclasses import replace

import psutil
import torch

from ..network_shape import patch_within
from .keys import PSEUDO_LABELED
from .settings import TrainSettings

# What these hold as a multiple of what the V-Net alone does: two students and their mixtures, four answers, a
# discriminator, up to three decoders, the adversarial patches' features.
BESIDE = {"hybrid_crop": 2.5, "urpc": 1.3, "sassnet": 1.3, "mc_net": 2.0, "ss_net": 2.2}
BESIDE |= {"dense_voxnet": 3.8, "representative": 5.4}
PROBABILITIES = 5  # of a whole case at a time: both sources, smoothed, carried and mixed
LIBRARIES = 600 << 20  # PyTorch and its workspaces, measured on a CPU


def available_bytes(device: torch.device) -> int:
    """Free memory of the device in bytes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def resident_bytes(voxels: int, device: torch.device) -> int:
    """What slices and labels, a byte a voxel each, take of the device's memory; 0 if they fill half of it.

    They stay on disk then.
    """
    return 2 * voxels if 2 * voxels < available_bytes(device) / 2 else 0


def needed_bytes(
    settings: TrainSettings, counts: list[int], shape: tuple[int, int], classes: int, device: torch.device
) -> int:
    """Networks, slices unless they stay on disk, and pseudo labels; ``counts`` are the slices of each case.

    Pseudo labels are made in the main memory: of the whole cohort a byte a voxel, of one case the probabilities.
    """
    (rows, columns), slices = shape, sum(counts)
    voxels = slices * rows * columns
    if settings.dimensions == 3:
        seen = math.prod(patch_within(settings.volumetric.patch, (max(counts), rows, columns)))
        return volume_training_bytes(seen, settings) + resident_bytes(voxels, device)
    labeling = 0
    if settings.method in PSEUDO_LABELED and device.type == "cpu":
        depth = min(rows, columns) if settings.orthogonal_epochs else 0  # of a cut: it is no larger than a slice
        labeling = voxels + PROBABILITIES * 4 * (classes + 1) * max(*counts, depth) * rows * columns
    networks = training_bytes(rows * columns, settings)
    if settings.overview_epochs:  # the sum: what the networks of slices have used is not given back on a CPU
        beside = replace(settings, width=settings.overview_width, batch=settings.overview_batch)
        networks += volume_training_bytes(settings.overview_side**3, beside)
    return networks + resident_bytes(voxels, device) + labeling


def fitting_device(
    settings: TrainSettings, counts: list[int], shape: tuple[int, int], classes: int, device: torch.device
) -> tuple[torch.device, int]:
    """The device, or the CPU if the training would not fit, and ``needed_bytes`` there."""
    needed = needed_bytes(settings, counts, shape, classes, device)
    if device.type == "cuda" and needed > available_bytes(device):
        device = torch.device("cpu")
        needed = needed_bytes(settings, counts, shape, classes, device)
    return device, needed


def volume_training_bytes(voxels: int, settings: TrainSettings) -> int:
    """The same as ``training_bytes`` for a V-Net and patches of so many ``voxels``.

    It keeps 16 maps of ``width`` features at full resolution, counting the deeper levels, and makes some more on the
    way back; it has 37 000 weights for ``width`` 1. What a method adds to it is in ``BESIDE``.
    """
    times = BESIDE.get(settings.method, 1)
    features = 20 * settings.width * voxels * settings.batch
    return int(LIBRARIES + 4 * times * (features + 5 * 37_000 * settings.width**2))


def training_bytes(pixels: int, settings: TrainSettings) -> int:
    """About what a training holds at most: libraries, feature maps and gradients of one batch, weights and Adam.

    ``pixels`` of one padded slice. A U-Net keeps about 40 maps of ``width`` features at full resolution for the
    backward pass, counting the deeper levels. Co-training keeps those of two networks, each for the slices and for the
    other's adversarial examples.
    """
    networks = 2 if settings.method == "dct_seg" else 1
    features = 40 * settings.width * pixels * settings.batch / settings.stride**2 * networks**2
    weights = networks * 5 * 9 * 4 * (settings.width * 2**settings.depth) ** 2 * 2
    return int(LIBRARIES + 4 * (features + weights))
