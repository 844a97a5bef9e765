"""Whole trainings of a few seconds: repeatable, resumable, cancelable."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from phantoms import refusal, write_phantoms
from safetensors.torch import load_file

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.labels import Label
from sparseseg_trainer.models import load_model
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import METHODS, _common_axis, train
from sparseseg_trainer.volumes import read_image, read_label

TINY = {"preset": "fast", "device": "cpu", "width": 4, "batch": 4, "steps": 2, "epochs": 3, "semi_epochs": 3}
TINY |= {"orthogonal_epochs": 0}
TINY |= {"K1": 1, "K2": 2, "baseline_epochs": 2, "semi_scales": (1.0, 0.75)}


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
    folder = tmp_path_factory.mktemp("cohort") / "dense"
    write_phantoms(folder, 3, Label(1, "structure", (0.9, 0.6, 0.0)))
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


def test_only_the_target_network_sees_its_own_augmentation(tiny_cohort, tmp_path, uninterrupted):
    train(tiny_cohort, tmp_path / "other", TrainSettings(**TINY, target_augmentation=Augmentation(inversion=1.0)))
    curves = [(model / "training.csv").read_text().splitlines() for model in (uninterrupted, tmp_path / "other")]
    stages = {
        stage: [[row for row in rows if row.startswith(stage)] for rows in curves] for stage in ("semi", "target")
    }
    assert stages["semi"][0] == stages["semi"][1] and stages["target"][0] != stages["target"][1]
    assert stages["semi"][0] and stages["target"][0]


@pytest.mark.parametrize(("stage", "reports"), [("semi", 3), ("semi 2", 3), ("target", 0), ("target", 5)])
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
    checkpoint = tmp_path / "model/checkpoint"
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir() if path.is_file()}
    with pytest.raises(InputError, match="unfinished training already") as caught:
        train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY))
    assert "--resume" in caught.value.advice
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(("given", "kept"), [(None, None), (2, None), (1, 1)])
def test_a_model_names_its_slice_axis_where_it_is_not_that_of_largest_spacing(dense_cohort, given, kept):
    source = read_cohort(dense_cohort)
    for case in source.cases:
        case.axis = given
    used = 2 if given is None else given
    prepared = SimpleNamespace(cases=[SimpleNamespace(name=case.name, axis=used) for case in source.cases])
    assert _common_axis(prepared, source) == kept


@pytest.fixture
def finished(tmp_path, uninterrupted):
    """A copy of the finished training of ``uninterrupted``."""
    return Path(shutil.copytree(uninterrupted, tmp_path / "finished"))


def test_a_model_is_not_replaced_by_another_training(tiny_cohort, finished):
    before = weights(finished)
    with pytest.raises(InputError, match="holds a model already"):
        train(tiny_cohort, finished, TrainSettings(**TINY, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in weights(finished).items())
    assert (finished / "summary.json").exists()


def test_a_model_without_its_training_is_not_replaced_by_resuming(tiny_cohort, finished):
    (finished / "summary.json").unlink()  # as in a folder that a model of others was unpacked into
    before = (finished / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds a model already"):
        train(tiny_cohort, finished, TrainSettings(**TINY, seed=1), resume=True)
    assert (finished / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["README.md", "pseudo_labels/case0.nrrd", "checkpoint/epoch 3.pt"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_training_replaces_no_files_of_others(tiny_cohort, tmp_path, name, resume):
    own = tmp_path / "project" / name
    own.parent.mkdir(parents=True)
    own.write_text("work of hours")
    with pytest.raises(InputError, match="would be lost"):
        train(tiny_cohort, tmp_path / "project", TrainSettings(**TINY), resume=resume)
    assert own.read_text() == "work of hours"


def test_a_finished_training_is_not_done_again(tiny_cohort, finished):
    before = (finished / "weights.safetensors").stat().st_mtime_ns
    summary = train(tiny_cohort, finished, TrainSettings(**TINY), resume=True)
    assert summary["cases"] == 3 and "training" not in summary
    assert (finished / "weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("other", [{"seed": 1}, {"method": "central_only"}])
def test_a_finished_training_with_other_settings_is_not_taken_for_this_one(tiny_cohort, finished, other):
    with pytest.raises(InputError, match="other settings"):
        train(tiny_cohort, finished, TrainSettings(**TINY | other), resume=True)


def test_a_finished_training_of_another_cohort_is_not_taken_for_this_one(dense_cohort, finished):
    with pytest.raises(InputError, match="another cohort"):
        train(dense_cohort, finished, TrainSettings(**TINY), resume=True)


def test_a_training_killed_while_it_cleaned_up_is_finished(tiny_cohort, finished):
    (finished / ".finished").mkdir()
    (finished / ".finished/semi.safetensors").write_bytes(b"half removed")
    train(tiny_cohort, finished, TrainSettings(**TINY), resume=True)
    assert not (finished / ".finished").exists()


def test_the_model_folder_is_complete_and_the_checkpoint_gone(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"model.json", "weights.safetensors", "training.csv", "README.md", "pseudo_labels"} <= names
    assert not {"checkpoint", ".finished"} & names


def test_the_model_card_says_what_the_numbers_in_pseudo_labels_are(uninterrupted):
    card = (uninterrupted / "README.md").read_text()
    assert "class numbers, not label\nvalues: 1 structure;\n100 more where" in card


def test_a_model_can_be_packed_into_one_file(tiny_cohort, tmp_path):
    settings = TrainSettings(**TINY, method="central_only")
    summary = train(tiny_cohort, tmp_path / "heart.sparseseg", settings)
    assert summary["model"] == str(tmp_path / "heart.sparseseg")
    packed, folder = (load_model(tmp_path / name).info for name in ("heart.sparseseg", "heart"))
    assert (packed.labels, packed.figures) == (folder.labels, folder.figures)
    with pytest.raises(InputError, match="already"):
        train(tiny_cohort, tmp_path / "heart.sparseseg", settings)


def test_dense_training_refuses_a_sparse_cohort(tiny_cohort, tmp_path):
    error = refusal(train, tiny_cohort, tmp_path / "model", TrainSettings(**TINY, method="full"))
    assert error.code == "sparse_cohort"
    assert not (tmp_path / "model").exists()


def test_fused_labels_lie_on_the_images_grid(dense_cohort, tiny_cohort, uninterrupted):
    image = read_image(dense_cohort / "images/case0.nrrd")
    fused = read_label(uninterrupted / "pseudo_labels/case0.nrrd", image.geometry)
    assert set(fused.ravel()) <= {0, 1, 101}
    drawn = read_label(tiny_cohort / "labels/case0.nrrd", image.geometry)
    assert (fused[7] == drawn[7]).mean() > 0.99


@pytest.mark.parametrize(("absence", "empty"), [(True, [0, 13, 14, 27, 28, 41]), (False, [])])
def test_without_absence_no_slice_is_known_to_be_empty(tiny_cohort, tmp_path, monkeypatch, absence, empty):
    original, known = METHODS["collaborative"], []

    def method(run):
        known.append(run.data.absent.tolist())
        return original(run)

    monkeypatch.setitem(METHODS, "collaborative", method)
    summary = train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY, absence=absence))
    assert known == [empty] and not summary["failed"]


def test_the_registration_network_can_be_trained_on_the_cohort(tiny_cohort, tmp_path):
    settings = TrainSettings(**TINY, registration="tuned", registration_epochs=1, registration_batch=4)
    train(tiny_cohort, tmp_path / "model", settings)
    assert "registration,1," in (tmp_path / "model/training.csv").read_text()
