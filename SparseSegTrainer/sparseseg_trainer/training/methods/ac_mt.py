"""Ambiguity-consensus mean teacher (Xu et al., Medical Image Analysis 2023), selection by the student's entropy.

As the mean teacher, but only where the student is ambiguous, the opposite of ``ua_mt``: its entropy, as a share of the
largest possible one, has to reach 0.75, rising to 0.95 with the ramp-up.

L_cons = sum m (p_student - p_teacher)^2 / ((C + 1) sum m), m = [H(p_student) / ln(C + 1) >= 0.75 + 0.2 r(t)]
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from ..consistency import entropy, masked_mean, rising, squared_error
from ..loop import Run
from ..settings import Consistency
from ..teaching import Lesson, Task, taught, train_student


def ambiguous(logits: Tensor, done: float, how: Consistency) -> Tensor:
    """Where the student's logits (B, C + 1, ...) are ambiguous enough: (B, 1, ...) bool, a constant."""
    share = entropy(logits.detach().softmax(1)) / math.log(logits.shape[1])
    return share >= rising(how.ambiguous_from, how.ambiguous_to, done)


def task(how: Consistency, lesson: Lesson) -> Task:
    """The squared difference from the teacher's answer, where the student's is ambiguous."""
    target = taught(lesson, how)

    def loss(logits: Tensor) -> Tensor:
        return masked_mean(squared_error(logits, target), ambiguous(logits, lesson.done, how))

    return lesson.unlabelled, loss


def train(run: Run) -> nn.Module:
    """Train student and teacher on drawn and unlabelled slices; returns the teacher."""
    return train_student(run, task)
