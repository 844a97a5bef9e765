"""The volume's own segmentation network, joined with the propagated labels: the refined result.

Registration is right near the drawn slices; a network trained on this volume alone is right about appearance. It
learns from the drawn slices, the absent ones and the instant result; both are joined, and the network learns once more
from what they agree on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from .cleanup import keep_touching
from .instant import Instant
from .networks import light_unet
from .propagation import soft_dice
from .reporting import Reporter, TimeLeft
from .training.augmentation import Augmentation, augment
from .training.losses import UNCERTAIN, one_hot

CHANNELS, RESIDUAL_UNITS = (16, 32, 64, 96), 2
BATCH = 8
WEIGHT_DECAY = 1e-3
AUGMENTATION = Augmentation(
    rotation=20.0, scale=0.3, shift=0.08, elastic=0.03, gamma=0.35, contrast=0.2, brightness=0.1, noise=0.06
)
REACH = 10.0  # slices over which the weight of a propagated label falls to 1/e in the first round
SMOOTHING = 1.0  # slices, standard deviation
FLOOR = 1e-2  # least probability when logarithms are averaged: neither source has a veto
PSEUDO_LABEL_WEIGHT = 0.7  # of a slice in the second round that was neither drawn nor is absent
INSTANT_SHARE = 0.6  # of the instant result in the last mean; half in the one that the network learns from
CERTAIN = 0.55  # a pixel whose most probable class has less is left out of the second round


@dataclass(frozen=True)
class Round:
    """One round of training, and which share of a batch are drawn and absent slices; the rest is propagated."""

    name: str
    steps: int
    learning_rate: float
    drawn: float
    absent: float


FIRST = Round("refine, round 1", 150, 3e-3, 0.25, 0.35)
SECOND = Round("refine, round 2", 150, 2e-3, 0.2, 0.25)


@dataclass
class Target:
    """What the network learns: ``labels`` (slice, row, column) with ``UNCERTAIN`` pixels, and ``weight`` (slice,)."""

    labels: Tensor
    weight: Tensor


class OwnNetwork:
    """A small network for one volume: ``slices`` (slice, row, column), ``drawn`` soft labels by slice."""

    def __init__(self, slices: Tensor, drawn: dict[int, Tensor], absent: Tensor, seed: int, reporter: Reporter):
        self.slices, self.drawn, self.absent, self.reporter = slices[:, None], drawn, absent, reporter
        self.classes = len(next(iter(drawn.values()))) - 1
        self.generator = torch.Generator().manual_seed(seed)
        network = light_unet(1, self.classes + 1, CHANNELS, RESIDUAL_UNITS)
        self.network: nn.Module = network.to(slices.device)

    def known(self, probability: Tensor) -> Tensor:
        """``probability`` (slice, class, row, column) with the drawn and the absent slices put in."""
        probability = probability.clone()
        probability[self.absent] = 0
        probability[self.absent, 0] = 1
        for index, label in self.drawn.items():
            probability[index] = label
        return probability

    def train(self, target: Target, plan: Round) -> None:
        """Trains for one round; raises ``Cancelled``."""
        self.network.train()
        optimizer = torch.optim.AdamW(self.network.parameters(), plan.learning_rate, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.learning_rate, plan.steps, pct_start=0.15)
        share, left = self._shares(target, plan), TimeLeft()
        for step in range(plan.steps):
            done = step / plan.steps
            self.reporter.progress(plan.name, done, seconds_left=left(done))
            chosen = torch.multinomial(share, BATCH, True, generator=self.generator)
            where = chosen.to(self.slices.device)
            images, labels = augment(
                self.slices[where], target.labels[where], self.classes, AUGMENTATION, self.generator
            )
            loss = batch_loss(self.network(images), labels, target.weight[where])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def _shares(self, target: Target, plan: Round) -> Tensor:
        """How often each slice is chosen (slice,), on the CPU as the generator is."""
        drawn = torch.zeros(len(self.absent), dtype=torch.bool)
        drawn[list(self.drawn)] = True
        rest = ~drawn & ~self.absent
        share = torch.zeros(len(rest))
        parts = ((drawn, plan.drawn), (self.absent, plan.absent), (rest, 1 - plan.drawn - plan.absent))
        for part, amount in parts:
            weight = target.weight.cpu() * part
            share += amount * weight / weight.sum().clamp_min(1e-6)
        return share

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Probabilities (slice, class, row, column), smoothed along the slices, with what is known put in."""
        self.network.eval()
        found = torch.cat([self.network(chunk).softmax(1) for chunk in self.slices.split(32)])
        smooth = gaussian_filter1d(self.known(found).cpu().numpy(), SMOOTHING, axis=0)
        return self.known(torch.from_numpy(smooth).to(found.device))

    def known_weight(self, weight: Tensor) -> Tensor:
        """``weight`` (slice,) with 1 for the drawn and the absent slices."""
        weight = weight.masked_fill(self.absent.to(weight.device), 1)
        weight[list(self.drawn)] = 1
        return weight


def refine(
    slices: Tensor, drawn: dict[int, Tensor], absent: Tensor, instant: Instant, seed: int, reporter: Reporter
) -> tuple[Tensor, Tensor]:
    """Improves the ``instant`` result of one volume (arguments as in ``instant_result``).

    Returns the joined probability (slice, class, row, column) and the confidence (slice,), which also counts how well
    the instant result and the network agree. Raises ``Cancelled``.
    """
    torch.manual_seed(seed)
    own = OwnNetwork(slices, drawn, absent, seed, reporter)
    propagated = own.known(instant.probability)
    fading = torch.exp(-instant.travelled.distance.to(slices.device) / REACH)
    own.train(Target(propagated.argmax(1), own.known_weight(fading)), FIRST)
    certainty, labels = connected(joined(propagated, own.predict(), 0.5), drawn).max(1)
    labels = torch.where(certainty < CERTAIN, UNCERTAIN + labels.clamp_min(1), labels)
    for index, label in drawn.items():
        labels[index] = label.argmax(0)
    own.train(Target(labels, own.known_weight(torch.full_like(fading, PSEUDO_LABEL_WEIGHT))), SECOND)
    found = own.predict()
    agreement = torch.tensor([soft_dice(a[1:], b[1:]) for a, b in zip(propagated, found, strict=True)])
    before = instant.travelled.confidence
    confidence = torch.where(before == 1, 1.0, 0.5 * (before + agreement))
    return own.known(joined(propagated, found, INSTANT_SHARE)), confidence


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


def joined(first: Tensor, second: Tensor, share: float) -> Tensor:
    """The normalised geometric mean of two probabilities (slice, class, row, column), ``share`` being the first's."""
    return (share * first.clamp_min(FLOOR).log() + (1 - share) * second.clamp_min(FLOOR).log()).softmax(1)


def connected(probability: Tensor, drawn: dict[int, Tensor]) -> Tensor:
    """``probability`` with background wherever the most probable class does not hang together with what was drawn."""
    labels = probability.argmax(1).cpu().numpy()
    reference = np.zeros_like(labels)
    for index, label in drawn.items():
        reference[index] = label.argmax(0).cpu().numpy()
    lost = torch.from_numpy((labels > 0) & (keep_touching(labels, reference) == 0)).to(probability.device)
    probability = probability * ~lost[:, None]
    probability[:, 0][lost] = 1
    return probability
