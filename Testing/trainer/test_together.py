"""The cases of a cohort are refined together: what they learn from one another, and what is kept when it ends early."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sparseseg_trainer.propagate as propagate_job
from sparseseg_trainer import together
from sparseseg_trainer.carried_volume import CarriedVolume, training_labels
from sparseseg_trainer.cohort import load_case, read_cohort, write_cohort
from sparseseg_trainer.errors import Cancelled
from sparseseg_trainer.metrics import measure
from sparseseg_trainer.propagate import PropagateSettings, propagate
from sparseseg_trainer.refinement import Lesson
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.coding import UNCERTAIN


@pytest.fixture
def short_lessons(short_lessons, monkeypatch):
    """Lessons of a few steps; three volumes are a cohort."""
    monkeypatch.setattr(propagate_job, "FEWEST", 3)


def labels_of(folder: Path) -> dict[str, np.ndarray]:
    return {case.name: load_case(case).label for case in read_cohort(folder).cases}


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean of both labels."""
    return float(np.mean([measure(found == value, truth == value, (1.0,) * 3).dice for value in (1, 2)]))


def carried(rows: int, columns: int, slices: int = 4) -> CarriedVolume:
    probability = torch.rand(slices, 3, rows, columns).softmax(1)
    drawn = {1: (probability[1] == probability[1].max(0).values).float()}
    absent = torch.tensor([True] + [False] * (slices - 1))
    return CarriedVolume(torch.rand(slices, rows, columns), drawn, absent, probability, torch.rand(slices))


def test_what_one_drawing_does_not_show_is_learned_from_the_others(data_dir, tmp_path, monkeypatch):
    """The central slice shows one of the two parts of a hippocampus in most volumes, in some the other."""
    monkeypatch.setattr(together, "lesson", lambda volumes: Lesson(100, 0.5, 0.25))
    cohort = read_cohort(data_dir / "hippocampus")
    write_cohort(tmp_path / "dense", cohort.cases[1:60:10], cohort.labels)
    sparsify(tmp_path / "dense", tmp_path / "sparse")
    truth, scores = labels_of(tmp_path / "dense"), {}
    for quality in ("instant", "refined"):
        propagate(tmp_path / "sparse", tmp_path / quality, PropagateSettings(quality=quality))
        found = labels_of(tmp_path / quality)
        scores[quality] = np.mean([dice(found[name], truth[name]) for name in truth])
    assert scores["refined"] > scores["instant"] + 0.02
    for case in read_cohort(tmp_path / "sparse").cases:
        drawn = load_case(case)
        [index] = drawn.annotated
        assert np.array_equal(found[case.name][index], drawn.label[index])


def test_two_runs_of_a_cohort_with_one_seed_on_the_cpu_are_equal(tiny_cohort, tmp_path, short_lessons):
    settings = PropagateSettings(seed=3, device="cpu")
    for name in ("one", "two"):
        propagate(tiny_cohort, tmp_path / name, settings)
    one, two = labels_of(tmp_path / "one"), labels_of(tmp_path / "two")
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_every_instant_result_comes_before_the_cohort_learns(tiny_cohort, tmp_path, short_lessons):
    heard = []

    class Listening(Reporter):
        def progress(self, stage, fraction, message="", seconds_left=None):
            heard.append(stage)

        def result(self, **fields):
            heard.append(fields["case"])

    propagate(tiny_cohort, tmp_path / "out", reporter=Listening())
    assert [entry for entry in dict.fromkeys(heard) if entry != "register"] == [
        *("propagate", "case0", "case1", "case2", "together", "refine")
    ]


def test_a_case_that_cannot_be_read_does_not_keep_the_others_from_learning(tiny_cohort, tmp_path, short_lessons):
    with (tiny_cohort / "cohort.csv").open("a") as file:
        file.write("Ann,missing.nrrd,missing.nrrd,,,,,,,\n")
    summary = propagate(tiny_cohort, tmp_path / "out")
    assert summary["cases"] == 3 and [failure["case"] for failure in summary["failed"]] == ["Ann"]


def test_what_is_left_of_a_cohort_whose_other_cases_fail_is_refined_one_by_one(
    dense_cohort, tiny_cohort, tmp_path, short_lessons, monkeypatch
):
    monkeypatch.setattr(propagate_job, "learn_together", None)
    for case in ("case1", "case2"):
        (dense_cohort / f"images/{case}.nrrd").write_bytes(b"no image")
    summary = propagate(tiny_cohort, tmp_path / "out")
    assert summary["cases"] == 1 and [failure["case"] for failure in summary["failed"]] == ["case1", "case2"]


