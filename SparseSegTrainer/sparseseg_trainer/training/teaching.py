"""Semi-supervised training on drawn and unlabelled slices at once: what the comparison methods of osman2024 share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import InputError
from ..network_shape import NetworkShape
from .consistency import deviations, noisy, ramp_up
from .loop import Run, Stage, train_stage
from .losses import segmentation_loss
from .sampling import draw, mixed_batches
from .settings import Consistency, TrainSettings
from .supervised import first_weights, look_up, network_shape, new_network, steps_for
from .validation import live_dice
from .volumetric import draw_patches


@dataclass(frozen=True)
class Lesson:
    """One batch as a method sees it: slices (B, channels, rows, columns) or patches (B, 1, slices, rows, columns)."""

    images: Tensor  # augmented; those with known labels come first
    labels: Tensor  # of these
    teacher: nn.Module  # moving average of the network's weights up to this step
    done: float  # part of the training's steps before this one
    generator: torch.Generator

    @property
    def known(self) -> Tensor:
        """Images of drawn and absent slices, or of labeled volumes."""
        return self.images[: len(self.labels)]

    @property
    def unlabelled(self) -> Tensor:
        """Images of the other slices or volumes."""
        return self.images[len(self.labels) :]


# The unlabelled images as the student shall see them, and the loss of the logits that it answers
Task = tuple[Tensor, Callable[[Tensor], Tensor]]
MakeTask = Callable[[Consistency, Lesson], Task]


def train_student(run: Run, task: MakeTask) -> nn.Module:
    """Train a student whose moving average is the teacher; returns the teacher, as Tarvainen 2017 advises."""
    settings = run.settings

    def loss(network, lesson):
        return student_loss(settings, network, lesson, task)

    return train_semi_supervised(run, new_network(run), loss, settings.consistency.decay)


def student_loss(settings: TrainSettings, network: nn.Module, lesson: Lesson, task: MakeTask) -> Tensor:
    """The supervised loss plus the loss of the ``task``, times the weight of the consistency as ramped up by then."""
    how = settings.consistency
    images, consistency = task(how, lesson)
    known, unlabelled = both_logits(network, lesson.known, images, how.apart)
    weight = how.weight * ramp_up(lesson.done, 0.0, how.ramp)
    return supervised_loss(settings, known, lesson.labels) + weight * consistency(unlabelled)


def supervised_loss(settings: TrainSettings, logits: Tensor, labels: Tensor) -> Tensor:
    """Dice and cross-entropy of the known slices, with their weight beside the consistency."""
    return settings.consistency.supervised * segmentation_loss(logits, labels, settings.gamma).mean()


def both_logits(network: nn.Module, known: Tensor, unlabelled: Tensor, apart: bool) -> tuple[Tensor, Tensor]:
    """The network's logits for images with known labels and for others, in one pass or ``apart`` (``Consistency``).

    Unknown slices mostly lie far from the drawn ones. Where their brightness goes into the averages of batch
    normalization, the network later finds the structure there as well.
    """
    if not apart:
        return network(torch.cat([known, unlabelled])).split([len(known), len(unlabelled)])
    logits = network(known)
    with _averages_kept(network):
        return logits, network(unlabelled)


@contextlib.contextmanager
def _averages_kept(network: nn.Module) -> Iterator[None]:
    """Within it batch normalization does not change its averages."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def taught(lesson: Lesson, how: Consistency) -> Tensor:
    """The teacher's probabilities for the unlabelled images with noise, as a constant.

    The published noise is the same number for slices from 0 to 1 and for volumes of unit variance (Yu 2019, zhang2024).
    Patches are from 0 to 1 here, so theirs is in standard deviations of the patch.
    """
    images = lesson.unlabelled
    unit = deviations(images) if images.ndim == 5 else 1.0
    return answer(lesson.teacher, noisy(images, how.noise, how.noise_limit, lesson.generator, unit))


@torch.no_grad()
def answer(teacher: nn.Module, images: Tensor) -> Tensor:
    """The teacher's probabilities as a constant.

    Its batch normalization uses the statistics of these images, as the student's does and as in the public
    implementations: with its averages, which are of other slices, it would differ from the student for that alone.
    """
    teacher.train()
    with _averages_kept(teacher):
        return teacher(images).float().softmax(1)


