"""Whole trainings of a few seconds: repeatable, resumable, cancelable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from phantoms import GEOMETRY, ellipsoid_volume
from safetensors.torch import load_file

from sparseseg_trainer.cohort import Case, write_cohort
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.labels import Label
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.presets import PRESETS, resolve
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_image, read_label, write_image, write_label

TINY = {"preset": "fast", "device": "cpu", "width": 4, "batch": 4, "steps": 2, "epochs": 3, "semi_epochs": 3}
TINY |= {"K1": 1, "K2": 2, "baseline_epochs": 2}


class CancelAfter(Reporter):
    """Asks the training to stop at the n-th report of a stage."""

    def __init__(self, stage: str, reports: int):
        self.stage, self.reports = stage, reports

    def progress(self, stage, fraction, message="", seconds_left=None):
        self.reports -= stage == self.stage
        if self.reports < 0:
            raise Cancelled


def weights(model):
    return load_file(model / "weights.safetensors")


def assert_same_weights(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def dense_cohort(tmp_path_factory):
    """Three small volumes as in the shared fixture, made once for all trainings."""
    folder, cases = tmp_path_factory.mktemp("cohort") / "dense", []
    for number in range(3):
        case = Case(f"case{number}", folder / f"images/case{number}.nrrd", folder / f"labels/case{number}.nrrd")
        for write, path, array in zip(
            (write_image, write_label), (case.image, case.label), ellipsoid_volume(number), strict=True
        ):
            write(path, array, GEOMETRY)
        cases.append(case)
    write_cohort(folder, cases, [Label(1, "structure", (0.9, 0.6, 0.0))])
    return folder


@pytest.fixture(scope="module")
def tiny_cohort(dense_cohort):
    """The same with the central slice drawn only."""
    sparsify(dense_cohort, dense_cohort.parent / "sparse")
    return dense_cohort.parent / "sparse"


@pytest.fixture(scope="module")
def uninterrupted(tiny_cohort):
    """The model of an uninterrupted training with the settings TINY."""
    train(tiny_cohort, tiny_cohort.parent / "model", TrainSettings(**TINY))
    return tiny_cohort.parent / "model"


def test_two_runs_with_one_seed_give_the_same_weights(tiny_cohort, tmp_path, uninterrupted):
    train(tiny_cohort, tmp_path / "again", TrainSettings(**TINY))
    assert_same_weights(uninterrupted, tmp_path / "again")


def test_another_seed_gives_other_weights(tiny_cohort, tmp_path, uninterrupted):
    train(tiny_cohort, tmp_path / "other", TrainSettings(**TINY, seed=1))
    first, second = weights(uninterrupted), weights(tmp_path / "other")
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("stage", "reports"), [("semi", 3), ("target", 0), ("target", 5)])
def test_a_cancelled_training_resumes_to_the_same_weights(tiny_cohort, tmp_path, uninterrupted, stage, reports):
    out = tmp_path / "resumed"
    with pytest.raises(Cancelled):
        train(tiny_cohort, out, TrainSettings(**TINY), CancelAfter(stage, reports))
    assert list((out / "checkpoint").glob("*.safetensors"))
    assert not (out / "model.json").exists()
    train(tiny_cohort, out, TrainSettings(**TINY), resume=True)
    assert_same_weights(uninterrupted, out)
    assert (out / "training.csv").read_text() == (uninterrupted / "training.csv").read_text()


SCRIPT = """
import sys
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
train(sys.argv[1], sys.argv[2], TrainSettings(**eval(sys.argv[3])))
"""


def test_a_killed_training_resumes_to_the_same_weights(tiny_cohort, tmp_path, uninterrupted):
    out = tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, tiny_cohort, out, repr(TINY)], env=environment)
    while not (out / "checkpoint/semi.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    train(tiny_cohort, out, TrainSettings(**TINY), resume=True)
    assert_same_weights(uninterrupted, out)


def test_a_checkpoint_of_other_settings_is_refused(tiny_cohort, tmp_path):
    with pytest.raises(Cancelled):
        train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY), CancelAfter("semi", 2))
    with pytest.raises(InputError, match="other settings"):
        train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY, seed=1), resume=True)


def test_the_model_folder_is_complete_and_the_checkpoint_gone(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"model.json", "weights.safetensors", "training.csv", "README.md", "pseudo_labels"} <= names
    assert "checkpoint" not in names


def test_fused_labels_lie_on_the_images_grid(dense_cohort, tiny_cohort, uninterrupted):
    image = read_image(dense_cohort / "images/case0.nrrd")
    fused = read_label(uninterrupted / "pseudo_labels/case0.nrrd", image.geometry)
    assert set(fused.ravel()) <= {0, 1, 101}
    drawn = read_label(tiny_cohort / "labels/case0.nrrd", image.geometry)
    assert (fused[7] == drawn[7]).mean() > 0.99


@pytest.mark.parametrize("method", ["central_only", "full"])
def test_the_baselines_run_on_the_same_loop(dense_cohort, tmp_path, method):
    summary = train(dense_cohort, tmp_path / "model", TrainSettings(**TINY, method=method))
    assert summary["cases"] == 3
    assert (tmp_path / "model/model.json").exists()


def test_without_absence_no_slice_is_known_to_be_empty(tiny_cohort, tmp_path):
    summary = train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY, absence=False))
    assert not summary["failed"]


def test_the_registration_network_can_be_trained_on_the_cohort(tiny_cohort, tmp_path):
    settings = TrainSettings(**TINY, registration="tuned", registration_epochs=1, registration_batch=4)
    train(tiny_cohort, tmp_path / "model", settings)
    assert "registration,1," in (tmp_path / "model/training.csv").read_text()


def test_an_out_of_memory_error_halves_the_batch_and_goes_on(tiny_cohort, tmp_path, monkeypatch):
    from sparseseg_trainer.training import supervised

    sizes = []

    def small_memory(images, labels, *arguments):
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError
        return original(images, labels, *arguments)

    original = supervised.augment
    monkeypatch.setattr(supervised, "augment", small_memory)
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY, method="central_only"))
    assert sizes[0] == 4 and sizes[-1] == 2


def test_the_preset_paper_has_the_papers_constants():
    paper = resolve(TrainSettings(preset="paper"))
    expected = {"K1": 50, "K2": 100, "alpha_f": 3, "beta": 0.5, "gamma_certain": 1, "gamma_uncertain": 0.1}
    expected |= {"learning_rate": 1e-4, "halve_every": 30, "batch": 4, "epochs": 100, "absence": False}
    expected |= {"registration_batch": 32, "registration_learning_rate": 0.01, "fusion": "consistency"}
    assert {name: getattr(paper, name) for name in expected} == expected
    assert paper.augmentation == Augmentation(rotation=20, flip=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_a_value_for_every_setting(preset):
    resolved = resolve(TrainSettings(preset=preset))
    assert len(resolved.known()) == len(vars(resolved))


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"K1": 9, "K2": 3}, {"width": 100000}])
def test_impossible_settings_are_refused(tiny_cohort, tmp_path, wrong):
    with pytest.raises(InputError):
        train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY | wrong))
