"""Interpolation consistency training (Verma et al., Neural Networks 2022).

The student's answer to a mixture of two unlabelled slices is drawn to the same mixture of the teacher's answers to each
(eq. 1-2): Mix(a, b) = share a + (1 - share) b with a share from Beta(alpha, alpha), by the mean squared error.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..consistency import squared_error
from ..loop import Run
from ..settings import Consistency
from ..teaching import Lesson, Task, answer, train_student


def mix(values: Tensor, share: Tensor) -> Tensor:
    """Each of ``values`` (B, ...) mixed with the one before it in the batch; ``share`` (B, 1, ...) of itself."""
    return share * values + (1 - share) * values.roll(1, 0)


def shares(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """``count`` numbers from Beta(alpha, alpha), (count, 1, 1, 1)."""
    seed = int(torch.randint(2**62, (), generator=generator))  # PyTorch's own Beta takes no generator
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, (count, 1, 1, 1))).float()


def task(how: Consistency, lesson: Lesson) -> Task:
    """The squared difference of the answer to mixed slices from the teacher's answers, mixed alike (eq. 1-2)."""
    images = lesson.unlabelled
    share = shares(len(images), how.mixing, lesson.generator).to(images.device)
    target = mix(answer(lesson.teacher, images), share)
    return mix(images, share), lambda logits: squared_error(logits, target).mean()


def train(run: Run) -> nn.Module:
    """Train student and teacher on drawn and unlabelled slices; returns the teacher."""
    return train_student(run, task)
