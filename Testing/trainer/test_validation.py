"""What is known of a training before it starts, and how well it has done when it ends."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from phantoms import Warnings, refusal
from test_training import TINY

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.model_info import read_info
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training import validation
from sparseseg_trainer.training.estimate import estimate
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.validation import keep_aside
from sparseseg_trainer.volumes import read_geometry, write_label


class Metrics(Reporter):
    """Keeps the points of the curves."""

    def __init__(self):
        self.points = {}

    def metric(self, series, step, value):
        self.points.setdefault(series, {})[step] = value


def test_where_the_working_resolution_loses_what_is_drawn_the_user_is_told_and_nothing_was_found(
    tiny_cohort, tmp_path, monkeypatch
):
    for case in read_cohort(tiny_cohort).cases:
        geometry = read_geometry(case.image)
        label = np.zeros(geometry.shape, np.uint8)
        label[7, 16, 14] = 1
        write_label(case.label, label, geometry)
    monkeypatch.setattr(validation, "predicted", lambda run, network, numbers: torch.zeros(len(numbers), 32, 32).byte())
    settings = TrainSettings(**TINY, method="central_only", pixels=100, validation=1, region="whole")
    reporter = Warnings()
    summary = train(tiny_cohort, tmp_path / "model", settings, reporter)
    assert sum("nothing of what is drawn is left at 2.7 x 2.7 mm" in message for message in reporter.messages) == 3
    assert summary["validation_dice"] == summary["drawn_slices_dice"] == 0
    assert "NaN" not in (tmp_path / "model/model.json").read_text()


def test_cases_kept_aside_are_measured_and_not_trained_on(tiny_cohort, tmp_path):
    reporter, out = Metrics(), tmp_path / "model"
    settings = TrainSettings(**TINY, method="central_only", validation=1)
    summary = train(tiny_cohort, out, settings, reporter)
    info = read_info(out)
    [aside] = info.figures["validation"]
    assert sorted([aside, *info.training["cases"]]) == ["case0", "case1", "case2"]
    assert 0 <= info.figures["validation_dice"] == summary["validation_dice"] <= 1
    assert "(cases kept aside: 1)" in (out / "README.md").read_text()
    with (out / "training.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    # the last point of the live curve and the figure are the same network on the same slice
    assert float(last["dice"]) == reporter.points["target/dice"][2]
    assert float(last["dice"]) == pytest.approx(info.figures["validation_dice"], abs=1e-4)
    assert (out / "check.png").read_bytes().startswith(b"\x89PNG")


def test_which_cases_are_kept_aside_depends_on_the_seed_alone(tiny_cohort):
    def aside(seed):
        return [case.name for case in keep_aside(read_cohort(tiny_cohort), 1, seed)[1].cases]

    assert aside(0) == aside(0)
    assert len({tuple(aside(seed)) for seed in range(10)}) > 1


def test_a_cohort_that_would_be_left_empty_is_refused(tiny_cohort, tmp_path):
    error = refusal(train, tiny_cohort, tmp_path / "model", TrainSettings(**TINY, validation=3))
    assert error.code == "too_few_cases"


def test_the_estimate_grows_with_the_epochs_and_tells_the_memory_that_the_training_tells(tiny_cohort, tmp_path):
    settings = TrainSettings(**TINY, method="central_only")
    short = estimate(tiny_cohort, settings)
    long = estimate(tiny_cohort, TrainSettings(**TINY | {"baseline_epochs": 2000}, method="central_only"))
    assert 0 < short["seconds"] < 10 < long["seconds"]
    assert short["cases"] == 3
    assert short["memory_bytes"] == train(tiny_cohort, tmp_path / "model", settings)["memory_bytes"]


def test_what_cannot_be_trained_on_is_refused_by_the_estimate_already(tmp_path):
    assert refusal(estimate, tmp_path, TrainSettings()).code == "no_cohort"
