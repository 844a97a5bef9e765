"""Mean teacher (Tarvainen and Valpola, NeurIPS 2017), as compared in osman2024 ("MT").

The student's softmax on unlabelled slices is drawn to the teacher's on the same slices with noise, by the mean squared
error over all pixels; the teacher's weights are the student's moving average.
"""

from __future__ import annotations

from torch import nn

from ..consistency import squared_error
from ..loop import Run
from ..teaching import Lesson, Task, taught, train_student


def train(run: Run) -> nn.Module:
    """Train student and teacher on drawn and unlabelled slices; returns the teacher."""

    def task(lesson: Lesson) -> Task:
        target = taught(lesson, run.settings.consistency)
        return lesson.unlabelled, lambda logits: squared_error(logits, target).mean()

    return train_student(run, task)
