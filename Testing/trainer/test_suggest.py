"""Which slices to draw on next: the selection of zheng2020 by hand, and the job on small volumes."""

from __future__ import annotations

import csv
import itertools
import math
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from phantoms import one_case, refusal
from torch import nn

import sparseseg_trainer.suggest as suggesting
from sparseseg_trainer import slice_features
from sparseseg_trainer.cohort import load_case, read_cohort, read_rows, write_rows
from sparseseg_trainer.jobs import run_job
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import SegmentSettings, segment
from sparseseg_trainer.selection import Choice, Cover, choose, cosines
from sparseseg_trainer.slice_features import Vgg19, describe
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.suggest import SuggestSettings, suggest
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_image

QUICK = SuggestSettings(budget=4, side=32, steps=20, batch=8)


def directions(*degrees):
    return np.array([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def cover(*degrees, weights=None, candidates=None, chosen=()):
    count = len(degrees)
    weights = np.ones(count) if weights is None else np.array(weights, float)
    candidates = np.ones(count, bool) if candidates is None else np.array(candidates)
    return Cover(directions(*degrees), weights, candidates, chosen)


def test_cosine_similarity_ignores_length_and_slices_of_nothing_are_unlike_all():
    found = cosines(np.array([[3.0, 0.0], [0.0, 0.5], [1.0, 1.0], [0.0, 0.0]]))
    half = math.sqrt(0.5)
    assert np.allclose(found, [[1, 0, half, 0], [0, 1, half, 0], [half, half, 1, 0], [0, 0, 0, 0]])


def test_the_greedy_choice_is_that_of_equation_8_worked_out_by_hand():
    # Directions of 0, 60, 120 and 180 degrees: their cosines are 1, 1/2, -1/2 and -1, and they are alike by 1, 3/4, 1/4
    # and 0. Alone, 60 covers 3/4 + 1 + 3/4 + 1/4 = 11/4, as does 120, and 0 and 180 cover 2 each. After 60, the gain
    # of 0 is 1/4, that of 120 is 1/4 + (3/4 - 1/4) = 3/4 and that of 180 is 3/4 as well.
    volume = cover(0, 60, 120, 180)
    assert volume.gains() == pytest.approx([2, 11 / 4, 11 / 4, 2])
    choices = choose([volume], 2)
    assert [choice.slice for choice in choices] == [1, 2]
    assert [choice.gain for choice in choices] == pytest.approx([11 / 4, 3 / 4])
    assert volume.total() == pytest.approx(11 / 4 + 3 / 4)
    assert volume.gains()[[0, 3]] == pytest.approx([1 / 4, 1 / 4]) and volume.gains()[1] == -np.inf


def test_what_is_drawn_counts_as_chosen_and_worth_weighs_what_is_covered():
    volume = cover(0, 60, 120, 180, weights=[0, 1, 1, 10], chosen=[0])
    assert volume.covered == pytest.approx([1, 3 / 4, 1 / 4, 0])
    assert volume.gains()[1:] == pytest.approx([1 / 4 + 1 / 2 + 10 / 4, 3 / 4 + 10 * 3 / 4, 1 / 2 + 10])
    assert choose([volume], 1) == [Choice(0, 3, pytest.approx(10.5))]


def test_the_greedy_cover_reaches_its_share_of_the_best_and_its_gains_fall():
    features = np.random.default_rng(0).normal(size=(12, 3))
    everything = np.ones(12), np.ones(12, bool)
    volume = Cover(features, *everything)
    choices = choose([volume], 3)
    gains = [choice.gain for choice in choices]
    assert gains == sorted(gains, reverse=True) and volume.total() == pytest.approx(sum(gains))
    best = max(Cover(features, *everything, chosen=some).total() for some in itertools.combinations(range(12), 3))
    assert (1 - 1 / math.e) * best <= volume.total() <= best


def test_a_budget_for_several_volumes_goes_where_most_is_gained():
    drawn, untouched = cover(0, 10, 20, chosen=[1]), cover(0, 90)
    choices = choose([drawn, untouched], 3)
    assert [(choice.stack, choice.slice) for choice in choices[:2]] == [(1, 0), (1, 1)]
    assert len(choose([cover(0, 90, 180), cover(0, 90, 180)], 10, most=2)) == 4
    assert [choice.slice for choice in choose([cover(0, 90, candidates=[False, True])], 5)] == [1]


def test_of_a_volume_of_several_stacks_no_more_slices_are_chosen_than_of_one():
    stacks = [cover(0, 90, 180), cover(0, 90), cover(0, 90, 180)]
    choices = choose(stacks, 10, most=3, volumes=["Ann", "Ann", "Bob"])
    assert sum(choice.stack < 2 for choice in choices) == sum(choice.stack == 2 for choice in choices) == 3
    assert {choice.stack for choice in choices} == {0, 1, 2}  # each has its own cover


def test_features_tell_distant_slices_apart_and_are_the_same_again(dense_cohort):
    image = load_case(read_cohort(dense_cohort).cases[0]).image[:, :32, :]
    slices = np.round(np.pad(image, ((0, 0), (0, 0), (0, 4))) * 255).astype(np.uint8)
    how = 60, 8, 1e-3, 0, torch.device("cpu"), Reporter()
    features, source = describe(slices, *how)
    assert "auto-encoder" in source and np.array_equal(features, describe(slices, *how)[0])
    alike = cosines(features)
    neighbors, far = np.diagonal(alike, 1).mean(), np.mean([alike[0, 7], alike[13, 7]])
    assert neighbors > far + 0.02


class Answer(nn.Module):
    """Stands for an auto-encoder that answers the same to all slices: 2 x 2 pixels, that are all it learns."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.Identity()
        self.pixels = nn.Parameter(torch.rand(1, 1, 2, 2))

    def forward(self, maps):
        return self.pixels.expand(len(maps), -1, -1, -1)


def test_the_auto_encoder_learns_slices_of_half_the_size_by_the_mean_squared_error_of_equation_4(monkeypatch):
    # The mean over four pixels of (v - t)^2 has the gradient (v - t) / 2: one plain step of rate 2 leads to t
    monkeypatch.setattr(torch.optim, "Adam", torch.optim.SGD)
    slices = [[0, 51, 255, 255], [102, 255, 255, 255], [0, 0, 0, 0], [0, 51, 0, 0]]
    images, network = torch.tensor(slices, dtype=torch.uint8).expand(3, 1, 4, 4), Answer()
    slice_features._learn(network, images, None, 1, 5, 2.0, 0, torch.device("cpu"), Reporter())
    halved = [0.4, 1, 0.05, 0]  # (0 + 51 + 102 + 255) / 4 / 255 ...
    assert network.pixels.flatten().tolist() == pytest.approx(halved, abs=1e-6)


def test_the_convolutions_of_vgg_19_are_used_where_they_lie_on_the_disk(tiny_cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    weights = Vgg19().state_dict() | {"classifier.0.weight": torch.zeros(3)}
    assert sum(value.numel() for value in weights.values()) == 20_024_384 + 3  # of its 143.7 million
    torch.save(weights, tmp_path / "hub/checkpoints/vgg19-0.pth")
    assert suggest(tiny_cohort, QUICK)["features"] == "VGG-19"


def test_slices_that_are_drawn_or_known_to_be_empty_are_not_suggested_and_new_volumes_come_first(tiny_cohort, tmp_path):
    rows = read_rows(tiny_cohort)
    rows[1] |= {"label": "", "annotated_slices": ""}
    rows[2] |= {"first_slice": "3", "last_slice": "9"}
    write_rows(tiny_cohort, rows)
    everything = SuggestSettings(budget=100, side=32, steps=20, batch=8)
    summary = suggest(tiny_cohort, everything, out=tmp_path / "next.csv")
    found = [(line["case"], line["slice"]) for line in summary["suggestions"]]
    unknown = {"case0": set(range(1, 13)) - {7}, "case1": set(range(1, 13)), "case2": {3, 4, 5, 6, 8, 9}}
    assert {case: {number for name, number in found if name == case} for case in unknown} == unknown
    assert found[0][0] == "case1" and len(set(found)) == len(found)
    gains = [line["gain"] for line in summary["suggestions"]]
    assert gains == sorted(gains, reverse=True)
    with (tmp_path / "next.csv").open() as file:
        written = [(row["case"], int(row["slice"])) for row in csv.DictReader(file)]
    assert written == found


def test_a_model_makes_the_gain_the_area_that_it_expects_to_have_wrong(tiny_cohort, tmp_path):
    settings = TrainSettings("central_only", "fast", device="cpu", width=4, batch=4, steps=10, baseline_epochs=4)
    train(tiny_cohort, tmp_path / "model", settings)
    rows = read_rows(tiny_cohort)
    rows[1] |= {"label": "", "annotated_slices": ""}
    write_rows(tiny_cohort, rows)
    settings = {"budget": 12, "per_volume": True, "side": 32, "steps": 20, "batch": 8, "device": "cpu"}
    job = {"kind": "suggest", "cohort": "sparse", "model": "model", "out": "next.csv", "settings": settings}
    found = run_job(job, tmp_path, Reporter())["suggestions"]
    # Every slice of case1 but the outermost two is chosen and covers itself: all that is expected wrong there is gained
    gained = sum(line["gain"] for line in found if line["case"] == "case1")
    segment(tiny_cohort, tmp_path / "model", tmp_path / "out", SegmentSettings("cpu", probabilities=True))
    probability = read_image(tmp_path / "out/probabilities/case1_1.nrrd").array[1:13]
    assert gained == pytest.approx(np.minimum(probability, 1 - probability).sum() * 0.9 * 0.9, rel=1e-3)
    drawn = [line["gain"] for line in found if line["case"] != "case1"]
    assert len(drawn) == 2 * 11 and 0 < sum(drawn) < gained


def test_slices_of_all_three_planes_are_suggested_and_those_drawn_across_any_count_as_chosen(tiny_cohort, tmp_path):
    rows = read_rows(tiny_cohort)
    rows[0] |= {"other_slices": "0:14"}
    rows[1] |= {"label": "", "annotated_slices": ""}
    write_rows(tiny_cohort, rows)
    everything = SuggestSettings(budget=1000, planes=True, side=32, steps=20, batch=8)
    found = suggest(tiny_cohort, everything, out=tmp_path / "next.csv")["suggestions"]

    def of(case, axis, what):
        return [line[what] for line in found if (line["case"], line["axis"]) == (case, axis)]

    assert sorted(of("case0", 2, "slice")) == sorted({*range(1, 13)} - {7})
    assert sorted(of("case0", 0, "slice")) == sorted({*range(28)} - {14})
    assert all(sorted(of(case, 1, "slice")) == list(range(32)) for case in ("case0", "case1", "case2"))
    # Chosen one after the other, the slices of an untouched stack cover each of its slices wholly
    assert sum(of("case1", 0, "gain")) == pytest.approx(28, abs=0.01)
    assert sum(of("case0", 0, "gain")) < 28 - 5
    assert sum(of("case1", 2, "gain")) == pytest.approx(12, abs=0.01)
    assert sum(of("case0", 2, "gain")) < 12 - 2
    gains = [line["gain"] for line in found]
    assert gains == sorted(gains, reverse=True)
    with (tmp_path / "next.csv").open() as file:
        written = [(row["case"], int(row["axis"]), int(row["slice"])) for row in csv.DictReader(file)]
    assert written == [(line["case"], line["axis"], line["slice"]) for line in found]


def test_a_budget_for_each_volume_counts_the_slices_of_all_its_planes(tiny_cohort):
    settings = SuggestSettings(budget=5, per_volume=True, planes=True, side=32, steps=20, batch=8)
    found = suggest(tiny_cohort, settings)["suggestions"]
    assert Counter(line["case"] for line in found) == {"case0": 5, "case1": 5, "case2": 5}
    assert len({(line["case"], line["axis"], line["slice"]) for line in found}) == 15


def test_the_area_expected_to_be_wrong_is_summed_up_across_each_axis(files, monkeypatch):
    volume = load_case(one_case(files))  # 14 slices of 32 x 28, voxels of 3 x 0.9 x 0.9 mm
    probability = np.zeros((14, 2, 16, 28), np.float32)  # of a model whose rows are 1.8 mm
    probability[:, 0, :, :20] = 1  # which looks at 20 columns
    probability[5:7, 0, 4:8, 10], probability[5:7, 1, 4:8, 10] = 0.75, 0.25
    probability[0, :, :, :20] = 0.5
    monkeypatch.setattr(suggesting, "predict_volume", lambda *_: probability)
    model = SimpleNamespace(info=SimpleNamespace(flips=False, smoothing=0.0, spacing=(1.8, 0.9)))
    slices, rows, columns = suggesting._expected_errors(volume, model, np.arange(14) < 1, Reporter())
    one = 0.25 * 2 * 4
    assert np.flatnonzero(slices).tolist() == [5, 6] and slices.sum() == pytest.approx(one * 1.8 * 0.9)
    assert np.flatnonzero(columns).tolist() == [10] and columns.sum() == pytest.approx(one * 3 * 1.8)
    assert np.argmax(rows) in range(8, 16) and len(rows) == 32  # each of two rows has what their common one has
    assert rows.sum() == pytest.approx(2 * one * 3 * 0.9) and rows[8:16].min() > 0.7 * rows.max()


@pytest.mark.parametrize("name", ["cohort.csv", "labels/case1.nrrd"])
def test_suggestions_never_replace_a_file_of_the_cohort(tiny_cohort, name):
    before = (tiny_cohort / name).read_bytes()
    assert refusal(suggest, tiny_cohort, QUICK, None, None, tiny_cohort / name).code == "same_file"
    assert (tiny_cohort / name).read_bytes() == before


def test_an_experiment_draws_the_most_representative_slices_of_the_structure(dense_cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(suggesting, "SuggestSettings", partial(SuggestSettings, side=32, steps=20, batch=8))
    assert sparsify(dense_cohort, tmp_path / "out", "suggested:3") == {"cases": 3, "failed": []}
    for before, after in zip(read_cohort(dense_cohort).cases, read_cohort(tmp_path / "out").cases, strict=True):
        assert len(after.annotated_slices) == 3
        assert set(after.annotated_slices) <= set(load_case(before).annotated)


@pytest.mark.parametrize(("name", "value"), [("budget", 0), ("side", 40), ("learning_rate", 0.0), ("seed", 2**64)])
def test_settings_that_make_no_sense_are_refused(tiny_cohort, name, value):
    assert refusal(suggest, tiny_cohort, SuggestSettings(**{name: value})).code == "bad_setting"
