"""Where and on how many threads the networks run, and the seeds that make runs repeatable."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .errors import InputError

CPU = torch.device("cpu")
SEEDS = (-(2**63), 2**64 - 1)  # that PyTorch takes
# Along an axis. With one or two, 3 x 3 x 3 convolutions of PyTorch 2.13 leave a part of their gradients in bfloat16 as
# the memory was, or write past their end.
LEAST_VOXELS = 3


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


def side_by_side(work: Callable, items: Iterable, device: torch.device = CPU) -> list:
    """``work`` of each item, in order, without gradients; on a CPU by as many threads as PyTorch may use.

    For many small operations, which PyTorch cannot divide: each thread computes alone.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1

    def alone(item):
        with torch.no_grad():
            return work(item)

    if threads == 1:
        return [alone(item) for item in items]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(alone, items))
    finally:
        torch.set_num_threads(threads)


def fast_numbers(images: torch.Tensor, least: int = 0) -> torch.autocast:
    """Within it networks compute with bfloat16 where that is enough, if it is faster on the device of ``images``.

    On a CPU these are networks of slices (batch, channel, row, column), and those of volumes whose convolutions see
    ``least`` voxels along each axis, if that is ``LEAST_VOXELS`` or more.
    """
    able = images.ndim == 4 or least >= LEAST_VOXELS
    fast = images.is_cuda or (able and _cpu_has_bfloat16())
    return torch.autocast(images.device.type, torch.bfloat16, enabled=fast)


@functools.cache
def _cpu_has_bfloat16() -> bool:
    """Whether this processor has instructions for it, as AMD has since Zen 4 and Intel in its servers."""
    able = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of PyTorch cannot tell
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
