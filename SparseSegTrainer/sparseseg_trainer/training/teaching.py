"""Semi-supervised training on drawn and unlabelled slices at once: what the comparison methods of osman2024 share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..prediction import probabilities
from .consistency import noisy, ramp_up
from .loop import Run, Stage, train_stage
from .losses import segmentation_loss
from .sampling import draw, mixed_batches
from .settings import Consistency, TrainSettings
from .supervised import look_up, new_network, steps_for
from .validation import live_dice


@dataclass(frozen=True)
class Lesson:
    """One batch as a method sees it."""

    images: Tensor  # (B, channels, rows, columns), augmented; the known slices come first
    labels: Tensor  # (known slices, rows, columns)
    teacher: nn.Module  # moving average of the network's weights up to this step
    done: float  # part of the training's steps before this one
    generator: torch.Generator

    @property
    def known(self) -> Tensor:
        """Images of drawn and absent slices."""
        return self.images[: len(self.labels)]

    @property
    def unlabelled(self) -> Tensor:
        """Images of the other slices."""
        return self.images[len(self.labels) :]


# The unlabelled images as the student shall see them, and the loss of the logits that it answers
Task = tuple[Tensor, Callable[[Tensor], Tensor]]


def train_student(run: Run, task: Callable[[Lesson], Task]) -> nn.Module:
    """Train a student whose moving average is the teacher; returns the teacher, as Tarvainen 2017 advises."""
    settings = run.settings

    def loss(network, lesson):
        return student_loss(settings, network, lesson, task)

    return train_semi_supervised(run, new_network(run), loss, settings.consistency.decay)


def student_loss(settings: TrainSettings, network: nn.Module, lesson: Lesson, task: Callable[[Lesson], Task]) -> Tensor:
    """The supervised loss plus the loss of the ``task``, times the weight of the consistency as ramped up by then."""
    how = settings.consistency
    images, consistency = task(lesson)
    known, unlabelled = network(torch.cat([lesson.known, images])).split([len(lesson.labels), len(images)])
    weight = how.weight * ramp_up(lesson.done, 0.0, how.ramp)
    return supervised_loss(settings, known, lesson.labels) + weight * consistency(unlabelled)


def supervised_loss(settings: TrainSettings, logits: Tensor, labels: Tensor) -> Tensor:
    """Dice and cross-entropy of the known slices, with their weight beside the consistency."""
    return settings.consistency.supervised * segmentation_loss(logits, labels, settings.gamma).mean()


def taught(lesson: Lesson, how: Consistency) -> Tensor:
    """The teacher's probabilities for the unlabelled slices with noise, as a constant."""
    return answer(lesson.teacher, noisy(lesson.unlabelled, how.noise, how.noise_limit, lesson.generator))


def answer(teacher: nn.Module, images: Tensor) -> Tensor:
    """The teacher's probabilities as a constant. Its batch normalization uses its averaged statistics."""
    return probabilities(teacher, images).clone()  # what inference mode made cannot take part in a loss


def train_semi_supervised(
    run: Run, network: nn.Module, loss: Callable[[nn.Module, Lesson], Tensor], averaging: float | None = None
) -> nn.Module:
    """Train on batches of known and unlabelled slices; an epoch shows as many slices as the cohort has, or as set.

    ``averaging`` replaces the setting of that name. Returns the network with averaged weights.
    Raises InputError ("nothing_unlabelled").
    """
    settings, data = run.settings, run.data
    unlabelled, share = data.unknown, settings.absence_share
    if not len(unlabelled):
        raise InputError(
            "nothing_unlabelled",
            f"The method {settings.method} learns from slices without labels, but all slices of the cohort have one.",
            "Choose the method full or central_only.",
        )
    parts = [(data.drawn, 1 - share), (data.absent, share)]
    steps = steps_for(settings, len(data.labels))

    def epoch_batches(epoch, averaged, generator):
        batch = run.settings.batch  # read anew: it is halved when the memory is not enough
        count = min(max(1, round(batch * settings.consistency.labelled)), max(1, batch - 1))
        rest = max(1, batch - count)
        known = mixed_batches(parts, count, steps, generator)
        unknown = draw(unlabelled, rest * steps, generator).split(rest)
        done = [(epoch * steps + step) / (settings.baseline_epochs * steps) for step in range(steps)]
        return [(*batch, averaged) for batch in zip(known, unknown, done, strict=True)]

    def batch_loss(network, batch, generator):
        known, unknown, done, averaged = batch
        numbers = torch.cat([known, unknown])
        images, labels = look_up(run, numbers, data.labels[numbers.to(data.labels.device)], generator)
        return loss(network, Lesson(images, labels[: len(known)], averaged, done, generator))

    epochs, rate, dice = settings.baseline_epochs, settings.learning_rate, partial(live_dice, run)
    return train_stage(run, Stage("target", network, epochs, rate, epoch_batches, batch_loss, steps, dice, averaging))
