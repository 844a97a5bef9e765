"""One case: from its drawn slices to its whole volume, or to the point from which a cohort goes on together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch

from .carried_volume import CarriedVolume
from .cleanup import keep_touching
from .correction import Combined, combined
from .correction_network import mended, shipped_correction
from .demons import demons_fields
from .devices import SEEDS, choose_device, seed_everything
from .known_slices import KnownSlices
from .network_shape import check_limits
from .propagation import Register
from .refinement import refine
from .registration import displacement_fields, folded, shipped_network
from .reporting import Reporter
from .settings import CheckedSettings
from .sparse_volume import SparseVolume
from .training.coding import UNCERTAIN
from .working_grid import WorkingGrid

MOST_CLASSES = UNCERTAIN - 1  # that a network can learn; label maps mark uncertain pixels above them


@dataclass(frozen=True)
class PropagateSettings(CheckedSettings):
    """How to propagate.

    ``quality``: "instant" (seconds a volume) or "refined" (the instant result first, then about a minute).
    ``together``: refined results of a cohort's cases learn from what is drawn in all of them. ``absence``: the volume's
    outermost slices count as background where no end is marked. ``probabilities``: also write the probability of each
    label.
    """

    quality: Literal["instant", "refined"] = "refined"
    seed: int = 0
    device: str = "auto"
    together: bool = True
    absence: bool = True
    probabilities: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_limits(self, {"seed": SEEDS})


@dataclass
class Propagation:
    """A whole volume's label.

    ``label``: (S, H, W) class indices, drawn slices as drawn. ``confidence``: (S,) from 0 to 1. ``probability``:
    (S, class, row, column) on the working ``grid``, which brings it to full size a few slices at a time.
    """

    label: np.ndarray
    confidence: np.ndarray
    probability: torch.Tensor
    grid: WorkingGrid


OnInstant = Callable[[Propagation], None]


def propagate_case(
    volume: SparseVolume,
    settings: PropagateSettings = PropagateSettings(),
    reporter: Reporter | None = None,
    on_instant: OnInstant = lambda instant: None,
) -> Propagation:
    """Segments all slices of ``volume`` from its annotated ones.

    ``on_instant`` receives the instant result before it is refined. Raises ``Cancelled``.
    """
    reporter = reporter or Reporter()
    work = CaseWork(volume, settings, reporter)
    instant = work.instant()
    if settings.quality == "instant":
        return instant
    on_instant(instant)
    if len(volume.values) > MOST_CLASSES:
        reporter.warn(f"Case {volume.case.name} has more than {MOST_CLASSES} labels: its result stays the instant one.")
        return instant
    return work.finished(*refine(work.carried(), settings.seed, reporter))


class CaseWork:
    """The steps from a ``volume``'s drawn slices to results, on its working grid."""

    def __init__(self, volume: SparseVolume, settings: PropagateSettings, reporter: Reporter):
        device = choose_device(settings.device)
        seed_everything(settings.seed)
        self.volume, self.reporter, self.device = volume, reporter, device
        self.grid = WorkingGrid(volume.image, volume.label[list(volume.annotated)].any(0), device)
        drawn = {index: self.grid.soft_label(volume.label[index], len(volume.values)) for index in volume.annotated}
        absent = torch.from_numpy(volume.absent(absence=settings.absence))
        self.known = KnownSlices(self.grid.slices, drawn, absent)
        reporter.check_cancelled()

    def instant(self) -> Propagation:
        """The instant result, along the shipped network's fields."""
        fields = partial(displacement_fields, folded(shipped_network(self.device)))
        found = self._corrected(fields)
        return self.finished(found.probability, found.travelled.confidence)

    def carried(self) -> CarriedVolume:
        """What a refined result begins with: the same along the fields of demons. Raises ``Cancelled``."""
        fields = partial(demons_fields, reporter=self.reporter)
        return CarriedVolume.of(self._corrected(fields))

    def _corrected(self, register: Register) -> Combined:
        """What registration along these fields and appearance say together, mended by the network that ships."""
        both = combined(register, self.known, self.volume.first, self.volume.last)
        return replace(both, probability=mended(shipped_correction(self.device), both))

    def finished(self, probability: torch.Tensor, confidence: torch.Tensor) -> Propagation:
        """The label at full size: drawn slices bit for bit, and only what hangs together with them."""
        label, drawn = self.grid.full_label(probability), list(self.volume.annotated)
        label[drawn] = self.volume.label[drawn]
        label = keep_touching(label, self.volume.label)
        return Propagation(label, confidence.numpy(), probability, self.grid)
