"""Files that are no volumes, and disks that are full, are refused in words."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from bad_images import BAD_IMAGES, bad_image, raw
from phantoms import CUBE, GEOMETRY, SHAPE, ellipsoid_volume, refusal

from sparseseg_trainer.tensor_files import save_tensors
from sparseseg_trainer.volumes import (
    Geometry,
    read_geometry,
    read_image,
    read_label,
    write_image,
    write_label,
)

LABEL = ellipsoid_volume(0)[1]


def write(path: Path, array: np.ndarray) -> str:
    write_label(path, array, GEOMETRY)
    return str(path)


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_refused_in_one_sentence_that_names_the_case(tmp_path, kind):
    error = refusal(read_image, bad_image(kind, tmp_path), "Ann")
    assert error.code == BAD_IMAGES[kind]
    assert error.message.startswith("Case Ann: ")


def test_a_time_series_of_one_volume_counts_as_a_volume(tmp_path):
    path = raw(tmp_path / "image.nrrd", LABEL[None])
    assert np.array_equal(read_image(path).array, LABEL)
    assert read_geometry(path).size == (28, 32, 14)


def test_a_folder_with_two_dicom_series_is_refused_by_their_names(data_dir, tmp_path):
    series = data_dir / "dicom/ProstateX-0000_T2"
    for name in ("1-01.dcm", "1-02.dcm"):
        shutil.copyfile(series / name, tmp_path / name)
        image = sitk.ReadImage(str(series / name))
        image.SetMetaData("0020|000e", "1.2.3.4")
        image.SetMetaData("0008|103e", "another series")
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(tmp_path / f"other_{name}"))
        writer.Execute(image)
    error = refusal(read_image, tmp_path, "Ann")
    assert error.code == "several_series"
    assert "another series" in error.message and "t2_tse_tra" in error.message


def test_a_dicom_series_with_a_missing_slice_is_refused(data_dir, tmp_path):
    for file in sorted((data_dir / "dicom/ProstateX-0000_T2").iterdir()):
        if file.name != "1-07.dcm":
            shutil.copyfile(file, tmp_path / file.name)
    assert refusal(read_image, tmp_path).code == "uneven_slices"


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (LABEL * 0.5, "not whole numbers"),
        (np.where(LABEL, np.nan, 0), "not whole numbers"),
        (-LABEL.astype(np.int16), "negative"),
        (LABEL.astype(np.int32) * 70000, "above 65535"),
    ],
)
def test_values_that_cannot_be_labels_are_refused(tmp_path, array, what):
    write_image(tmp_path / "label.nrrd", array, GEOMETRY)
    error = refusal(read_label, tmp_path / "label.nrrd", GEOMETRY, "Ann")
    assert error.code == "bad_label" and what in error.message and "Ann" in error.message


def test_a_float_label_of_whole_numbers_is_a_label(tmp_path):
    write_image(tmp_path / "label.nrrd", LABEL * 2.0, GEOMETRY)
    assert np.array_equal(read_label(tmp_path / "label.nrrd", GEOMETRY), LABEL * 2)


@pytest.mark.parametrize("suffix", [".nrrd", ".seg.nrrd"])
@pytest.mark.parametrize(
    "other",
    [
        Geometry(GEOMETRY.size, (0.9, 0.9, 3.01), GEOMETRY.origin, GEOMETRY.direction),
        Geometry(GEOMETRY.size, GEOMETRY.spacing, (-12.0, 5.95, 40.0), GEOMETRY.direction),
        Geometry(GEOMETRY.size, GEOMETRY.spacing, GEOMETRY.origin, (-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)),
    ],
)
def test_a_label_on_another_grid_is_refused(tmp_path, other, suffix):
    write_label(tmp_path / f"label{suffix}", LABEL, GEOMETRY)
    assert refusal(read_label, tmp_path / f"label{suffix}", other, "Ann").code == "other_grid"


def test_a_label_of_another_size_is_refused_unless_it_is_a_segmentation(tmp_path):
    write_label(tmp_path / "label.nrrd", LABEL[1:], replace(CUBE, size=(28, 32, 13)))
    assert refusal(read_label, tmp_path / "label.nrrd", replace(CUBE, size=(28, 32, 14))).code == "other_grid"


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path):
    assert refusal(write_label, tmp_path / "label.png", LABEL, GEOMETRY).code == "bad_suffix"
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    error = refusal(write_label, tmp_path / "file" / "label.nrrd", LABEL, GEOMETRY)
    assert error.code == "cannot_write"


def test_a_failed_write_leaves_the_earlier_file_whole(tmp_path, monkeypatch):
    path = Path(write(tmp_path / "label.nrrd", LABEL))
    before = path.read_bytes()
    monkeypatch.setattr(sitk, "ReadImage", lambda name: sitk.GetImageFromArray(np.zeros(SHAPE, np.uint8)))
    assert refusal(write_label, path, LABEL, GEOMETRY).code == "cannot_write"
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["label.nrrd"]


@pytest.mark.parametrize("name", ["old\udcff.nrrd", "old\udcff/image.nrrd"])
def test_a_name_that_is_no_text_is_refused_and_does_not_end_the_process(tmp_path, name):
    errors = [refusal(read_image, tmp_path / name, "Ann"), refusal(read_geometry, tmp_path / name)]
    errors.append(refusal(write_label, tmp_path / name, LABEL, GEOMETRY))
    assert {error.code for error in errors} == {"bad_path"}


def test_a_file_beside_which_no_temporary_one_has_room_for_its_name_is_refused(tmp_path):
    assert refusal(write_label, tmp_path / f"{'a' * 245}.nrrd", LABEL, GEOMETRY).code == "cannot_write"


@pytest.fixture
def full_disk(tmp_path):
    """A disk of 64 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk to fill can be mounted by root on Linux only")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("suffix", [".nrrd", ".seg.nrrd", ".nii", ".nii.gz", ".mha"])
def test_a_full_disk_is_said_and_nothing_is_left_behind(full_disk, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 60), np.uint8)
    geometry = replace(CUBE, size=(60, 60, 60))
    error = refusal(write_label, full_disk / f"labels/noise{suffix}", noise, geometry)
    assert error.code == "no_space"
    assert not list((full_disk / "labels").iterdir())


def test_a_full_disk_is_said_of_checkpoints_and_models_too(full_disk):
    error = refusal(save_tensors, full_disk / "checkpoint/target.safetensors", {"weights": torch.rand(60_000)})
    assert error.code == "no_space"
    assert not list((full_disk / "checkpoint").iterdir())
