"""The training of the networks of the orthogonal planes: cuts through whole volumes, with the labels of all slices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..cohort_grid import SIZE_PERCENTILE, padded_shape, placed
from ..network_shape import Orthogonal
from ..orthogonal import cut_depth
from ..segmentation_network import PLANES, SegmentationNetwork
from .augmentation import augment
from .data import PreparedCase
from .loop import Run, Stage, train_stage
from .losses import named, segmentation_loss
from .sampling import mixed_batches
from .supervised import first_weights, network_shape, steps_for
from .volumetric import filled_up

SHOWN = 0.6  # of a batch: cuts that show the structure


def train_orthogonal(run: Run, slices: nn.Module, labels: Tensor) -> tuple[dict[str, nn.Module], Orthogonal]:
    """A network for each of the planes that has learned the ``labels`` of the whole stack, and what they see.

    Uncertain labels count as certain. They start from the network of ``slices``, if set and it sees one at a time.
    """
    spacing = cut_spacing(run)
    networks = {name: _train(run, name, slices, Cuts(run, axis, spacing, labels)) for name, axis in PLANES.items()}
    return networks, Orthogonal(spacing)


def cut_spacing(run: Run) -> float:
    """mm between the rows of a cut: as between those of a slice, or more, so that cuts are no larger than slices."""
    grid = run.data.grid
    return max(math.sqrt(math.prod(grid.spacing)), run.data.usual_length / min(grid.shape))


class Cuts:
    """The cuts along one axis of all volumes of a cohort, by number: each case has as many as its slices have lines."""

    def __init__(self, run: Run, axis: int, spacing: float, labels: Tensor):
        self.data, self.axis, self.spacing, self.labels = run.data, axis, spacing, labels
        self.check_cancelled = run.reporter.check_cancelled
        self.lines = run.data.grid.shape[axis - 1]
        depths = [self._depth(case) for case in run.data.cases]
        # 2 of slack, as for slices: a cut hardly larger than a multiple of 16 does not cost another 16
        rows = np.percentile(depths, SIZE_PERCENTILE) - 2
        self.shape = padded_shape((rows, run.data.grid.shape[2 - axis]))

    def parts(self) -> list[tuple[Tensor, float]]:
        """Numbers of the cuts that show the structure, and of the others, with their shares of a batch."""
        shown, others = [], []
        for position, case in enumerate(self.data.cases):
            self.check_cancelled()
            inside = placed(case.size, self.data.grid.shape)[self.axis - 1]
            lines = torch.arange(self.lines)[inside]
            found = self.labels[case.start : case.stop].amax((0, 3 - self.axis))[inside].cpu() > 0
            shown.append(position * self.lines + lines[found])
            others.append(position * self.lines + lines[~found])
        return [(torch.cat(shown), SHOWN), (torch.cat(others), 1 - SHOWN)]

    def look_up(self, numbers: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (B, 1, rows, columns), float32 in [0, 1], and labels (B, rows, columns), uint8, of these cuts.

        Cuts through longer volumes than most are seen in part, at random, but with something of what is labeled.
        """
        cuts = (self._cut(*divmod(number, self.lines), generator) for number in numbers.tolist())
        images, labels = zip(*cuts, strict=True)
        return torch.stack(images).unsqueeze(1), torch.stack(labels)

    def _cut(self, position: int, line: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        case = self.data.cases[position]
        depth = self._depth(case)
        image, label = (
            stack[case.start : case.stop].select(self.axis, line) for stack in (self.data.images, self.labels)
        )
        size = depth, image.shape[1]
        image = nn.functional.interpolate(image[None, None].float() / 255, size, mode="bilinear", antialias=True)[0, 0]
        label = named(label[((torch.arange(depth) + 0.5) * (len(label) / depth)).long()])
        first = _window(label, self.shape[0], generator)
        inside = slice(first, first + self.shape[0])
        return filled_up(image[inside], self.shape), filled_up(label[inside], self.shape)

    def _depth(self, case: PreparedCase) -> int:
        return cut_depth(case.stop - case.start, case.slice_spacing, self.spacing)


def _window(label: Tensor, rows: int, generator: torch.Generator) -> int:
    """The first of so many ``rows`` of a ``label`` (row, column) that are looked at: with a labeled one if there is."""
    if len(label) <= rows:
        return 0
    labeled = label.any(1).nonzero()[:, 0].cpu()
    labeled = labeled if len(labeled) else torch.arange(len(label))
    row, before = torch.rand(2, generator=generator).tolist()
    return min(max(0, int(labeled[int(row * len(labeled))]) - int(before * rows)), len(label) - rows)


def _train(run: Run, name: str, slices: nn.Module, cuts: Cuts) -> nn.Module:
    """The network of one plane."""
    settings, classes, parts = run.settings, run.data.classes, cuts.parts()
    steps = steps_for(settings, sum(len(numbers) for numbers, _ in parts))

    def epoch_batches(epoch, averaged, generator):
        return mixed_batches(parts, run.settings.batch, steps, generator)

    def batch_loss(network, numbers, generator):
        images, labels = (part.to(run.device) for part in cuts.look_up(numbers, generator))
        images, labels = augment(images, labels, classes, settings.target_augmentation, generator)
        return segmentation_loss(network(images), labels, settings.gamma).mean()

    with first_weights(run, name):
        network = SegmentationNetwork(replace(network_shape(run), context=0))
    if settings.warm_start and not settings.context:
        network.load_state_dict(slices.state_dict())
    stage = Stage(name, network, settings.orthogonal_epochs, settings.learning_rate, epoch_batches, batch_loss, steps)
    return train_stage(run, stage)
