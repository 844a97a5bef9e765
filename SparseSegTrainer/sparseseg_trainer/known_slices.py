"""What the user has said about a volume, on its working grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class KnownSlices:
    """What is known of a volume before anything is carried through it.

    ``slices`` (slice, row, column) in [0, 1]; ``drawn`` soft labels (class, row, column) by slice, background first;
    ``absent`` (slice,) bool, known as background, on the CPU.
    """

    slices: Tensor
    drawn: dict[int, Tensor]
    absent: Tensor

    @property
    def classes(self) -> int:
        """How many there are without the background."""
        return len(next(iter(self.drawn.values()))) - 1

    @property
    def missing(self) -> list[int]:
        """The foreground classes that no drawn slice shows."""
        shown = torch.stack(list(self.drawn.values())).amax((0, 2, 3))[1:] > 0
        return [number for number, there in enumerate(shown.tolist(), 1) if not there]

    @property
    def drawn_slices(self) -> Tensor:
        """Which slices (slice,) are drawn, bool, on the CPU."""
        drawn = torch.zeros(len(self.absent), dtype=torch.bool)
        drawn[list(self.drawn)] = True
        return drawn
