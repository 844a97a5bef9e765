"""The grid on which a volume is registered and its own network trained: around the structure, coarser, padded."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .slices import resample_slices

WORKING_PIXELS = 7500  # of a slice: half the resolution of a 0.6 mm heart scan; fields and labels are smooth there
MARGIN = 1.0  # around what is drawn, in its own rows and columns: other slices show more of it, or elsewhere
LEAST_MARGIN = 24  # pixels
MULTIPLE = 16  # rows and columns are padded to a multiple of this
CHUNK = 16  # slices brought back to full resolution at a time, which bounds the memory


class WorkingGrid:
    """A volume's slices around what is drawn, at most ``WORKING_PIXELS`` each: ``slices`` (slice, row, column).

    ``image`` (S, H, W) in [0, 1]; ``drawn`` (H, W) bool: where any drawn slice shows the structure. A small structure
    in a large image keeps its resolution.
    """

    def __init__(self, image: np.ndarray, drawn: np.ndarray, device: torch.device | str = "cpu"):
        self.full = image.shape[1:]
        self.window = tuple(_window(drawn.any(other), size) for other, size in ((1, self.full[0]), (0, self.full[1])))
        image = image[:, *self.window]
        self.cropped = image.shape[1:]
        scale = min(1.0, (WORKING_PIXELS / (self.cropped[0] * self.cropped[1])) ** 0.5)
        self.shape = tuple(max(1, round(size * scale)) for size in self.cropped)
        self.padding = [value for size in reversed(self.shape) for value in (0, -size % MULTIPLE)]
        chunks = [resample_slices(chunk, self.shape) for chunk in np.array_split(image, -(-len(image) // CHUNK))]
        slices = torch.from_numpy(np.concatenate(chunks))
        self.slices = F.pad(slices[None], self.padding, mode="replicate")[0].to(device)

    def soft_label(self, label: np.ndarray, classes: int) -> Tensor:
        """Class indices (H, W) of one full slice as probabilities (classes + 1, row, column) on this grid."""
        hot = (label[self.window][None] == np.arange(classes + 1)[:, None, None]).astype(np.float32)
        soft = torch.from_numpy(resample_slices(hot, self.shape))
        return F.pad(soft[None], self.padding, mode="replicate")[0].to(self.slices.device)

    def full_label(self, probability: Tensor) -> np.ndarray:
        """The most probable class (S, H, W), uint8 up to 255 classes, of a probability (S, class, row, column)."""
        result = np.zeros((len(probability), *self.full), np.uint8 if probability.shape[1] <= 256 else np.uint16)
        for start in range(0, len(probability), CHUNK):
            chunk = slice(start, start + CHUNK)
            # max, not argmax: ten times as fast on a CPU, here and wherever classes are chosen
            result[chunk, *self.window] = self._enlarged(probability[chunk]).max(1).indices.cpu().numpy()
        return result

    def full_class(self, probability: Tensor, position: int) -> np.ndarray:
        """The probability (S, H, W) float32 of one foreground class."""
        result = np.zeros((len(probability), *self.full), np.float32)
        for start in range(0, len(probability), CHUNK):
            chunk = slice(start, start + CHUNK)
            enlarged = self._enlarged(probability[chunk, position : position + 1])
            result[chunk, *self.window] = enlarged[:, 0].cpu().numpy()
        return result

    def _enlarged(self, probability: Tensor) -> Tensor:
        inside = probability[..., : self.shape[0], : self.shape[1]].float()
        return F.interpolate(inside, self.cropped, mode="bilinear", align_corners=False)


def _window(drawn: np.ndarray, size: int) -> slice:
    """The part of an axis of ``size`` that is looked at: what is drawn, and a margin on both sides."""
    where = np.flatnonzero(drawn)
    margin = max(LEAST_MARGIN, round(MARGIN * (where[-1] - where[0] + 1)))
    return slice(max(0, where[0] - margin), min(size, where[-1] + 1 + margin))
