"""Every method of training, on tiny volumes with two classes: killed, resumed, then used to segment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
from phantoms import GEOMETRY, ellipsoid_volume, refusal
from safetensors.torch import load_file

from sparseseg_trainer.cohort import Case, write_cohort
from sparseseg_trainer.errors import Cancelled
from sparseseg_trainer.evaluate import evaluate
from sparseseg_trainer.labels import default_label
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import segment
from sparseseg_trainer.settings import from_dict
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.keys import PSEUDO_LABELED, SLICES_TOO, Method, learns_from_whole_volumes
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_image, read_label, write_image, write_label

# Each key, and those whose network can see volumes too.
METHODS = (*get_args(Method), *(f"{key} in 3D" for key in SLICES_TOO))
TINY = {"preset": "fast", "device": "cpu", "width": 4, "batch": 4, "steps": 2, "epochs": 3, "semi_epochs": 3}
TINY |= {"orthogonal_epochs": 0}
TINY |= {"K1": 1, "K2": 2, "baseline_epochs": 3, "volumetric": {"patch": [16, 16, 16]}}
OTHERWISE = {  # what the other methods do not use
    "mean_teacher": {"optimizer": "sgd", "schedule": "poly", "learning_rate": 0.01},
    "registration_only": {"registration": "tuned", "registration_epochs": 1, "registration_batch": 4, "reach": 3},
    "ict": {"absence": False},
    "representative": {"depth": 1, "batch": 2, "volumetric": {"patch": [16, 32, 32], "planes": 2}},
    "dense_voxnet": {"depth": 1, "batch": 2, "volumetric": {"patch": [16, 32, 32]}},
}

# One process imports PyTorch; a child for each training kills itself in the middle of the second epoch or the third.
KILLED = """
import json, os, signal, sys
import torch._dynamo  # every optimizer imports it, which takes seconds
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.settings import from_dict
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train

class Kill(Reporter):
    def progress(self, stage, fraction, message="", seconds_left=None):
        if stage == "target" and fraction > 0.4:
            os.kill(os.getpid(), signal.SIGKILL)

for cohort, out, settings in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        train(cohort, out, from_dict(TrainSettings, settings), Kill())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, out
"""


def settings_of(method):
    key = method.removesuffix(" in 3D")
    dimensions = {"dimensions": 3} if key != method else {}
    return TINY | {"method": key} | dimensions | OTHERWISE.get(method, {})


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Three small volumes with a structure (7) and its bright parts (9): all drawn, two of them, the central slices."""
    folder, cases = tmp_path_factory.mktemp("cohorts"), []
    for number in range(3):
        image, label = ellipsoid_volume(number)
        case = Case(f"case{number}", folder / f"images/{number}.nrrd", folder / f"labels/{number}.nrrd")
        write_image(case.image, image, GEOMETRY)
        write_label(case.label, label * 7 + (label & (image > 550)) * 2, GEOMETRY)
        cases.append(case)
    labels = [default_label(7), default_label(9)]
    write_cohort(folder / "dense", cases, labels)
    write_cohort(folder / "one", cases[:1], labels)
    write_cohort(folder / "some", [*cases[:2], replace(cases[2], label=None)], labels)
    sparsify(folder / "dense", folder / "sparse")
    return folder


def cohort_for(method, cohorts):
    settings = resolve(from_dict(TrainSettings, settings_of(method)))
    if learns_from_whole_volumes(settings.method, settings.dimensions):
        return cohorts / "some"
    return cohorts / ("dense" if method == "full" else "sparse")


@pytest.fixture(scope="module")
def killed(cohorts):
    """A folder with a training of every method that was killed."""
    jobs = [(str(cohort_for(key, cohorts)), str(cohorts / "killed" / key), settings_of(key)) for key in METHODS]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    subprocess.run([sys.executable, "-c", KILLED, json.dumps(jobs)], env=environment, check=True)
    for key in METHODS:
        assert (cohorts / "killed" / key / "checkpoint/target.safetensors").exists()
        assert not (cohorts / "killed" / key / "model.json").exists()
    return cohorts / "killed"


