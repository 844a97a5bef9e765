"""The network that sees whole volumes, beside that of slices: its grid, its training, and what it adds to an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from phantoms import Warnings, refusal, short_of_memory
from safetensors.torch import load_file
from torch import nn

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.cohort_grid import match_brightness
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.model_info import read_info
from sparseseg_trainer.models import load_model, save_model
from sparseseg_trainer.network_shape import Overview
from sparseseg_trainer.overview import add_overview, coarse
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import SegmentSettings, predict_volume, segment
from sparseseg_trainer.segmentation_network import SlicesAndOverview
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.training import overview_training, stage_times
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.coding import UNCERTAIN
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.estimate import estimate
from sparseseg_trainer.training.loop import Run
from sparseseg_trainer.training.overview import overview_of
from sparseseg_trainer.training.overview_training import coarse_case, stretched, window_of, with_overview
from sparseseg_trainer.training.resolving import described, resolve
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.validation import figures

TINY = {"preset": "fast", "device": "cpu", "width": 4, "batch": 4, "steps": 2, "epochs": 2, "semi_epochs": 2, "K1": 1}
TINY |= {"K2": 2, "baseline_epochs": 2, "overview_epochs": 2, "overview_width": 4, "overview_side": 16}
TINY |= {"semi_scales": (1.0, 0.75)}
SEEN = Overview(4, 16, (32, 48), 2.0)


class CancelDuring(Reporter):
    """Asks the training to stop in the second epoch of the overview."""

    def progress(self, stage, fraction, message="", seconds_left=None):
        if stage == "overview" and fraction > 0.5:
            raise Cancelled


class Same(nn.Module):
    """Answers that every voxel is structure."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(20.0))

    def forward(self, images):
        return torch.cat([-self.weight * torch.ones_like(images), self.weight * torch.ones_like(images)], 1)


@pytest.fixture
def model(tiny_cohort, tmp_path):
    """A model of slices with an overview, after two epochs each."""
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY))
    return tmp_path / "model"


@pytest.mark.parametrize(("slices", "spacing", "depth"), [(16, 2.0, 16), (40, 1.0, 20), (5, 6.0, 15), (1, 0.1, 1)])
def test_a_volume_is_brought_to_the_overviews_spacing(slices, spacing, depth):
    volume = coarse(np.full((slices, 32, 48), 0.25, np.float32), spacing, SEEN)
    assert volume.shape == (depth, 16, 16)
    assert torch.allclose(volume, torch.tensor(0.25))


def test_what_is_seen_keeps_its_place():
    image = np.zeros((16, 32, 48), np.float32)
    image[8:, :16, 24:] = 1  # an eighth of the volume
    corner = coarse(image, 2.0, SEEN)
    assert corner[9:, :7, 9:].min() > 0.9
    assert corner[:7].max() < 0.1 and corner[:, 9:].max() < 0.1 and corner[:, :, :7].max() < 0.1


@pytest.mark.parametrize("size", [(32, 48), (20, 30), (50, 48), (64, 80)])
@pytest.mark.parametrize("slices", [3, 16, 60])
def test_an_answer_is_averaged_with_the_overviews_where_that_sees_the_image(size, slices):
    probability = np.stack([np.ones((slices, *size), np.float32), np.zeros((slices, *size), np.float32)], 1)
    network = SlicesAndOverview(nn.Identity(), Same(), SEEN)
    add_overview(probability, network, np.zeros((slices, *size), np.float32), 2.0, False)
    assert np.allclose(probability.sum(1), 1, atol=1e-5)
    seen = probability[:, 1] > 0.25
    assert np.allclose(probability[:, 1][seen], 0.5, atol=1e-4) and not probability[:, 1][~seen].any()
    assert seen.sum() == slices * min(size[0], 32) * min(size[1], 48)


def test_the_models_answer_is_the_mean_of_both_networks(model, tiny_cohort):
    loaded, volume = load_model(model), load_case(read_cohort(tiny_cohort).cases[0])
    settings = SegmentSettings(flips=False, smoothing=0.0)
    both = predict_volume(volume, loaded, settings, Reporter())
    alone = replace(loaded, info=replace(loaded.info, network=replace(loaded.info.network, overview=None)))
    slices = predict_volume(volume, alone, settings, Reporter())
    half = np.zeros_like(slices)
    image = match_brightness(volume.image, loaded.info.brightness)
    add_overview(half, loaded.network, image, volume.spacing[0], flips=False)
    assert np.abs(both - slices).max() > 1e-3
    assert np.allclose(both, slices / 2 + half, atol=1e-5)