def test_a_case_that_fails_after_the_cohort_has_learned_is_no_result(tiny_cohort, tmp_path, short_lessons, monkeypatch):
    memory = iter([True, False, True])

    def refined(network, volume):
        if not next(memory):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 bytes.")
        return together.refined_together(network, volume)

    monkeypatch.setattr(propagate_job, "refined_together", refined)
    summary = propagate(tiny_cohort, tmp_path / "out")
    assert [(failure["case"], failure["code"]) for failure in summary["failed"]] == [("case1", "out_of_memory")]
    assert [case.name for case in read_cohort(tmp_path / "out").cases] == ["case0", "case2"]


def test_a_job_cancelled_while_the_cohort_learns_leaves_the_instant_results(tiny_cohort, tmp_path, short_lessons):
    class Stop(Reporter):
        def progress(self, stage, fraction, message="", seconds_left=None):
            if stage == "together":
                raise Cancelled

    with pytest.raises(Cancelled):
        propagate(tiny_cohort, tmp_path / "out", reporter=Stop())
    propagate(tiny_cohort, tmp_path / "instant", PropagateSettings(quality="instant"))
    kept, instant = labels_of(tmp_path / "out"), labels_of(tmp_path / "instant")
    assert list(kept) == ["case0", "case1", "case2"]
    assert all(np.array_equal(kept[name], instant[name]) for name in kept)
    assert json.loads((tmp_path / "out/report.json").read_text())["cases"] == 3


def test_a_cohort_can_be_propagated_one_by_one(tiny_cohort, tmp_path, short_lessons, monkeypatch):
    monkeypatch.setattr(propagate_job, "learn_together", None)
    summary = propagate(tiny_cohort, tmp_path / "out", PropagateSettings(together=False))
    assert summary["cases"] == 3


def test_what_was_carried_comes_back_from_its_file(tmp_path):
    volume = carried(16, 32)
    volume.save(tmp_path / "volume.safetensors")
    back = CarriedVolume.load(tmp_path / "volume.safetensors", torch.device("cpu"))
    assert torch.allclose(back.slices, volume.slices, atol=1e-3)
    assert torch.allclose(back.probability, volume.probability, atol=1e-3)
    assert torch.equal(back.absent, volume.absent) and torch.equal(back.confidence, volume.confidence)
    assert back.drawn.keys() == {1} and torch.allclose(back.drawn[1], volume.drawn[1], atol=1e-3)


def test_volumes_of_several_sizes_are_learned_from_and_what_is_added_to_them_is_not(short_lessons):
    volumes = [carried(32, 48), carried(48, 32, slices=6)]
    slices = together._all_slices([lambda volume=volume: volume for volume in volumes], Reporter())
    assert slices.images.shape == slices.labels.shape == (10, 48, 48)
    assert torch.equal(slices.labels[:4, :32], training_labels(volumes[0].probability))
    assert (slices.labels[:4, 32:] > UNCERTAIN).all() and (slices.labels[4:, :, 32:] > UNCERTAIN).all()
    assert torch.equal(slices.images[0, 31].expand(16, 48), slices.images[0, 32:])


def test_carried_labels_have_no_say_about_a_class_that_was_not_drawn(short_lessons):
    volume = carried(16, 16)
    volume.drawn[1][0] += volume.drawn[1][2]
    volume.drawn[1][2] = 0  # the second class is background
    volume.probability[2:] = torch.tensor([0.9, 0.1, 0.0]).view(1, 3, 1, 1)
    found = torch.tensor([0.1, 0.0, 0.9]).view(1, 3, 1, 1).expand(4, 3, 16, 16)
    assert volume.missing == [2]
    assert (volume.joined(found, 0.5)[2:, 2] > 0.8).all()
    slices = together._all_slices([lambda: volume, lambda: carried(16, 16)], Reporter())
    assert not slices.trust[:4].any() and slices.trust[4:].all()
    assert together._all_slices([lambda: volume], Reporter()).trust.all()  # a class that nobody has drawn counts not


def test_a_cohort_can_be_cancelled_while_it_is_read():
    read = []

    class Stop(Reporter):
        def check_cancelled(self):
            if read:
                raise Cancelled

    def reader():
        read.append(1)
        return carried(16, 16)

    with pytest.raises(Cancelled):
        together.learn_together([reader] * 4, torch.device("cpu"), 0, Stop())
    assert len(read) < 4


def test_a_large_cohort_is_learned_from_in_part(monkeypatch, short_lessons):
    monkeypatch.setattr(together, "MOST", 3)
    read = []

    def reader(number: int):
        return lambda: read.append(number) or carried(16, 16)

    network = together.learn_together([reader(number) for number in range(9)], torch.device("cpu"), 0, Reporter())
    assert set(read) == {0, 4, 8}
    probability, confidence = together.refined_together(network, volume := carried(16, 16))
    assert torch.allclose(probability.sum(1), torch.ones(4, 16, 16), atol=1e-5)
    assert torch.equal(probability[1], volume.drawn[1]) and (probability[0, 0] == 1).all()
    assert confidence.shape == (4,)
