"""Further training of the registration network on a cohort's neighbouring slices; no label is used."""

from __future__ import annotations

import torch
from torch import nn

from ..registration import folded, registration_loss, shipped_network
from .loop import Run, Stage, train_stage
from .sampling import draw
from .supervised import steps_for

SMOOTHNESS = 1.0  # weight beside normalised cross-correlation, as in VoxelMorph


def registration_network(run: Run) -> nn.Module:
    """The network that propagates, as shipped or trained further, as set; it cannot be trained any more."""
    shipped = shipped_network(run.device)
    return folded(tuned_network(run, shipped) if run.settings.registration == "tuned" else shipped)


def tuned_network(run: Run, network: nn.Module) -> nn.Module:
    """Train on all pairs of neighbouring slices, both ways (osman2024, "Self-Supervised Learning")."""
    data, settings = run.data, run.settings
    first = torch.cat([torch.arange(case.start, case.stop - 1) for case in data.cases])
    steps = steps_for(settings, len(first), settings.registration_batch)

    def epoch_batches(epoch, averaged, generator):
        batch = run.settings.registration_batch  # read anew: it is halved when the memory is not enough
        return list(draw(first, steps * batch, generator).view(steps, batch))

    def batch_loss(network, numbers, generator):
        lower, upper = data.batch(numbers).to(run.device), data.batch(numbers + 1).to(run.device)
        swap = (torch.rand(len(numbers), 1, 1, 1, generator=generator) < 0.5).to(run.device)
        moving, fixed = torch.where(swap, upper, lower), torch.where(swap, lower, upper)
        return registration_loss(moving, fixed, network(moving, fixed), "ncc", SMOOTHNESS)

    rate, epochs = settings.registration_learning_rate, settings.registration_epochs
    own = "registration_batch"
    stage = Stage(
        "registration", network, epochs, rate, epoch_batches, batch_loss, steps, batch_setting=own, halved=False
    )
    return train_stage(run, stage)
