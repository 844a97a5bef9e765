"""Baseline FS-LCS of osman2024: the drawn slices alone, with absence (if set) the absent ones too.

L = L_sup = L_Dice + gamma L_CE (eq. 2)
"""

from __future__ import annotations

from torch import nn

from ..loop import Run
from ..supervised import train_supervised


def train(run: Run) -> nn.Module:
    """Train on the slices whose labels the user gave."""
    share = run.settings.absence_share
    return train_supervised(run, [(run.data.drawn, 1 - share), (run.data.absent, share)])
