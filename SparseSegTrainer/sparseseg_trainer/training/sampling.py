"""Which slices a batch shows."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(numbers: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of ``numbers`` in random order; every one comes once before any comes again."""
    rounds = -(-count // len(numbers))
    return torch.cat([numbers[torch.randperm(len(numbers), generator=generator)] for _ in range(rounds)])[:count]


def mixed_batches(
    parts: list[tuple[Tensor, float]], batch: int, steps: int, generator: torch.Generator
) -> list[Tensor]:
    """``steps`` batches of ``batch`` slices, each with the wanted shares of the parts (numbers, share).

    Parts without slices are left out and the others share their place; each has one slice at least. The first part
    fills what rounding leaves, and a batch too small for all parts shows the first ones only.
    """
    parts = [(numbers, share) for numbers, share in parts if len(numbers) and share > 0][:batch]
    total = sum(share for _, share in parts)
    counts = [max(1, round(batch * share / total)) for _, share in parts]
    counts[0] = max(1, batch - sum(counts[1:]))
    columns = [
        draw(numbers, count * steps, generator).view(steps, count)
        for (numbers, _), count in zip(parts, counts, strict=True)
    ]
    return list(torch.cat(columns, 1))