def resumed(killed, cohorts, method):
    """The model of a killed training, resumed to its end by the first who asks for it."""
    train(cohort_for(method, cohorts), killed / method, from_dict(TrainSettings, settings_of(method)), resume=True)
    return killed / method


def assert_same_training(*models):
    """Both folders have the same weights and curves."""
    first, second = (load_file(model / "weights.safetensors") for model in models)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len({(model / "training.csv").read_text() for model in models}) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_of_any_method_resumes_to_the_same_weights_and_segments(cohorts, killed, tmp_path, method):
    model = resumed(killed, cohorts, method)
    train(cohort_for(method, cohorts), tmp_path / "model", from_dict(TrainSettings, settings_of(method)))
    assert_same_training(model, tmp_path / "model")

    segment(cohorts / "one", model, tmp_path / "segmented")
    summary = evaluate(tmp_path / "segmented", cohorts / "one", tmp_path / "evaluated")
    assert summary["cases"] == 1 and not summary["failed"]


class CancelDuring(Reporter):
    """Asks the training to stop in the middle of a stage, if one is named; keeps which there were."""

    def __init__(self, stage: str = ""):
        self.stage, self.seen = stage, set()

    def progress(self, stage, fraction, message="", seconds_left=None):
        self.seen.add(stage)
        if stage == self.stage and fraction > 0.4:
            raise Cancelled


@pytest.mark.parametrize(
    ("method", "stage", "before"),
    [
        ("partial", "first step", set()),
        ("representative", "planes", set()),
        ("representative", "voxels", {"planes"}),
        ("representative", "pseudo labels", {"planes", "voxels"}),
    ],
)
def test_a_training_cancelled_before_its_last_stage_resumes_to_the_same_weights(
    cohorts, killed, tmp_path, method, stage, before
):
    how = cohort_for(method, cohorts), tmp_path, from_dict(TrainSettings, settings_of(method))
    with pytest.raises(Cancelled):
        train(*how, CancelDuring(stage))
    begun = {path.stem for path in (tmp_path / "checkpoint").glob("*.safetensors")}
    assert begun == before | {stage} - {"pseudo labels"}  # which are made anew
    again = CancelDuring()
    train(*how, again, resume=True)
    assert stage in again.seen and not before & again.seen
    assert_same_training(tmp_path, resumed(killed, cohorts, method))


@pytest.mark.parametrize("method", PSEUDO_LABELED)
def test_only_two_sources_of_pseudo_labels_can_disagree(cohorts, killed, method):
    model = resumed(killed, cohorts, method)
    geometry = read_image(cohorts / "images/0.nrrd").geometry
    found = set(read_label(model / "pseudo_labels/case0.nrrd", geometry).ravel().tolist())
    assert {1, 2} & found
    assert any(value > 100 for value in found) == (method == "collaborative")
    assert ("disagree" in (model / "README.md").read_text()) == (method == "collaborative")


def test_the_ways_to_teach_a_student_differ(cohorts, killed):
    folders = [resumed(killed, cohorts, key) for key in ("mean_teacher", "ua_mt", "ict", "ac_mt")]
    models = [load_file(folder / "weights.safetensors") for folder in folders]
    first = [model[next(name for name in model if name.endswith("conv.weight"))] for model in models]
    assert all(not torch.equal(one, other) for n, one in enumerate(first) for other in first[:n])


def test_a_semi_supervised_method_refuses_a_cohort_in_which_every_slice_is_known(cohorts, tmp_path):
    image, label = ellipsoid_volume(0)
    label[:] = 7
    write_image(tmp_path / "image.nrrd", image, GEOMETRY)
    write_label(tmp_path / "label.nrrd", label, GEOMETRY)
    write_cohort(tmp_path / "c", [Case("a", tmp_path / "image.nrrd", tmp_path / "label.nrrd")], [default_label(7)])
    settings = from_dict(TrainSettings, settings_of("ua_mt"))
    assert refusal(train, tmp_path / "c", tmp_path / "model", settings).code == "nothing_unlabelled"


def test_an_unknown_method_is_refused_in_one_sentence_that_names_all():
    error = refusal(from_dict, TrainSettings, {"method": "mean_techer"})
    assert error.code == "bad_setting" and all(key in error.advice for key in get_args(Method))
