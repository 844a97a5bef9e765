"""Mean teacher (Tarvainen and Valpola, NeurIPS 2017), as compared in osman2024 ("MT").

The student's softmax on unlabelled slices is drawn to the teacher's on the same slices with noise, by the mean squared
error over all pixels; the teacher's weights are the student's moving average.

L = 0.5 L_sup + 0.1 r(t) L_cons, L_cons = mean (p_student(x) - p_teacher(x + noise))^2, r(t) = exp(-5 (1 - t)^2)
"""

from __future__ import annotations

from torch import nn

from ..consistency import squared_error
from ..loop import Run
from ..settings import Consistency
from ..teaching import Lesson, Task, taught, train_student


def task(how: Consistency, lesson: Lesson) -> Task:
    """The squared difference from the teacher's answer, everywhere."""
    target = taught(lesson, how)
    return lesson.unlabelled, lambda logits: squared_error(logits, target).mean()


def train(run: Run) -> nn.Module:
    """Train student and teacher on drawn and unlabelled slices; returns the teacher."""
    return train_student(run, task)
