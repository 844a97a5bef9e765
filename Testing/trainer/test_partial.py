"""The method of specktor2023: its loss, blocks, schedule and clean-up, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sparseseg_trainer.cleanup import fill_holes
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training.loop import Run, Stage, plateau, train_stage
from sparseseg_trainer.training.presets import resolve
from sparseseg_trainer.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("scores", "restart", "share"),
    [
        ([], 0, 1),
        ([0.1, 0.2, 0.3], 0, 1),
        ([0.5, 0.4], 0, 1),
        ([0.5, 0.4, 0.4], 0, 0.5),  # two epochs without a better one
        ([0.5, 0.4, 0.4, 0.4], 0, 0.5),
        ([0.5, 0.4, 0.5, 0.3, 0.2], 0, 0.25),  # as good is not better
        ([0.5, 0.4, 0.4, 0.6, 0.1], 0, 0.5),  # what was halved stays so
        ([0.5, 0.4, 0.4, 0.3], 4, 1),  # the fifth epoch starts anew
        ([0.5, 0.4, 0.4, 0.3, 0.2, 0.1], 4, 1),  # worse than before the restart, which is forgotten
        ([0.5, 0.4, 0.4, 0.3, 0.2, 0.1, 0.1], 4, 0.5),
    ],
)
def test_the_learning_rate_halves_on_a_plateau_and_comes_back_with_a_restart(scores, restart, share):
    assert plateau(scores, patience=2, restart=restart) == share


def scripted_stage(scores, seen, **changes):
    """A stage of one weight that falls by its rate in every epoch and is worth ``scores``, in order."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 10.0)
    remaining = iter(scores)

    def dice(measured):
        seen.append(measured.weight.item())
        return next(remaining)

    return Stage("s", network, 5, 1.0, lambda *_: [None], lambda net, *_: net.weight.sum(), 1, dice, **changes)


def test_the_network_of_the_best_epoch_comes_out_also_after_an_interruption(tmp_path):
    settings = resolve(TrainSettings(preset="paper", optimizer="sgd", schedule="constant", momentum=0.0))
    run = Run(None, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    seen, half = [], scripted_stage([0.3, 0.8, 0.5], [], keep_best=True)
    half.epochs = 3
    assert train_stage(run, half).weight.item() == 8
    best = train_stage(run, scripted_stage([0.7, 0.8], seen, keep_best=True))
    assert seen == [6, 5]  # the network as trained, not the best one, goes on and is measured
    assert best.weight.item() == 8 and not best.training


def test_the_rate_of_an_epoch_follows_the_scores_before_it(tmp_path):
    settings = resolve(TrainSettings(preset="paper", optimizer="sgd", momentum=0.0))
    run = Run(None, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    seen = []
    stage = scripted_stage([0.5, 0.4, 0.4, 0.6, 0.1], seen, keep_best=True, rate=lambda scores: plateau(scores, 2))
    assert train_stage(run, stage).weight.item() == 6.5
    assert seen == [9, 8, 7, 6.5, 6]


def test_holes_are_filled_where_a_class_encloses_background_and_not_where_another_class_is():
    ring = np.array([[1, 1, 1, 1, 0], [1, 0, 2, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]], np.uint8)
    assert fill_holes(ring).tolist()[1] == [1, 1, 2, 1, 0]
    assert fill_holes(ring).sum() == ring.sum() + 1
    shell = np.ones((3, 3, 3), np.uint8)
    shell[1, 1, 1] = 0
    assert fill_holes(shell).all()
    shell[0, 1, 1] = 0  # open at one side: no hole
    assert np.array_equal(fill_holes(shell), shell)
