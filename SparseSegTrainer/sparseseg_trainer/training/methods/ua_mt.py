"""Uncertainty-aware mean teacher (Yu et al., MICCAI 2019).

As the mean teacher, but only where the teacher is certain: several passes with other noise give the mean softmax p, its
entropy u = -sum p ln p (eq. 2-3) has to stay below H = (0.75 + 0.25 ramp-up) ln(C + 1) (eq. 4).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from ..consistency import entropy, masked_mean, rising, squared_error
from ..loop import Run
from ..settings import Consistency
from ..teaching import Lesson, Task, taught, train_student


def certain(probability: Tensor, done: float, how: Consistency) -> Tensor:
    """Where a mean softmax (B, C + 1, ...) is certain enough: (B, 1, ...) bool."""
    threshold = rising(how.certain_from, how.certain_to, done) * math.log(probability.shape[1])
    return entropy(probability) < threshold


def task(how: Consistency, lesson: Lesson) -> Task:
    """The squared difference from one of the teacher's passes, where the mean of further ones is certain (eq. 4)."""
    target = taught(lesson, how)
    mean = sum(taught(lesson, how) for _ in range(how.passes)) / how.passes
    mask = certain(mean, lesson.done, how)
    return lesson.unlabelled, lambda logits: masked_mean(squared_error(logits, target), mask)


def train(run: Run) -> nn.Module:
    """Train student and teacher on drawn and unlabelled slices, or patches; returns the teacher."""
    return train_student(run, task)
