"""Baseline FS of osman2024: dense labels, the upper bound."""

from __future__ import annotations

import torch
from torch import nn

from ...cohort import Cohort
from ...errors import InputError
from ..loop import Run
from ..supervised import train_supervised
from ..views_training import wants_cuts, with_cuts, with_overview


def check_dense(cohort: Cohort, method: str = "full") -> None:
    """Raises InputError ("sparse_cohort") if a case says that only some slices are drawn."""
    for case in cohort.cases:
        if case.label is not None and case.annotated_slices is not None:
            raise InputError(
                "sparse_cohort",
                f"Case {case.name} lists annotated slices, but the method {method} takes every other slice as "
                "background.",
                "Choose the method collaborative or central_only, or leave annotated_slices empty in cohort.csv if all "
                "slices are drawn.",
            )


def train(run: Run) -> nn.Module:
    """Train on every slice: the labels are dense, so a slice without a label is background."""
    network = train_supervised(run, [(torch.arange(len(run.data.labels)), 1.0)])
    if wants_cuts(run):
        network = with_cuts(run, network, network, run.data.labels)
    return with_overview(run, network, run.data.labels)
