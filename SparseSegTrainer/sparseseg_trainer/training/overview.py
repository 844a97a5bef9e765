"""Training of the overview (``overview.py``): whole volumes, coarsely, with the labels of all their slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..cohort_grid import SIZE_PERCENTILE
from ..network_shape import NetworkShape, Overview
from ..overview import coarse
from ..segmentation_network import SlicesAndOverview
from ..volume_networks import RESIDUAL, VNet
from .augmentation import augment
from .data import PreparedCase
from .loop import Run, Stage, train_stage
from .losses import named, one_hot, segmentation_loss
from .sampling import draw
from .supervised import first_weights, network_shape, steps_for
from .volumetric import filled_up

STRETCH = 0.2  # along slices a volume becomes up to exp(0.2) larger or smaller
SHIFT = 0.05  # and is shifted by up to this part of itself


def final_shape(run: Run) -> NetworkShape:
    """What the training ends with: its network, with an overview beside it if it trains one."""
    return replace(network_shape(run), overview=overview_of(run) if run.settings.overview_epochs else None)


def overview_of(run: Run) -> Overview:
    """As the settings have it; what it sees at once is as long as most of the cohort's volumes."""
    lengths = [(case.stop - case.start) * case.slice_spacing for case in run.data.cases]
    side = run.settings.overview_side
    spacing = float(np.percentile(lengths, SIZE_PERCENTILE)) / side
    return Overview(run.settings.overview_width, side, run.data.grid.shape, spacing)


def with_overview(run: Run, network: nn.Module, labels: Tensor) -> nn.Module:
    """``network``, of slices, with an overview beside it that has learned the ``labels`` of the whole stack.

    The network alone if the settings say so.
    """
    if not run.settings.overview_epochs:
        return network
    return SlicesAndOverview(network, _train(run, overview_of(run), named(labels.cpu())))


def _train(run: Run, overview: Overview, labels: Tensor) -> nn.Module:
    """The overview network, trained on volumes that are brought to its grid once."""
    settings, classes = run.settings, run.data.classes
    volumes = [_coarse_case(run, case, overview, labels[case.start : case.stop]) for case in run.data.cases]
    steps = steps_for(replace(settings, batch=settings.overview_batch), len(volumes))

    def epoch_batches(epoch, averaged, generator):
        batch = run.settings.overview_batch  # read anew: it is halved when the memory is not enough
        return list(draw(torch.arange(len(volumes)), batch * steps, generator).view(steps, batch))

    def batch_loss(network, numbers, generator):
        windows = [_stretched(*_window(*volumes[n], overview.side, generator), generator) for n in numbers.tolist()]
        images, found = (torch.stack(part).to(run.device) for part in zip(*windows, strict=True))
        images, found = augment(images, found, classes, settings.target_augmentation, generator)
        return segmentation_loss(network(images.unsqueeze(1)), found, settings.gamma).mean()

    with first_weights(run, "overview"):
        network = VNet(overview.network(classes), RESIDUAL)
    epochs, rate = settings.overview_epochs, settings.overview_learning_rate
    stage = Stage("overview", network, epochs, rate, epoch_batches, batch_loss, steps, batch_setting="overview_batch")
    return train_stage(run, stage)


def _coarse_case(run: Run, case: PreparedCase, overview: Overview, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Image, float32 in [0, 1], and label, uint8, of a case (slice, side, side)."""
    run.reporter.check_cancelled()
    image = run.data.images[case.start : case.stop].cpu().numpy().astype(np.float32) / 255
    masks = one_hot(labels[None], run.data.classes)[0].numpy()
    soft = torch.stack([coarse(mask, case.slice_spacing, overview) for mask in (1 - masks.sum(0), *masks)])
    return coarse(image, case.slice_spacing, overview), soft.argmax(0).to(torch.uint8)


def _window(image: Tensor, label: Tensor, side: int, generator: torch.Generator) -> list[Tensor]:
    """``side`` slices at a random place of a volume, centred on zeros where it has fewer."""
    first = int(torch.randint(max(0, len(image) - side) + 1, (1,), generator=generator))
    return [filled_up(part[first : first + side], (side,) * 3) for part in (image, label)]


def _stretched(image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A volume (slice, row, column) made longer or shorter along its slices, and shifted, at random."""
    size, shift = (torch.rand(2, generator=generator) * 2 - 1).tolist()
    count = len(image)
    place = (torch.arange(count) + 0.5 - count / 2) * np.exp(size * STRETCH) + count * (0.5 + shift * SHIFT) - 0.5
    place = place.clamp(0, count - 1)
    lower = place.long()
    part = (place - lower).view(-1, 1, 1)
    return torch.lerp(image[lower], image[(lower + 1).clamp_max(count - 1)], part), label[place.round().long()]
