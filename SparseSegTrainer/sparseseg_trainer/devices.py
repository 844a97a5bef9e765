"""Where the networks run, and the seeds that make runs repeatable."""

from __future__ import annotations

import random

import numpy as np
import torch

from .errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the GPU where there is one.

    Raises ``InputError`` for another name than "auto", "cpu" and "cuda", and for "cuda" without a usable GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError("bad_device", f"There is no device '{name}'.", "Choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no_gpu", "PyTorch finds no GPU on this computer.", "Choose the device 'auto' or 'cpu'.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's random numbers (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
