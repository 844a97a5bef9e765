"""Small networks that refine carried labels, for one volume or for all of a cohort: what they learn from, and how.

A network smooths out what registration did wrong in single slices, the carried labels know better what was drawn: their
mean is better than both. That of a cohort also knows from the other drawings what none of one volume's shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .carried_volume import CarriedVolume, training_labels
from .devices import fast_numbers
from .networks import light_unet
from .reporting import Reporter, TimeLeft
from .training.augmentation import Augmentation, augment
from .training.coding import UNCERTAIN
from .training.losses import one_hot

CHANNELS, RESIDUAL_UNITS = (16, 32, 64, 96), 2
BATCH = 8
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-3
AUGMENTATION = Augmentation(
    rotation=20.0, scale=0.3, shift=0.08, elastic=0.03, gamma=0.35, contrast=0.2, brightness=0.1, noise=0.06
)
PROPAGATED_WEIGHT = 0.7  # of a slice that was neither drawn nor is absent


@dataclass(frozen=True)
class Lesson:
    """So many steps of training, with these shares of a batch drawn and absent; the rest are other slices."""

    steps: int
    drawn_share: float
    absent_share: float


ALONE = Lesson(300, 0.15, 0.15)  # of a volume's own network
CARRIED_SHARE_ALONE = 0.7  # of the carried labels in the mean of both


@dataclass
class Slices:
    """What is learned from: ``images`` (slice, row, column), ``labels`` (slice, row, column) with uncertain pixels.

    ``drawn`` and ``absent`` (slice,) bool, and the ``trust`` (slice,) in what was found of the others, from 0 to 1, are
    on the CPU. So many foreground ``classes``.
    """

    images: Tensor
    labels: Tensor
    drawn: Tensor
    absent: Tensor
    trust: Tensor
    classes: int

    def shares(self, lesson: Lesson) -> Tensor:
        """How often each slice is chosen (slice,), on the CPU as the generator is."""
        drawn, absent = lesson.drawn_share, lesson.absent_share
        parts = ((self.drawn, drawn), (self.absent, absent), (self.propagated, 1 - drawn - absent))
        return sum(amount * part / part.sum().clamp_min(1) for part, amount in parts)

    @property
    def propagated(self) -> Tensor:
        """The slices (slice,) of which nothing is known but what was found."""
        return ~self.drawn & ~self.absent

    @property
    def weight(self) -> Tensor:
        """How much the loss of each slice counts (slice,)."""
        return torch.where(self.propagated, PROPAGATED_WEIGHT * self.trust, 1.0)


def refinement_network(classes: int, device: torch.device, seed: int) -> nn.Module:
    """A new network for so many foreground classes, whose first weights depend on the seed."""
    torch.manual_seed(seed)
    return light_unet(1, classes + 1, CHANNELS, RESIDUAL_UNITS).to(device)


def train(
    network: nn.Module, slices: Slices, lesson: Lesson, generator: torch.Generator, tick: Callable[[float], None]
) -> None:
    """Trains the network; ``tick`` hears which part is done before each step."""
    network.train()
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, lesson.steps, pct_start=0.15)
    share, weight = slices.shares(lesson), slices.weight
    for step in range(lesson.steps):
        tick(step / lesson.steps)
        chosen = torch.multinomial(share, BATCH, True, generator=generator)
        images, labels = slices.images[chosen][:, None].to(device), slices.labels[chosen].to(device)
        images, labels = augment(images, labels, slices.classes, AUGMENTATION, generator)
        loss = batch_loss(_logits(network, images), labels, weight[chosen].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def predicted(network: nn.Module, volume: CarriedVolume) -> Tensor:
    """Probabilities (slice, class, row, column), smoothed along the slices, with what is known put in."""
    network.eval()
    found = [_logits(network, chunk[:, None]).softmax(1) for chunk in volume.slices.split(32)]
    return volume.smooth(torch.cat(found))


def refine(volume: CarriedVolume, seed: int, reporter: Reporter) -> tuple[Tensor, Tensor]:
    """Improves the carried labels of one volume by a network of its own.

    Returns the joined probability (slice, class, row, column) and the confidence (slice,). Raises ``Cancelled``.
    """
    network = refinement_network(volume.classes, volume.slices.device, seed)
    known = training_labels(volume.probability), volume.drawn_slices, volume.absent
    slices = Slices(volume.slices, *known, torch.ones(len(volume.slices)), volume.classes)
    left = TimeLeft()
    train(
        network,
        slices,
        ALONE,
        torch.Generator().manual_seed(seed),
        lambda part: reporter.progress("refine", part, seconds_left=left(part)),
    )
    found = predicted(network, volume)
    return volume.joined(found, CARRIED_SHARE_ALONE), volume.agreed(found)


def batch_loss(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy and Dice loss over a whole batch, slices with ``weight`` (batch,), uncertain pixels left out.

    Dice over the batch, not slice by slice as in eq. 2: one false pixel would cost an absent slice nearly all of it,
    and the network would learn to find too little.
    """
    mask = (labels < UNCERTAIN) * weight.view(-1, 1, 1)
    known = labels.masked_fill(labels > UNCERTAIN, 0).long()
    entropy = (F.cross_entropy(logits, known, reduction="none") * mask).sum() / mask.sum().clamp_min(1e-6)
    probability, target = logits.softmax(1)[:, 1:], one_hot(known, logits.shape[1] - 1)
    overlap = (2 * probability * target * mask[:, None]).sum((0, 2, 3))
    total = ((probability + target) * mask[:, None]).sum((0, 2, 3))
    return entropy + (1 - (overlap + 1) / (total + 1)).mean()


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    with fast_numbers(images):
        return network(images).float()