def train_semi_supervised(
    run: Run, network: nn.Module, loss: Callable[[nn.Module, Lesson], Tensor], averaging: float | None = None
) -> nn.Module:
    """Train on batches of known and unlabelled images; an epoch shows as many slices as the cohort has, or as set.

    ``averaging`` replaces the setting of that name. Returns the network with averaged weights.
    Raises InputError ("nothing_unlabelled").
    """
    settings = run.settings
    draw_epoch, show = (_volumes if settings.dimensions == 3 else _slices)(run)
    steps = steps_for(settings, len(run.data.labels))

    def epoch_batches(epoch, averaged, generator):
        done = [(epoch * steps + step) / (settings.baseline_epochs * steps) for step in range(steps)]
        return [(chosen, averaged, part) for chosen, part in zip(draw_epoch(steps, generator), done, strict=True)]

    def batch_loss(network, batch, generator):
        chosen, averaged, done = batch
        return loss(network, Lesson(*show(chosen, generator), averaged, done, generator))

    epochs, rate, dice = settings.baseline_epochs, settings.learning_rate, partial(live_dice, run)
    return train_stage(run, Stage("target", network, epochs, rate, epoch_batches, batch_loss, steps, dice, averaging))


def train_extended(
    run: Run,
    extended: Callable[[NetworkShape], nn.Module],
    loss: Callable[[TrainSettings, nn.Module, Lesson], Tensor],
) -> nn.Module:
    """Train a V-Net and what ``extended`` puts beside it (``volume_heads``); returns the V-Net."""
    with first_weights(run):
        network = extended(network_shape(run))
    return train_semi_supervised(run, network, partial(loss, run.settings)).network


def parts_of_batch(settings: TrainSettings) -> tuple[int, int]:
    """How many labelled and how many unlabelled images a batch shows: one of each at least."""
    batch = settings.batch
    count = min(max(1, round(batch * settings.consistency.labelled)), max(1, batch - 1))
    return count, max(1, batch - count)


# Of an epoch's steps and a generator: what each batch shows. Of one of these and a generator: images, and the labels of
# the first of them.
Source = tuple[Callable[[int, torch.Generator], list], Callable[[object, torch.Generator], tuple[Tensor, Tensor]]]


def _slices(run: Run) -> Source:
    """Batches of drawn, absent and other slices."""
    settings, data = run.settings, run.data
    unlabelled, share = data.unknown, settings.absence_share
    if not len(unlabelled):
        raise _nothing_unlabelled(settings.method, "slices", "full or central_only")
    parts = [(data.drawn, 1 - share), (data.absent, share)]

    def draw_epoch(steps, generator):
        count, rest = parts_of_batch(run.settings)  # read anew: the batch is halved when the memory is not enough
        known = mixed_batches(parts, count, steps, generator)
        return list(zip(known, draw(unlabelled, rest * steps, generator).split(rest), strict=True))

    def show(chosen, generator):
        numbers = torch.cat(chosen)
        images, labels = look_up(run, numbers, data.labels[numbers.to(data.labels.device)], generator)
        return images, labels[: len(chosen[0])]

    return draw_epoch, show


def _volumes(run: Run) -> Source:
    """Batches of patches from volumes with a label and from those without."""
    labelled = [case for case in run.data.cases if case.labelled]
    unlabelled = [case for case in run.data.cases if not case.labelled]
    if not unlabelled:
        raise _nothing_unlabelled(run.settings.method, "volumes", "full")

    def draw_epoch(steps, generator):
        return [parts_of_batch(run.settings)] * steps

    def show(chosen, generator):
        known, labels, _ = draw_patches(run, labelled, chosen[0], generator)
        others, _, _ = draw_patches(run, unlabelled, chosen[1], generator)
        return torch.cat([known, others]), labels

    return draw_epoch, show


def _nothing_unlabelled(method: str, what: str, others: str) -> InputError:
    return InputError(
        "nothing_unlabelled",
        f"The method {method} learns from {what} without labels, but all {what} of the cohort have one.",
        f"Choose the method {others}.",
    )
