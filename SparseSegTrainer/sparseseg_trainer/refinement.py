"""The volume's own segmentation network, joined with the labels that were carried through it: the refined result.

The network learns from the drawn slices, the absent ones and what is certain of the carried labels. It smooths out what
registration did wrong in single slices, the carried labels know better what was drawn: their mean is better than both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from .correction import Corrected
from .devices import fast_numbers
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
STEPS, LEARNING_RATE = 300, 3e-3
DRAWN_SHARE, ABSENT_SHARE = 0.15, 0.15  # of a batch; the rest are slices that labels were propagated to
CERTAIN = 0.6  # a pixel whose most probable class has less is not learned from
PROPAGATED_WEIGHT = 0.7  # of a slice that was neither drawn nor is absent
SMOOTHING = 1.0  # slices, standard deviation
CARRIED_SHARE = 0.5  # of the carried labels in the mean
FLOOR = 1e-2  # least probability when logarithms are averaged: neither source has a veto


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

    def train(self, labels: Tensor) -> None:
        """Trains on ``labels`` (slice, row, column) with ``UNCERTAIN`` pixels; raises ``Cancelled``."""
        self.network.train()
        optimizer = torch.optim.AdamW(self.network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.15)
        (share, weight), left = self._shares(), TimeLeft()
        for step in range(STEPS):
            self.reporter.progress("refine", step / STEPS, seconds_left=left(step / STEPS))
            chosen = torch.multinomial(share, BATCH, True, generator=self.generator)
            where = chosen.to(self.slices.device)
            images, target = augment(self.slices[where], labels[where], self.classes, AUGMENTATION, self.generator)
            loss = batch_loss(self._logits(images), target, weight[where])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def _logits(self, images: Tensor) -> Tensor:
        with fast_numbers(images):
            return self.network(images).float()

    def _shares(self) -> tuple[Tensor, Tensor]:
        """How often each slice is chosen (slice,), on the CPU as the generator is, and its weight (slice,)."""
        drawn = torch.zeros(len(self.absent), dtype=torch.bool)
        drawn[list(self.drawn)] = True
        absent = self.absent.cpu()
        propagated = ~drawn & ~absent
        parts = ((drawn, DRAWN_SHARE), (absent, ABSENT_SHARE), (propagated, 1 - DRAWN_SHARE - ABSENT_SHARE))
        share = sum(amount * part / part.sum().clamp_min(1) for part, amount in parts)
        weight = torch.where(propagated, PROPAGATED_WEIGHT, 1.0)
        return share, weight.to(self.slices.device)

    @torch.no_grad()
    def predict(self) -> Tensor:
        """Probabilities (slice, class, row, column), smoothed along the slices, with what is known put in."""
        self.network.eval()
        found = torch.cat([self._logits(chunk).softmax(1) for chunk in self.slices.split(32)])
        smooth = gaussian_filter1d(self.known(found).cpu().numpy(), SMOOTHING, axis=0)
        return self.known(torch.from_numpy(smooth).to(found.device))


def refine(
    slices: Tensor, drawn: dict[int, Tensor], absent: Tensor, carried: Corrected, seed: int, reporter: Reporter
) -> tuple[Tensor, Tensor]:
    """Improves the ``carried`` labels of one volume (arguments as in ``corrected``).

    Returns the joined probability (slice, class, row, column) and the confidence (slice,), which also counts how well
    the carried labels and the network agree. Raises ``Cancelled``.
    """
    torch.manual_seed(seed)
    own = OwnNetwork(slices, drawn, absent, seed, reporter)
    propagated = own.known(carried.probability)
    certainty, labels = propagated.max(1)
    own.train(torch.where(certainty < CERTAIN, UNCERTAIN + labels.clamp_min(1), labels))
    found = own.predict()
    agreement = torch.tensor([soft_dice(a[1:], b[1:]) for a, b in zip(propagated, found, strict=True)])
    before = carried.travelled.confidence
    confidence = torch.where(before == 1, 1.0, 0.5 * (before + agreement))
    return own.known(joined(propagated, found)), confidence


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


def joined(carried: Tensor, found: Tensor) -> Tensor:
    """The normalized geometric mean of two probabilities (slice, class, row, column)."""
    return (
        CARRIED_SHARE * carried.clamp_min(FLOOR).log() + (1 - CARRIED_SHARE) * found.clamp_min(FLOOR).log()
    ).softmax(1)
