"""The training of an overview: whole volumes, coarsely, with the labels of all their slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..metrics import mask_dice
from ..network_shape import Overview
from ..overview import coarse, fine
from ..volume_networks import RESIDUAL, VNet
from .augmentation import augment
from .data import PreparedCase
from .loop import Run, Stage, train_stage
from .losses import named, one_hot, segmentation_loss
from .sampling import draw
from .supervised import first_weights, steps_for
from .volumetric import filled_up

THIN = 0.85  # Dice of labels with themselves, brought to the overview's grid and back, below which it is no use
STRETCH = 0.2  # along slices a volume becomes up to exp(0.2) larger or smaller
SHIFT = 0.05  # and is shifted by up to this part of itself


def overview_of(run: Run) -> Overview:
    """As the settings have it; what it sees at once is as long as most of the cohort's volumes."""
    side = run.settings.overview_side
    return Overview(run.settings.overview_width, side, run.data.grid.shape, run.data.usual_length / side)


def train_overview(run: Run, labels: Tensor) -> tuple[nn.Module, Overview] | None:
    """An overview that has learned the ``labels`` of the whole stack.

    None if it could not show what is labeled, which the user is told.
    """
    overview = overview_of(run)
    volumes, kept = zip(*(coarse_case(run, case, overview, labels) for case in run.data.cases), strict=True)
    by_class = [[dice for dice in own if dice is not None] for own in zip(*kept, strict=True)]
    if any(np.mean(own) < THIN for own in by_class if own):
        run.reporter.warn(
            "What was drawn is too thin for the network that sees whole volumes coarsely: the model does without it."
        )
        return None
    return _train(run, overview, volumes), overview


def _train(run: Run, overview: Overview, volumes: Sequence[tuple[Tensor, Tensor]]) -> nn.Module:
    """The overview network, trained on images and labels that have been brought to its grid."""
    settings, classes = run.settings, run.data.classes
    steps = steps_for(settings, len(volumes), settings.overview_batch)

    def epoch_batches(epoch, averaged, generator):
        batch = run.settings.overview_batch  # read anew: it is halved when the memory is not enough
        return list(draw(torch.arange(len(volumes)), batch * steps, generator).view(steps, batch))

    def batch_loss(network, numbers, generator):
        windows = [stretched(*window_of(*volumes[n], overview.side, generator), generator) for n in numbers.tolist()]
        images, found = (torch.stack(part).to(run.device) for part in zip(*windows, strict=True))
        images, found = augment(images, found, classes, settings.target_augmentation, generator)
        return segmentation_loss(network(images.unsqueeze(1)), found, settings.gamma).mean()

    with first_weights(run, "overview"):
        network = VNet(overview.network(classes), RESIDUAL)
    epochs, rate = settings.overview_epochs, settings.overview_learning_rate
    stage = Stage("overview", network, epochs, rate, epoch_batches, batch_loss, steps, batch_setting="overview_batch")
    return train_stage(run, stage)


def coarse_case(
    run: Run, case: PreparedCase, overview: Overview, labels: Tensor
) -> tuple[tuple[Tensor, Tensor], list[float | None]]:
    """Image, float32 in [0, 1], and label, uint8, of a case (slice, side, side), of the ``labels`` of the whole stack.

    And for each class the Dice of its label with itself, brought back from there (None where the case has none of it).
    """
    run.reporter.check_cancelled()
    masks = one_hot(named(labels[case.start : case.stop].cpu())[None], run.data.classes)[0].numpy()
    soft = torch.stack([coarse(mask, case.slice_spacing, overview) for mask in (1 - masks.sum(0), *masks)])
    label = soft.argmax(0)
    back = fine(F.one_hot(label, run.data.classes + 1).movedim(3, 0).float(), masks.shape[1:]).argmax(1)
    kept = [mask_dice(back == number, mask > 0) if mask.any() else None for number, mask in enumerate(masks, 1)]
    return (coarse(run.data.working_image(case), case.slice_spacing, overview), label.to(torch.uint8)), kept


def window_of(image: Tensor, label: Tensor, side: int, generator: torch.Generator) -> list[Tensor]:
    """``side`` slices at a random place of a volume, centred on zeros where it has fewer."""
    first = int(torch.randint(max(0, len(image) - side) + 1, (1,), generator=generator))
    return [filled_up(part[first : first + side], (side,) * 3) for part in (image, label)]


def stretched(image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A volume (slice, row, column) made longer or shorter along its slices, and shifted, at random."""
    size, shift = (torch.rand(2, generator=generator) * 2 - 1).tolist()
    count = len(image)
    place = (torch.arange(count) + 0.5 - count / 2) * np.exp(size * STRETCH) + count * (0.5 + shift * SHIFT) - 0.5
    place = place.clamp(0, count - 1)
    lower = place.long()
    part = (place - lower).view(-1, 1, 1)
    return torch.lerp(image[lower], image[(lower + 1).clamp_max(count - 1)], part), label[place.round().long()]
