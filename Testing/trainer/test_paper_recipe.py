"""The training strategies of osman2024, as the preset ``paper`` has them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training import registering
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.loop import Run, Stage, Trainer, seeded
from sparseseg_trainer.training.methods import collaborative
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings


@pytest.fixture
def run(tiny_cohort, tmp_path):
    """Three volumes of 14 slices, one drawn."""
    settings = resolve(TrainSettings(preset="paper", width=4, registration_batch=7, device="cpu"))
    data = prepare(read_cohort(tiny_cohort), tmp_path / "data", 0, Reporter())
    data.forget_absence()
    return Run(data, settings, torch.device("cpu"), tmp_path, Reporter(), [])


@pytest.fixture
def stages(monkeypatch):
    """Those that would have been trained."""
    found = []

    def train_stage(run, stage):
        found.append(stage)
        return stage.network

    monkeypatch.setattr(collaborative, "train_stage", train_stage)
    monkeypatch.setattr(registering, "train_stage", train_stage)
    return found


def test_the_first_network_sees_the_drawn_slices_then_all_of_the_cohort(run, stages):
    collaborative.train_semi(run)
    [stage] = stages
    batches = [stage.epoch_batches(epoch, stage.network, seeded(0, epoch)) for epoch in (0, 50, 51, 149)]
    # 3 drawn slices in batches of 4; from epoch K1 + 1 on 42 slices, half of each batch not drawn
    assert [len(epoch) for epoch in batches] == [1, 1, 11, 11]
    assert [weight for *_, weight in (epoch[0] for epoch in batches)] == [0, 0, pytest.approx(0.06), 3]
    assert [len(numbers) for numbers, *_ in batches[2]] == [2] * 11
    unlabelled = torch.cat([numbers for _, numbers, *_ in batches[2]])
    assert len(unlabelled.unique()) == 22 and torch.isin(unlabelled, run.data.unknown).all()
    assert stage.steps * stage.epochs == 51 * 1 + 99 * 11


def test_an_epoch_of_registration_shows_each_pair_of_neighbours_once(run, stages):
    registering.tuned_network(run, nn.Identity())
    [stage] = stages
    [*batches] = stage.epoch_batches(0, stage.network, seeded(0))
    assert [len(batch) for batch in batches] == [7] * 6  # 3 x 13 pairs
    assert len(torch.cat(batches).unique()) == 39


@pytest.mark.parametrize(("halved", "rates"), [(True, [1, 1, 0.5, 0.25]), (False, [1, 1, 1, 1])])
def test_only_the_target_networks_rate_is_halved_every_30_epochs(run, halved, rates):
    trainer = Trainer(run, Stage("s", nn.Linear(1, 1), 100, 0.8, None, None, 1, halved=halved))
    for epoch, rate in zip((0, 29, 30, 89), rates, strict=True):
        trainer.epoch = epoch
        assert trainer.learning_rate() == pytest.approx(0.8 * rate)


def test_the_first_networks_and_registration_keep_their_rate(run, stages):
    collaborative.train_semi(run)
    registering.tuned_network(run, nn.Identity())
    collaborative.train_target(run, None, run.data.labels)
    assert [(stage.name, stage.halved) for stage in stages] == [
        ("semi", False),
        ("registration", False),
        ("target", True),
    ]
