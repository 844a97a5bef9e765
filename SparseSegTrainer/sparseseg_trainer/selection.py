"""Which slices stand for all others: the greedy cover of zheng2020 (eq. 5-8), over one stack or several at once.

A stack is a volume's slices along one axis. A slice is covered by a chosen one of its own stack as well as the two are
alike: (1 + cosine similarity) / 2, from 0 to 1, an increasing function of eq. 5. Nothing is covered while nothing is
chosen; so the cover never shrinks, and the greedy choice reaches 1 - 1/e of the best there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Choice:
    """A slice to draw on next: numbers of its stack and within it, and the gain of eq. 8."""

    stack: int
    slice: int
    gain: float


class Cover:
    """How well the chosen slices of one stack cover all of its slices.

    ``features`` (slices, numbers) describe the slices, ``weights`` (slices,) say what covering each is worth,
    ``candidates`` (slices,) bool which may be chosen, and ``chosen`` which have been already.
    """

    def __init__(self, features: np.ndarray, weights: np.ndarray, candidates: np.ndarray, chosen=()):
        self.alike = (1 + cosines(features)) / 2
        self.weights, self.candidates = weights, candidates.copy()
        self.covered = np.zeros(len(features))
        for index in chosen:
            self.choose(index)

    def choose(self, index: int) -> None:
        """Add a slice to the chosen ones (eq. 6)."""
        self.covered = np.maximum(self.covered, self.alike[index])
        self.candidates[index] = False

    def total(self) -> float:
        """The coverage score of eq. 7, weighted."""
        return float(self.weights @ self.covered)

    def gains(self) -> np.ndarray:
        """What each slice would add to the total (eq. 8); -inf for those that may not be chosen."""
        gains = np.maximum(self.alike - self.covered, 0) @ self.weights
        return np.where(self.candidates, gains, -np.inf)


def cosines(features: np.ndarray) -> np.ndarray:
    """Cosine similarity (eq. 5) of all pairs of rows, (rows, rows); a row of zeros is unlike any other."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units = features / np.where(lengths > 0, lengths, 1)
    return np.clip(units @ units.T, -1, 1)


def choose(
    covers: list[Cover], budget: int, most: int | None = None, volumes: Sequence[Hashable] | None = None
) -> list[Choice]:
    """At most ``budget`` slices, each time the one of greatest gain in any stack (eq. 8), ``most`` of one volume.

    ``volumes`` says to which one each of the stacks belongs; if not given, each is one of its own.
    """
    volumes = range(len(covers)) if volumes is None else volumes
    gains, counts, choices = [cover.gains() for cover in covers], Counter(), []
    best = np.array([gain.max(initial=-np.inf) for gain in gains])
    while len(choices) < budget and best.max(initial=-np.inf) > -np.inf:
        stack = int(best.argmax())
        index = int(gains[stack].argmax())
        choices.append(Choice(stack, index, float(best[stack])))
        covers[stack].choose(index)
        counts[volumes[stack]] += 1
        gains[stack] = covers[stack].gains()
        best[stack] = gains[stack].max()
        if counts[volumes[stack]] == most:
            best[[volume == volumes[stack] for volume in volumes]] = -np.inf
    return choices
