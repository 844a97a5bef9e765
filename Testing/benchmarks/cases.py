"""Which cases a benchmark may learn from, which it reports on, and how they are scored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sparseseg_trainer.case import Case
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.metrics import mask_dice


def cases_of(folder: Path) -> list[Case]:
    """The cases of a cohort; where there is no cohort.csv each NAME.nii.gz that has a NAME_*seg*.nii.gz beside it."""
    if (folder / "cohort.csv").exists():
        return read_cohort(folder).cases
    labels = sorted(folder.glob("*_*seg*.nii.gz"))
    images = [folder / f"{label.name.split('_')[0]}.nii.gz" for label in labels]
    return [Case(image.name.split(".")[0], image, label) for image, label in zip(images, labels, strict=True)]


def held_out_split(cases: list[Case], group: str = "", every: int = 5) -> tuple[list[Case], list[Case]]:
    """The cases to develop and train on, and those held out for reporting.

    Held out is one in ``every`` of the sorted names, or all cases of ``group``.
    """
    cases = sorted(cases, key=lambda case: case.name)
    held_out = [case for case in cases if case.group == group] if group else cases[::every]
    names = {case.name for case in held_out}
    return [case for case in cases if case.name not in names], held_out


def mean_dice(predicted: np.ndarray, truth: np.ndarray, classes: Iterable[int]) -> float:
    """Mean Dice over the ``classes`` of two label maps (S, H, W); 1 for a class that neither has."""
    masks = ((predicted == value, truth == value) for value in classes)
    return float(np.mean([mask_dice(*pair) if np.any(pair) else 1.0 for pair in masks]))
