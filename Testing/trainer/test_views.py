"""The networks beside that of slices, whichever they are: their training, their model, what they add to an answer."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from phantoms import TINY_VIEWS, Warnings, refusal
from safetensors.torch import load_file

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.cohort_grid import match_brightness
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.model_info import read_info
from sparseseg_trainer.models import load_model, save_model
from sparseseg_trainer.orthogonal import cut_depth, orthogonal_probabilities
from sparseseg_trainer.overview import add_overview
from sparseseg_trainer.prediction import CHUNK
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import SegmentSettings, predict_volume, segment
from sparseseg_trainer.segmentation_network import PLANES
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.training import stage_times, views_training
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.estimate import estimate
from sparseseg_trainer.training.resolving import described, resolve
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.validation import figures, shown


class CancelDuring(Reporter):
    """Asks the training to stop in the second epoch of a stage."""

    def __init__(self, stage: str):
        super().__init__()
        self.stage = stage

    def progress(self, stage, fraction, message="", seconds_left=None):
        if stage == self.stage and fraction > 0.5:
            raise Cancelled


@pytest.fixture
def model(tiny_cohort, tmp_path):
    """A model of slices with all networks beside it, after two epochs each."""
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS))
    return tmp_path / "model"


def test_the_models_answer_is_the_mean_of_all_networks(model, tiny_cohort):
    loaded, volume = load_model(model), load_case(read_cohort(tiny_cohort).cases[0])
    settings = SegmentSettings(flips=False, smoothing=0.0)
    together = predict_volume(volume, loaded, settings, Reporter())
    slices = predict_volume(volume, replace(loaded, network=loaded.network.slices), settings, Reporter())
    image = match_brightness(volume.image, loaded.info.brightness)
    depth = cut_depth(len(image), volume.spacing[0], loaded.info.network.orthogonal.spacing)
    cut = [
        orthogonal_probabilities(getattr(loaded.network, name), image, axis, depth, False)
        for name, axis in PLANES.items()
    ]
    overview = np.zeros_like(slices)
    add_overview(overview, loaded.network, image, volume.spacing[0], False, 1.0)
    answers = [slices, *cut, overview]
    assert all(np.abs(together - one).max() > 1e-3 for one in answers)
    assert np.allclose(together, sum(answers) / 4, atol=1e-5)


@pytest.mark.parametrize(
    ("stage", "done"),
    [
        ("first labels", "semi 2"),
        ("columns", "first"),
        ("pseudo labels", "columns"),
        ("target", "fused"),
        ("overview", "target"),
    ],
)
def test_a_training_cancelled_in_any_stage_resumes_to_the_same_weights(stage, done, model, tiny_cohort, tmp_path):
    out = tmp_path / "resumed"
    with pytest.raises(Cancelled):
        train(tiny_cohort, out, TrainSettings(**TINY_VIEWS), CancelDuring(stage))
    assert (out / f"checkpoint/{done}.safetensors").exists()
    train(tiny_cohort, out, TrainSettings(**TINY_VIEWS), resume=True)
    first, second = (load_file(folder / "weights.safetensors") for folder in (model, out))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    # names that models on users' disks have
    assert {name.partition(".")[0] for name in first} == {"slices", "rows", "columns", "overview"}


@pytest.mark.parametrize("method", ["semi_only", "full"])
def test_other_methods_that_label_whole_volumes_have_them_too(method, tiny_cohort, dense_cohort, tmp_path):
    cohort = dense_cohort if method == "full" else tiny_cohort
    train(cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS, method=method))
    shape = read_info(tmp_path / "model").network
    assert shape.overview.side == 16 and shape.orthogonal.spacing > 0
    assert segment(cohort, tmp_path / "model", tmp_path / "out")["cases"] == 3


@pytest.mark.parametrize("left_out", ["overview_epochs", "orthogonal_epochs"])
def test_each_kind_works_without_the_other(left_out, tiny_cohort, tmp_path):
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS | {left_out: 0}))
    shape = read_info(tmp_path / "model").network
    assert (shape.overview is None) == (left_out == "overview_epochs")
    assert (shape.orthogonal is None) == (left_out == "orthogonal_epochs")
    assert segment(tiny_cohort, tmp_path / "model", tmp_path / "out")["cases"] == 3


@pytest.mark.parametrize("method", ["collaborative", "full"])
def test_where_volumes_have_too_few_slices_there_are_none_of_cuts(
    method, tiny_cohort, dense_cohort, tmp_path, monkeypatch
):
    monkeypatch.setattr(views_training, "FEWEST", 100)
    cohort, told = dense_cohort if method == "full" else tiny_cohort, Warnings()
    train(cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS | {"overview_epochs": 0}, method=method), told)
    assert read_info(tmp_path / "model").network.orthogonal is None
    assert "too few slices" in told.messages[-1]
    assert segment(cohort, tmp_path / "model", tmp_path / "out")["cases"] == 3


def test_what_the_user_is_told_of_a_model_is_of_all_networks(views_run, model):
    network = load_model(model).network

    def drawn_slices_dice(background: float) -> float:
        with torch.no_grad():
            network.overview.head.bias.copy_(torch.tensor([background, -background]))
            for name in PLANES:
                last = list(getattr(network, name).parameters())[-1].view(2, -1)
                last.copy_(torch.tensor([[background], [-background]]).expand_as(last))
        return figures(views_run, network, shown(views_run, network))["drawn_slices_dice"]

    assert drawn_slices_dice(1000.0) == 0  # three of four are sure that there is nothing
    assert 0.05 < drawn_slices_dice(-1000.0) < 0.9  # or that all is structure


def test_the_presets_have_them_where_the_time_allows_and_the_method_labels_whole_volumes():
    epochs = {
        (preset, method): resolve(TrainSettings(preset=preset, method=method))
        for preset in ("fast", "balanced", "paper")
        for method in ("collaborative", "central_only", "registration_only")
    }
    having = {
        name: [preset for (preset, _), settings in epochs.items() if getattr(settings, name)]
        for name in ("orthogonal_epochs", "overview_epochs")
    }
    assert having == {"orthogonal_epochs": ["fast", "balanced"], "overview_epochs": ["balanced"]}
    assert not any(epochs[preset, "central_only"].orthogonal_epochs for preset in ("fast", "balanced"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"overview_side": 20},
        {"overview_side": 8},
        {"overview_width": 2},
        {"overview_epochs": -1},
        {"orthogonal_epochs": -1},
    ],
)
def test_impossible_ones_are_refused_by_their_name(wrong):
    error = refusal(resolve, TrainSettings(**wrong))
    assert error.code == "bad_setting" and f"'{next(iter(wrong))}'" in error.message


@pytest.mark.parametrize("setting", ["overview_epochs", "orthogonal_epochs"])
def test_a_method_without_them_says_so(setting):
    error = refusal(resolve, TrainSettings(method="central_only", **{setting: 3}))
    assert f"'{setting}'" in error.message and "central_only has no networks beside that of slices" in error.advice


def test_a_model_with_impossible_ones_is_refused(model, tmp_path):
    loaded = load_model(model)
    shape = loaded.info.network
    overview, orthogonal = replace(shape.overview, slice_spacing=0.0), replace(shape.orthogonal, spacing=-1.0)
    volumes = replace(shape, architecture="vnet", patch=(16, 16, 16))
    for wrong in (replace(shape, overview=overview), replace(shape, orthogonal=orthogonal), volumes):
        save_model(tmp_path / "bad", loaded.network, replace(loaded.info, network=wrong), "")
        with pytest.raises(InputError) as caught:
            load_model(tmp_path / "bad")
        assert caught.value.code == "not_a_model"


def test_models_without_cuts_can_be_read_by_earlier_versions_and_others_say_that_they_cannot(tiny_cohort, tmp_path):
    for epochs, schema in ((0, 1), (1, 2)):
        train(tiny_cohort, tmp_path / str(schema), TrainSettings(**TINY_VIEWS | {"orthogonal_epochs": epochs}))
        content = json.loads((tmp_path / str(schema) / "model.json").read_text())
        assert content["schema"] == schema and ("orthogonal" in content["network"]) == (epochs > 0)
        assert "region" not in content


def test_an_estimate_counts_them(tiny_cohort, monkeypatch):
    monkeypatch.setattr(stage_times, "timed", lambda step, device: 1.0)

    def seconds(**changes: int) -> float:
        return estimate(
            tiny_cohort, TrainSettings(**TINY_VIEWS | {"orthogonal_epochs": 0, "overview_epochs": 0} | changes)
        )["seconds"]

    steps, volumes, augmented = 3 * 2, 4, 1.2
    assert seconds(overview_epochs=3) - seconds() == pytest.approx(steps * volumes * augmented, abs=0.5)
    labels = (2 + len(PLANES)) * 42 / CHUNK  # all slices anew by the two first networks, and by those of cuts
    assert seconds(orthogonal_epochs=3) - seconds() == pytest.approx(len(PLANES) * steps + labels, abs=0.5)
    every_cut_once = math.ceil(3 * 32 / 4)  # volumes, lines of a slice, cuts in a batch
    cuts = seconds(orthogonal_epochs=1, steps=0) - seconds(steps=0)
    assert cuts == pytest.approx(len(PLANES) * every_cut_once + labels, abs=0.5)


def test_the_time_left_is_that_of_the_whole_training(tiny_cohort, tmp_path, monkeypatch):
    class Clock(Reporter):
        left: ClassVar = {}

        def progress(self, stage, fraction, message="", seconds_left=None):
            if seconds_left is not None:
                self.left.setdefault(stage, []).append(seconds_left)

    monkeypatch.setattr(stage_times, "timed", lambda step, device: 100.0)
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS), Clock())
    overview = 2 * 2 * 4 * 1.2 * 100  # epochs, steps, volumes, with augmentation
    plane = 2 * 2 * 100  # epochs, steps
    target = 2 * (2 + 3 / 32) * 100  # epochs; steps, and three slices looked at
    assert max(Clock.left["overview"]) < 100
    assert min(Clock.left["target"]) == pytest.approx(overview, abs=50)
    assert min(Clock.left["pseudo labels"]) == pytest.approx(overview + target, abs=50)
    labels = min(Clock.left["columns"]) - overview - target
    assert labels > 4 * 42 / 32 * 100  # four networks, slices at once
    assert min(Clock.left["rows"]) == pytest.approx(labels + overview + target + plane, abs=50)
    assert min(Clock.left["semi 2"]) > target + overview + 2 * plane
    assert min(Clock.left["semi"]) > max(Clock.left["semi 2"]) + 100


def test_benchmark_cells_differ_where_they_learn_otherwise():
    plain, curved = (
        described(resolve(TrainSettings(method="full", target_augmentation=Augmentation(curve=c)))) for c in (0.0, 0.4)
    )
    assert plain != curved
    paper = described(resolve(TrainSettings(preset="paper")))
    assert not any("overview" in name or "orthogonal" in name for name in paper)
