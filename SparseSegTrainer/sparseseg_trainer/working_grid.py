"""The grid on which slices are registered and a volume's own network is trained: coarser, padded for the networks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .slices import resample_slices

WORKING_PIXELS = (
    7500  # of a slice: half the resolution of a 0.6 mm heart scan; fields and labels are smooth at that scale
)
MULTIPLE = 16  # rows and columns are padded to a multiple of this
CHUNK = 16  # slices brought back to full resolution at a time, which bounds the memory


class WorkingGrid:
    """A volume's slices at no more than ``WORKING_PIXELS`` pixels each, as (slice, row, column) in ``slices``."""

    def __init__(self, image: np.ndarray, device: torch.device | str = "cpu"):
        self.full = image.shape[1:]
        scale = min(1.0, (WORKING_PIXELS / (self.full[0] * self.full[1])) ** 0.5)
        self.shape = tuple(max(1, round(size * scale)) for size in self.full)
        self.padding = [value for size in reversed(self.shape) for value in (0, -size % MULTIPLE)]
        chunks = [resample_slices(chunk, self.shape) for chunk in np.array_split(image, -(-len(image) // CHUNK))]
        slices = torch.from_numpy(np.concatenate(chunks))
        self.slices = F.pad(slices[None], self.padding, mode="replicate")[0].to(device)

    def soft_label(self, label: np.ndarray, classes: int) -> Tensor:
        """Class indices (H, W) of one full slice as probabilities (classes + 1, row, column) on this grid."""
        hot = (label[None] == np.arange(classes + 1)[:, None, None]).astype(np.float32)
        soft = torch.from_numpy(resample_slices(hot, self.shape))
        return F.pad(soft[None], self.padding, mode="replicate")[0].to(self.slices.device)

    def full_label(self, probability: Tensor) -> np.ndarray:
        """The most probable class (S, H, W), uint8 up to 256 classes, of a probability (S, class, row, column)."""
        dtype = np.uint8 if probability.shape[1] <= 256 else np.uint16
        labels = [self._full(chunk).argmax(1).cpu().numpy().astype(dtype) for chunk in probability.split(CHUNK)]
        return np.concatenate(labels)

    def full_class(self, probability: Tensor, position: int) -> np.ndarray:
        """The probability (S, H, W) float32 of one class."""
        chunks = probability[:, position : position + 1].split(CHUNK)
        return np.concatenate([self._full(chunk)[:, 0].cpu().numpy() for chunk in chunks])

    def _full(self, probability: Tensor) -> Tensor:
        inside = probability[..., : self.shape[0], : self.shape[1]].float()
        return F.interpolate(inside, self.full, mode="bilinear", align_corners=False)
