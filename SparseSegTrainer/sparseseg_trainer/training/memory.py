"""How much memory there is, and how much a training needs."""

from __future__ import annotations

import os

import torch

from .settings import TrainSettings

UNKNOWN = 4 << 30  # assumed where the system does not tell
LIBRARIES = 600 << 20  # PyTorch and its workspaces, measured on a CPU


def available_bytes(device: torch.device) -> int:
    """Free memory of the device in bytes (4 GiB where the system does not tell)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        return int(kilobytes) * 1024
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, AttributeError, OSError):
        return UNKNOWN


def training_bytes(pixels: int, settings: TrainSettings) -> int:
    """About what a training holds at most: libraries, feature maps and gradients of one batch, weights and Adam.

    ``pixels`` of one padded slice. A U-Net keeps about 40 maps of ``width`` features at full resolution for the
    backward pass, counting the deeper levels.
    """
    features = 40 * settings.width * pixels * settings.batch / settings.stride**2
    weights = 5 * 9 * 4 * (settings.width * 2**settings.depth) ** 2 * 2
    return int(LIBRARIES + 4 * (features + weights))
