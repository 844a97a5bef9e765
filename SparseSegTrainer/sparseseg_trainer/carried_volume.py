"""A volume through which its drawn labels have been carried, as the networks that refine them see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from .correction import Combined
from .known_slices import KnownSlices
from .propagation import soft_dice
from .tensor_files import save_tensors
from .training.coding import UNCERTAIN

CERTAIN = 0.6  # a pixel whose most probable class has less is not learned from
SMOOTHING = 1.0  # slices, standard deviation
FLOOR = 1e-2  # least probability when logarithms are averaged: neither source has a veto


@dataclass
class CarriedVolume(KnownSlices):
    """What is known of a volume, and what was carried through it.

    ``probability`` (slice, class, row, column) of the carried labels, background first, which say nothing of
    ``missing`` classes; ``confidence`` (slice,) in them, from 0 to 1.
    """

    probability: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, carried: Combined) -> CarriedVolume:
        """The volume with the ``carried`` labels, of which drawn and absent slices are right."""
        known, confidence = carried.known, carried.travelled.confidence
        volume = cls(known.slices, known.drawn, known.absent, carried.probability, confidence)
        volume.probability = volume.known(carried.probability)
        return volume

    def known(self, probability: Tensor) -> Tensor:
        """``probability`` (slice, class, row, column) with the drawn and the absent slices put in."""
        probability = probability.clone()
        probability[self.absent] = 0
        probability[self.absent, 0] = 1
        for index, label in self.drawn.items():
            probability[index] = label
        return probability

    def smooth(self, found: Tensor) -> Tensor:
        """What a network ``found`` (slice, class, row, column), smoothed along slices, with what is known put in."""
        smooth = gaussian_filter1d(self.known(found).cpu().numpy(), SMOOTHING, axis=0)
        return self.known(torch.from_numpy(smooth).to(found.device))

    def joined(self, found: Tensor, carried_share: float) -> Tensor:
        """The normalized geometric mean of what a network ``found`` and the carried labels, which count so much."""
        carried = carried_share * self._with_missing(found).clamp_min(FLOOR).log()
        return self.known((carried + (1 - carried_share) * found.clamp_min(FLOOR).log()).softmax(1))

    def _with_missing(self, found: Tensor) -> Tensor:
        """The carried labels, whose background is shared with the missing classes as in what a network ``found``."""
        missing = self.missing
        if not missing:
            return self.probability
        open_to = [0, *missing]
        probability, share = self.probability.clone(), found[:, open_to]
        probability[:, open_to] = self.probability[:, :1] * share / share.sum(1, keepdim=True).clamp_min(FLOOR)
        return probability

    def agreed(self, found: Tensor) -> Tensor:
        """The confidence (slice,), which also counts how well the carried labels and what a network ``found`` agree."""
        agreement = [soft_dice(a[1:], b[1:]) for a, b in zip(self.probability, found, strict=True)]
        return torch.where(self.confidence == 1, 1.0, 0.5 * (self.confidence + torch.tensor(agreement)))

    def save(self, path: Path) -> None:
        """Write it into a safetensors file, rounded to half precision. Raises InputError."""
        tensors = {"slices": self.slices.half(), "probability": self.probability.half(), "absent": self.absent}
        drawn = {"drawn": torch.tensor(list(self.drawn)), "labels": torch.stack(list(self.drawn.values())).half()}
        save_tensors(path, tensors | drawn | {"confidence": self.confidence})

    @classmethod
    def load(cls, path: Path, device: torch.device) -> CarriedVolume:
        """What ``save`` wrote."""
        tensors = load_file(path)
        slices, probability, labels = (tensors[name].float().to(device) for name in ("slices", "probability", "labels"))
        drawn = dict(zip(tensors["drawn"].tolist(), labels, strict=True))
        return cls(slices, drawn, tensors["absent"], probability, tensors["confidence"])


def training_labels(probability: Tensor) -> Tensor:
    """The most probable classes (slice, row, column), uint8, of (slice, class, row, column); in doubt they count not.

    Uncertain ones are marked as in ``training.coding``.
    """
    certainty, labels = probability.max(1)
    return torch.where(certainty < CERTAIN, UNCERTAIN + labels.clamp_min(1), labels).to(torch.uint8)