def test_a_cancelled_training_of_the_overview_resumes_to_the_same_weights(model, tiny_cohort, tmp_path):
    out = tmp_path / "resumed"
    with pytest.raises(Cancelled):
        train(tiny_cohort, out, TrainSettings(**TINY), CancelDuring())
    assert (out / "checkpoint/overview.safetensors").exists()
    train(tiny_cohort, out, TrainSettings(**TINY), resume=True)
    first, second = (load_file(folder / "weights.safetensors") for folder in (model, out))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert any(name.startswith("overview.") for name in first)


@pytest.mark.parametrize("method", ["semi_only", "full"])
def test_other_methods_that_label_whole_volumes_have_an_overview_too(method, tiny_cohort, dense_cohort, tmp_path):
    cohort = dense_cohort if method == "full" else tiny_cohort
    train(cohort, tmp_path / "model", TrainSettings(**TINY, method=method))
    assert read_info(tmp_path / "model").network.overview.side == 16
    assert segment(cohort, tmp_path / "model", tmp_path / "out")["cases"] == 3


def test_an_overview_learns_what_the_volumes_have_in_common(dense_cohort, tmp_path):
    settings = TINY | {"method": "full", "steps": 20, "overview_epochs": 4}
    train(dense_cohort, tmp_path / "model", TrainSettings(**settings))
    loaded, volume = load_model(tmp_path / "model"), load_case(read_cohort(dense_cohort).cases[0])
    answer = np.zeros((*volume.image.shape[:1], 2, *volume.image.shape[1:]), np.float32)
    add_overview(answer, loaded.network, volume.image, 3.0, flips=False)
    found, truth = answer[:, 1] > 0.25, volume.label > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7


@pytest.fixture
def run(tiny_cohort, tmp_path):
    """A training that has not begun, of slices of 32 x 32 pixels; its labels are made up by the tests."""
    settings = resolve(TrainSettings(**TINY))
    data = prepare(read_cohort(tiny_cohort), tmp_path / "data", settings.pixels, Reporter())
    return Run(data, settings, torch.device("cpu"), tmp_path, Warnings(), [])


def test_uncertain_labels_are_learned_as_their_class(run):
    run.data.classes = 3
    labels = torch.zeros_like(run.data.labels)
    labels[:14, :, :16], labels[:14, :, 16:] = 3, UNCERTAIN + 2
    (image, label), kept = coarse_case(run, run.data.cases[0], overview_of(run), labels)
    assert image.shape == label.shape == (16, 16, 16) and image.dtype == torch.float32
    assert (label[:, :, :8] == 3).all() and (label[:, :, 8:] == 2).all()
    assert kept == [None, 1.0, 1.0]


def test_a_structure_too_thin_for_the_overview_is_left_to_the_slices(run):
    labels = torch.zeros_like(run.data.labels)
    labels[:, 10, 4:28] = 1  # a line of one pixel
    network = nn.Identity()
    assert with_overview(run, network, labels) is network
    assert "too thin" in run.reporter.messages[0]


def test_what_the_user_is_told_of_a_model_is_of_both_networks(run, model):
    network = load_model(model).network

    def drawn_slices_dice(background: float) -> float:
        with torch.no_grad():
            network.overview.head.bias.copy_(torch.tensor([background, -background]))
        return figures(run, network)["drawn_slices_dice"]

    assert drawn_slices_dice(1000.0) == 0  # the overview is sure that there is nothing
    assert 0.05 < drawn_slices_dice(-1000.0) < 0.9  # or that all is structure


def test_image_and_label_are_stretched_alike():
    ramp = torch.arange(16.0)[:, None, None].expand(-1, 16, 16)
    lengths = set()
    for seed in range(20):
        image, label = stretched(ramp, ramp, torch.Generator().manual_seed(seed))
        assert (image - label).abs().max() <= 0.5 + 1e-5
        lengths.add(round(float(image[9, 0, 0] - image[6, 0, 0]), 2))
    assert len(lengths) > 15 and 3 * 0.8 < min(lengths) < 2.8 and 3.2 < max(lengths) < 3 * 1.25


