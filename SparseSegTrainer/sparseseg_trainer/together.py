"""The volumes of a cohort are refined together: one network learns from what is drawn in all of them.

Drawn slices lie at other heights of the structure in other volumes, so that together they show most of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .appearance import evenly
from .carried_volume import CarriedVolume, training_labels
from .refinement import Lesson, Slices, predicted, refinement_network, train
from .reporting import Reporter, TimeLeft
from .training.coding import UNCERTAIN

FEWEST = 4  # volumes: so many atria gain, three spinal cords of three contrasts do not
MOST = 100  # volumes that are learned from, evenly chosen, which bounds the memory
LESSONS = 2
TRUST = 2.0  # power of the confidence with which a carried label counts in the first lesson; then they are joined ones
CARRIED_SHARE = 0.3  # of the carried labels in the mean of both


def lesson(volumes: int) -> Lesson:
    """How to learn from so many volumes: mostly from what is known, which together shows most of the structure."""
    return Lesson(min(600 + 40 * volumes, 3000), 0.5, 0.25)


def learn_together(
    volumes: Sequence[Callable[[], CarriedVolume]], device: torch.device, seed: int, reporter: Reporter
) -> nn.Module:
    """A network that has learned from all the volumes; each function reads one of them. Raises ``Cancelled``."""
    volumes = [volumes[index] for index in evenly(np.arange(len(volumes)), MOST)]
    slices = _all_slices(volumes, reporter)
    network = refinement_network(slices.classes, device, seed)
    generator, left = torch.Generator().manual_seed(seed), TimeLeft()
    for number in range(LESSONS):

        def tick(part: float, number: int = number) -> None:
            done = (number + part) / LESSONS
            reporter.progress("together", done, seconds_left=left(done))

        if number:
            slices.labels = _labeled_anew(network, volumes, slices.labels.shape[1:], reporter)
            slices.trust = torch.ones(len(slices.labels))
        train(network, slices, lesson(len(volumes)), generator, tick)
    return network


def refined_together(network: nn.Module, volume: CarriedVolume) -> tuple[Tensor, Tensor]:
    """The joined probability (slice, class, row, column) of one of the volumes and the confidence (slice,)."""
    found = predicted(network, volume)
    return volume.joined(found, CARRIED_SHARE), volume.agreed(found)


def _all_slices(volumes: Sequence[Callable[[], CarriedVolume]], reporter: Reporter) -> Slices:
    """The slices of all volumes one after the other, brought to one size by a border that counts not.

    Carried labels of a volume that misses a class which others show are not learned from.
    """
    images, labels, drawn, absent, confidence, missing = [], [], [], [], [], []
    for volume in (read() for read in volumes):
        reporter.check_cancelled()
        images.append(volume.slices.cpu())
        labels.append(training_labels(volume.probability).cpu())
        drawn.append(volume.drawn_slices)
        absent.append(volume.absent)
        confidence.append(volume.confidence)
        missing.append(set(volume.missing))
    size = tuple(max(sides) for sides in zip(*(image.shape[1:] for image in images), strict=True))
    images = torch.cat([_padded(image, size) for image in images])
    labels = torch.cat([_padded_label(label, size) for label in labels])
    nowhere = set.intersection(*missing)
    trust = [own**TRUST * (without <= nowhere) for own, without in zip(confidence, missing, strict=True)]
    return Slices(images, labels, *(torch.cat(parts) for parts in (drawn, absent, trust)), volume.classes)


def _labeled_anew(
    network: nn.Module, volumes: Sequence[Callable[[], CarriedVolume]], size: Sequence[int], reporter: Reporter
) -> Tensor:
    """The labels of all slices, as the network and the carried labels have them together."""
    labels = []
    for volume in (read() for read in volumes):
        reporter.check_cancelled()
        joined = volume.joined(predicted(network, volume), CARRIED_SHARE)
        labels.append(_padded_label(training_labels(joined).cpu(), size))
    return torch.cat(labels)


def _padded(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images (slice, row, column) with so many rows and columns, those at the edge repeated."""
    return F.pad(images[None], _missing(images, size), mode="replicate")[0]


def _padded_label(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Labels (slice, row, column) with so many rows and columns, of which the new ones are uncertain."""
    return F.pad(labels, _missing(labels, size), value=UNCERTAIN + 1)


def _missing(slices: Tensor, size: Sequence[int]) -> tuple[int, ...]:
    return 0, size[1] - slices.shape[2], 0, size[0] - slices.shape[1]
