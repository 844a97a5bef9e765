"""Applying a model: the image's own grid, label values, volumes, failures, and the clean-up."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch
from phantoms import GEOMETRY, StoppedAt, Warnings, refusal

from sparseseg_trainer.cleanup import keep_largest, keep_touching
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.labels import Label
from sparseseg_trainer.model_info import ModelInfo
from sparseseg_trainer.models import save_model
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.prediction import probabilities, smooth_along_slices
from sparseseg_trainer.segment import SegmentSettings, segment
from sparseseg_trainer.segmentation_network import SegmentationNetwork
from sparseseg_trainer.volumes import read_geometry, read_image, read_label, write_image

SHAPE = NetworkShape(context=0, classes=1, width=4, depth=1, stride=1)
VALUE = 7


@pytest.fixture
def model(tmp_path):
    """A network that calls every pixel brighter than about one half the structure, of value 7."""
    network = SegmentationNetwork(SHAPE)

    class Threshold(torch.nn.Module):
        def forward(self, images):
            return torch.cat([torch.zeros_like(images), 50 * (images - 0.5)], 1)

    info = ModelInfo(SHAPE, (Label(VALUE, "structure", (1.0, 0.0, 0.0)),), (0.7, 0.7), brightness=0.2)
    save_model(tmp_path / "model", network, info, "# A model\n")
    return tmp_path / "model", Threshold()


@pytest.fixture
def brightness_model(model, monkeypatch):
    """The folder of ``model``, loaded with the thresholding network in place of the trained one."""
    import sparseseg_trainer.segment as module

    def load(path, original=module.load_model):
        loaded = original(path)
        stand_in = model[1]
        stand_in.parameter = torch.nn.Parameter(torch.zeros(1))
        loaded.network = stand_in
        return loaded

    monkeypatch.setattr(module, "load_model", load)
    return model[0]


def test_a_cohort_is_segmented_on_the_images_own_grid(dense_cohort, brightness_model, tmp_path):
    summary = segment(dense_cohort, brightness_model, tmp_path / "out")
    assert (summary["cases"], summary["failed"]) == (3, [])
    for case in read_cohort(tmp_path / "out").cases:
        assert read_geometry(case.label) == read_geometry(case.image) == read_image(case.image).geometry
        labels = read_label(case.label, GEOMETRY)
        assert set(labels.ravel()) <= {0, VALUE}


def test_volumes_are_in_milliliters(dense_cohort, brightness_model, tmp_path):
    segment(dense_cohort, brightness_model, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/volumes.csv").read_text().splitlines()))
    labels = read_label(tmp_path / "out/labels/case0.nrrd", GEOMETRY)
    expected = (labels == VALUE).sum() * np.prod(GEOMETRY.spacing) / 1000
    assert float(rows[0]["ml"]) == pytest.approx(expected, abs=0.001)


def test_the_user_is_told_where_nothing_was_found(brightness_model, tmp_path):
    write_image(tmp_path / "dark.nrrd", np.zeros(GEOMETRY.size[::-1], np.int16), GEOMETRY)
    log = Warnings()
    segment([tmp_path / "dark.nrrd"], brightness_model, tmp_path / "out", reporter=log)
    assert "0.000" in (tmp_path / "out/volumes.csv").read_text()
    assert [message.split(" was found.")[0] for message in log.messages] == ["Case dark: nothing of structure"]


def test_files_are_segmented_and_a_broken_one_is_listed(dense_cohort, brightness_model, tmp_path):
    broken = tmp_path / "broken.nrrd"
    broken.write_bytes(b"no image")
    files = [dense_cohort / "images/case0.nrrd", broken, dense_cohort / "images/case0.nrrd", tmp_path / "missing.nrrd"]
    summary = segment(files, brightness_model, tmp_path / "out")
    assert summary["cases"] == 1
    assert [failure["case"] for failure in summary["failed"]] == ["case0", "broken", "missing"]
    assert (tmp_path / "out/labels/case0.nrrd").exists()


def test_a_file_whose_name_cannot_name_a_case_is_listed_and_the_others_are_segmented(
    dense_cohort, brightness_model, tmp_path
):
    bad = tmp_path / "scan..1.nii.gz"
    write_image(bad, read_image(dense_cohort / "images/case1.nrrd").array, GEOMETRY)
    files = [bad, tmp_path / ".nii.gz", dense_cohort / "images/case0.nrrd"]
    summary = segment(files, brightness_model, tmp_path / "out")
    assert summary["cases"] == 1 and (tmp_path / "out/labels/case0.nrrd").exists()
    failures = [(failure["case"], failure["code"]) for failure in summary["failed"]]
    assert failures == [("scan..1", "bad_case_name"), (".nii.gz", "bad_case_name")]
    assert all(failure["case"] in failure["message"] for failure in summary["failed"])


def test_a_volume_is_never_replaced_by_its_own_label(dense_cohort, model, tmp_path):
    shutil.move(dense_cohort / "images", tmp_path / "labels")
    image = tmp_path / "labels/case0.nrrd"
    before = image.read_bytes()
    error = refusal(segment, image, model[0], tmp_path)
    assert error.code == "same_file" and str(image) in error.message
    assert image.read_bytes() == before


def test_of_a_folder_of_volumes_the_user_is_told_to_name_the_files_or_write_a_cohort(
    dense_cohort, brightness_model, tmp_path
):
    [failure] = segment(dense_cohort / "images", brightness_model, tmp_path / "out")["failed"]
    assert failure["code"] == "not_an_image"
    assert "name its files" in failure["advice"] and "cohort.csv" in failure["advice"]


def test_a_cancelled_job_leaves_a_cohort_of_the_finished_cases(dense_cohort, brightness_model, tmp_path):
    with pytest.raises(Cancelled):
        segment(dense_cohort, brightness_model, tmp_path / "out", reporter=StoppedAt("case1"))
    assert [case.name for case in read_cohort(tmp_path / "out").cases] == ["case0"]
    rows = list(csv.DictReader((tmp_path / "out/volumes.csv").read_text().splitlines()))
    assert [row["case"] for row in rows] == ["case0"]


def test_probabilities_are_written_if_asked(dense_cohort, brightness_model, tmp_path):
    settings = SegmentSettings(probabilities=True, largest_component=False, smoothing=0.0)
    segment([dense_cohort / "images/case0.nrrd"], brightness_model, tmp_path / "out", settings)
    soft = read_image(tmp_path / f"out/probabilities/case0_{VALUE}.nrrd")
    labels = read_label(tmp_path / "out/labels/case0.nrrd", GEOMETRY)
    assert soft.geometry == GEOMETRY
    assert ((soft.array > 0.5) == (labels == VALUE)).all()


def test_holes_are_filled_if_asked(dense_cohort, brightness_model, tmp_path):
    whole = read_image(dense_cohort / "images/case0.nrrd").array
    whole[5:9, 10:22, 8:20] = 900
    whole[7, 14:19, 12:17] = 0
    write_image(tmp_path / "hole.nrrd", whole, GEOMETRY)
    found = []
    for filled in (False, True):
        segment([tmp_path / "hole.nrrd"], brightness_model, tmp_path / "out", SegmentSettings(fill_holes=filled))
        found.append(read_label(tmp_path / "out/labels/hole.nrrd", GEOMETRY)[7, 16, 14])
    assert found == [0, VALUE]


def test_a_trained_network_runs_from_its_folder(dense_cohort, model, tmp_path):
    assert segment(dense_cohort, model[0], tmp_path / "out")["cases"] == 3


def test_a_missing_model_stops_the_job(dense_cohort, tmp_path):
    with pytest.raises(InputError, match="no model"):
        segment(dense_cohort, tmp_path / "nothing", tmp_path / "out")


def test_the_largest_part_of_each_class_is_kept():
    labels = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [2, 0, 2, 2]])
    assert keep_largest(labels).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 2]]


def test_parts_that_touch_the_drawing_are_kept():
    labels = np.array([1, 1, 1, 0, 1, 0, 2])
    drawn = np.array([0, 0, 0, 0, 1, 0, 0])
    assert keep_touching(labels, drawn).tolist() == [0, 0, 0, 0, 1, 0, 2]


def test_mirrored_views_make_the_prediction_symmetric():
    network = SegmentationNetwork(SHAPE)
    image = torch.rand(1, 1, 32, 32)
    once = probabilities(network, image, flips=True)
    assert torch.allclose(probabilities(network, image.flip(3), flips=True).flip(3), once, atol=1e-6)


def test_smoothing_spreads_along_slices_only():
    spike = np.zeros((9, 2), np.float32)
    spike[4, 0] = 1
    result = smooth_along_slices(spike, 1.0)
    assert result[:, 0].sum() == pytest.approx(1, abs=1e-5)
    assert 0 < result[3, 0] < result[4, 0] < 1
    assert not result[:, 1].any()
