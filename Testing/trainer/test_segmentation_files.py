"""Slicer's segmentation files are read and written with all that they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import GEOMETRY, ellipsoid_volume, refusal

from sparseseg_trainer.labels import Label
from sparseseg_trainer.volumes import (
    Geometry,
    read_label,
    read_label_names,
    write_label,
)

LABEL = ellipsoid_volume(0)[1]


def write(path: Path, array: np.ndarray) -> str:
    write_label(path, array, GEOMETRY)
    return str(path)


def test_a_segmentation_file_keeps_values_names_colors_and_terminology(tmp_path):
    code = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    labels = [Label(1, "Left atrium", (0.5, 0.25, 0.125), code), Label(7, "Wand", (1.0, 0.0, 0.2))]
    array = LABEL * 7
    write_label(tmp_path / "a.seg.nrrd", array, GEOMETRY, labels)
    assert read_label_names(tmp_path / "a.seg.nrrd") == labels
    assert np.array_equal(read_label(tmp_path / "a.seg.nrrd", GEOMETRY), array)


def test_a_segmentation_that_covers_a_part_of_the_image_is_put_in_its_place(tmp_path):
    inner = sitk.ReadImage(write(tmp_path / "a.seg.nrrd", LABEL))[4:25, 5:29, 2:12]
    sitk.WriteImage(inner, str(tmp_path / "part.seg.nrrd"))
    expected = np.zeros_like(LABEL)
    expected[2:12, 5:29, 4:25] = LABEL[2:12, 5:29, 4:25]
    assert np.array_equal(read_label(tmp_path / "part.seg.nrrd", GEOMETRY), expected)
    larger = Geometry((10, 9, 8), GEOMETRY.spacing, (-12 + 0.9 * 10, 5.5 + 0.9 * 12, 49.0), GEOMETRY.direction)
    assert np.array_equal(read_label(tmp_path / "a.seg.nrrd", larger), LABEL[3:11, 12:21, 10:20])


@pytest.mark.parametrize("crop", [np.s_[4:25, 5:29, 7:8], np.s_[14:15, 5:29, 2:12], np.s_[14:15, 16:17, 7:8]])
def test_a_segmentation_cropped_to_the_one_drawn_slice_is_put_in_its_place(tmp_path, crop):
    part = sitk.ReadImage(write(tmp_path / "a.seg.nrrd", LABEL))[crop]
    sitk.WriteImage(part, str(tmp_path / "part.seg.nrrd"))
    expected = np.zeros_like(LABEL)
    expected[crop[::-1]] = LABEL[crop[::-1]]
    assert expected.any() and np.array_equal(read_label(tmp_path / "part.seg.nrrd", GEOMETRY), expected)


def test_a_plain_label_map_of_one_slice_is_refused_as_it_may_have_lost_its_place(tmp_path):
    sitk.WriteImage(sitk.ReadImage(write(tmp_path / "a.nrrd", LABEL))[:, :, 7:8], str(tmp_path / "part.nrrd"))
    assert refusal(read_label, tmp_path / "part.nrrd", GEOMETRY, "Ann").code == "one_slice"


def layered(path: Path, layers: list[np.ndarray], values: list[int]) -> Path:
    image = sitk.GetImageFromArray(np.stack(layers, -1), isVector=True)
    image.SetSpacing(GEOMETRY.spacing)
    image.SetOrigin(GEOMETRY.origin)
    for number, value in enumerate(values):
        image.SetMetaData(f"Segment{number}_ID", f"Segment_{number}")
        image.SetMetaData(f"Segment{number}_Name", f"part {number}")
        image.SetMetaData(f"Segment{number}_Layer", str(number))
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(path))
    return path


def test_layers_of_a_segmentation_become_one_label_map(tmp_path):
    upper, lower = LABEL.copy(), LABEL.copy()
    upper[7:], lower[:7] = 0, 0
    path = layered(tmp_path / "layers.seg.nrrd", [upper, lower], [1, 1])
    assert np.array_equal(read_label(path, GEOMETRY), upper + 2 * lower)
    assert [(label.value, label.name) for label in read_label_names(path)] == [(1, "part 0"), (2, "part 1")]


def test_overlapping_segments_are_refused_by_name(tmp_path):
    path = layered(tmp_path / "layers.seg.nrrd", [LABEL, LABEL], [1, 1])
    error = refusal(read_label, path, GEOMETRY, "Ann")
    assert error.code == "overlap" and "Ann" in error.message
    assert "part 0" in error.message and "part 1" in error.message


@pytest.mark.parametrize(("key", "value"), [("Segment1_Layer", "5"), ("Segment0_LabelValue", "one")])
def test_a_segmentation_file_with_damaged_keys_is_refused(tmp_path, key, value):
    image = sitk.ReadImage(str(layered(tmp_path / "layers.seg.nrrd", [LABEL, LABEL * 0], [1, 1])))
    image.SetMetaData(key, value)
    sitk.WriteImage(image, str(tmp_path / "damaged.seg.nrrd"))
    assert refusal(read_label, tmp_path / "damaged.seg.nrrd", GEOMETRY, "Ann").code == "not_an_image"