def test_a_short_volume_is_seen_between_zeros():
    image, label = window_of(torch.ones(5, 16, 16), torch.ones(5, 16, 16), 16, torch.Generator())
    assert image.amax((1, 2)).tolist() == label.amax((1, 2)).tolist() == [0] * 5 + [1] * 5 + [0] * 6


def test_windows_of_a_long_volume_show_all_its_parts():
    volume = torch.arange(40.0)[:, None, None].expand(-1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    firsts = {int(window_of(volume, volume, 16, generator)[0][0, 0, 0]) for _ in range(300)}
    assert firsts == set(range(25))


def test_where_the_overview_needs_too_much_memory_its_own_batch_is_halved(tiny_cohort, tmp_path, monkeypatch):
    sizes, warnings = short_of_memory(monkeypatch, overview_training, "augment", 2), Warnings()
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY), warnings)
    assert sizes[0] == 4 and sizes[-1] == 2
    assert "2 volumes at a time" in warnings.messages[-1]


def test_the_presets_have_an_overview_where_the_time_allows_and_the_method_labels_whole_volumes():
    epochs = {
        (preset, method): resolve(TrainSettings(preset=preset, method=method)).overview_epochs
        for preset in ("fast", "balanced", "paper")
        for method in ("collaborative", "central_only", "registration_only")
    }
    assert [key for key, count in epochs.items() if count] == [("balanced", "collaborative")]


@pytest.mark.parametrize(
    "wrong", [{"overview_side": 20}, {"overview_side": 8}, {"overview_width": 2}, {"overview_epochs": -1}]
)
def test_an_impossible_overview_is_refused_by_its_name(wrong):
    error = refusal(resolve, TrainSettings(**wrong))
    assert error.code == "bad_setting" and f"'{next(iter(wrong))}'" in error.message


def test_a_method_without_an_overview_says_so():
    error = refusal(resolve, TrainSettings(method="central_only", overview_epochs=3))
    assert "central_only has no overview" in error.advice


def test_a_model_with_an_impossible_overview_is_refused(model, tmp_path):
    loaded = load_model(model)
    shape = loaded.info.network
    bad = replace(shape.overview, slice_spacing=0.0)
    for wrong in (replace(shape, overview=bad), replace(shape, architecture="vnet", patch=(16, 16, 16))):
        save_model(tmp_path / "bad", loaded.network, replace(loaded.info, network=wrong), "")
        with pytest.raises(InputError) as caught:
            load_model(tmp_path / "bad")
        assert caught.value.code == "not_a_model"


def test_an_estimate_counts_the_overview(tiny_cohort, monkeypatch):
    monkeypatch.setattr(stage_times, "timed", lambda step, device: 1.0)
    seconds = [estimate(tiny_cohort, TrainSettings(**TINY | {"overview_epochs": n}))["seconds"] for n in (0, 3)]
    steps, volumes, augmented = 3 * 2, 4, 1.2
    assert seconds[1] - seconds[0] == pytest.approx(steps * volumes * augmented, abs=0.5)


def test_the_time_left_is_that_of_the_whole_training(tiny_cohort, tmp_path, monkeypatch):
    class Clock(Reporter):
        left: ClassVar = {}

        def progress(self, stage, fraction, message="", seconds_left=None):
            if seconds_left is not None:
                self.left.setdefault(stage, []).append(seconds_left)

    monkeypatch.setattr(stage_times, "timed", lambda step, device: 100.0)
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY), Clock())
    overview = 2 * 2 * 4 * 1.2 * 100  # epochs, steps, volumes, with augmentation
    target = 2 * (2 + 3 / 32) * 100  # epochs; steps, and three slices looked at
    assert max(Clock.left["overview"]) < 100
    assert min(Clock.left["target"]) == pytest.approx(overview, abs=50)
    assert min(Clock.left["semi 2"]) > target + overview
    assert min(Clock.left["semi"]) > max(Clock.left["semi 2"]) + 100


def test_benchmark_cells_differ_where_the_overview_learns_otherwise():
    plain, curved = (
        described(resolve(TrainSettings(method="full", target_augmentation=Augmentation(curve=c)))) for c in (0.0, 0.4)
    )
    assert plain != curved
    assert not any("overview" in name for name in described(resolve(TrainSettings(preset="fast"))))
