"""Volumes keep their grid and their voxels in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import CUBE, GEOMETRY, ellipsoid_volume
from scipy.spatial.transform import Rotation

from sparseseg_trainer.volumes import (
    Geometry,
    read_geometry,
    read_image,
    read_label,
    write_image,
    write_label,
)

LABEL = ellipsoid_volume(0)[1]
PIXEL_TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


@st.composite
def geometries(draw) -> Geometry:
    """Oblique and flipped grids of 2 x 3 x 4 voxels, axes in any order."""
    lengths = st.floats(0.05, 20)
    angles = st.floats(-180, 180).map(lambda angle: round(angle, 12))  # no subnormal cosines
    matrix = Rotation.from_euler("xyz", [draw(angles) for _ in range(3)], degrees=True).as_matrix()
    matrix = matrix[:, draw(st.permutations(range(3)))] * [draw(st.sampled_from([-1, 1])) for _ in range(3)]
    return Geometry(
        (2, 3, 4),
        tuple(draw(lengths) for _ in range(3)),
        tuple(draw(st.floats(-500, 500, allow_subnormal=False)) for _ in range(3)),
        tuple(matrix.ravel().tolist()),
    )


def plain_read(path: Path) -> Geometry:
    return Geometry.of(sitk.ReadImage(str(path)))


@settings(deadline=None, max_examples=40)
@given(geometry=geometries(), suffix=st.sampled_from([".nrrd", ".seg.nrrd", ".mha"]))
def test_any_grid_comes_back_to_the_last_bit_from_nrrd_and_metaimage(tmp_path_factory, geometry, suffix):
    path = tmp_path_factory.mktemp("grid") / f"label{suffix}"
    write_label(path, np.ones((4, 3, 2), np.uint8), geometry)
    assert read_geometry(path) == read_image(path).geometry == geometry
    closest = plain_read(path)
    assert np.allclose(closest.voxel_to_world(), geometry.voxel_to_world(), rtol=1e-14, atol=1e-14)


@settings(deadline=None, max_examples=40)
@given(geometry=geometries(), suffix=st.sampled_from([".nrrd", ".nii.gz", ".nii", ".mha"]))
def test_a_label_has_the_very_grid_of_an_image_in_its_own_format_for_any_reader(tmp_path_factory, geometry, suffix):
    folder = tmp_path_factory.mktemp("grid")
    image = sitk.GetImageFromArray(np.ones((4, 3, 2), np.uint8))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    sitk.WriteImage(image, str(folder / f"image{suffix}"))
    write_label(folder / f"label{suffix}", np.ones((4, 3, 2)), read_geometry(folder / f"image{suffix}"))
    assert plain_read(folder / f"label{suffix}") == plain_read(folder / f"image{suffix}")


def test_a_label_has_the_very_grid_of_an_nrrd_image_even_two_last_bits_from_spacing_times_direction(tmp_path):
    vectors = [
        (0.729700518831983, -1.3982118322813688, -0.7560691140397887),
        (-0.6279421724568891, 0.5106979885217715, -1.5504848400010403),
        (1.4594220572469032, 0.9177895580084533, -0.28876088591593035),
    ]
    image = sitk.GetImageFromArray(LABEL)
    image.SetDirection(np.ravel(vectors, "F").tolist())
    sitk.WriteImage(image, str(tmp_path / "image.nrrd"))
    write_label(tmp_path / "label.nrrd", LABEL, read_geometry(tmp_path / "image.nrrd"))
    assert plain_read(tmp_path / "label.nrrd") == plain_read(tmp_path / "image.nrrd")


@settings(deadline=None, max_examples=20)
@given(geometry=geometries())
def test_nifti_keeps_any_grid_within_float32_and_recognizes_it(tmp_path_factory, geometry):
    path = tmp_path_factory.mktemp("grid") / "label.nii.gz"
    write_label(path, np.ones((4, 3, 2), np.uint8), geometry)
    stored = read_geometry(path)
    assert np.allclose(stored.voxel_to_world(), geometry.voxel_to_world(), rtol=1e-6, atol=2e-5)
    assert np.allclose(stored.origin, geometry.origin, rtol=1e-6)
    assert read_label(path, geometry).all()


@pytest.mark.parametrize("suffix", [".nrrd", ".seg.nrrd", ".nii.gz", ".mha"])
def test_a_label_on_the_oblique_dicom_series_comes_back_bit_identical(data_dir, tmp_path, suffix):
    image = read_image(data_dir / "dicom/ProstateX-0000_T2")
    assert image.array.shape == (19, 384, 384)
    label = (image.array > np.median(image.array)).astype(np.uint8)
    write_label(tmp_path / f"label{suffix}", label, image.geometry)
    assert np.array_equal(read_label(tmp_path / f"label{suffix}", image.geometry), label)
    if suffix != ".nii.gz":
        assert read_geometry(tmp_path / f"label{suffix}") == image.geometry


@pytest.mark.parametrize("name", ["t1w", "t2", "t2s"])
def test_labels_on_the_spinal_cord_volumes_have_the_very_grid_in_every_format(data_dir, tmp_path, name):
    image = read_image(data_dir / f"spinal_cord/{name}.nii.gz")
    for suffix in (".nrrd", ".seg.nrrd", ".nii", ".nii.gz", ".mha"):
        write_label(tmp_path / f"label{suffix}", image.array > 100, image.geometry)
        assert read_geometry(tmp_path / f"label{suffix}") == image.geometry, suffix


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_every_pixel_type_is_read_as_it_is(tmp_path, pixel_type, suffix):
    array = np.arange(24).reshape(4, 3, 2).astype(pixel_type)
    write_image(tmp_path / f"image{suffix}", array, replace(CUBE, size=(2, 3, 4)))
    volume = read_image(tmp_path / f"image{suffix}")
    assert volume.array.dtype == array.dtype
    assert np.array_equal(volume.array, array)


def test_bool_and_half_precision_images_are_widened_on_writing(tmp_path):
    for array in (LABEL > 0, LABEL.astype(np.float16)):
        write_image(tmp_path / "image.nrrd", array, GEOMETRY)
        assert np.array_equal(read_image(tmp_path / "image.nrrd").array, array)


def test_label_maps_are_compressed_and_as_narrow_as_their_values_allow(tmp_path):
    write_label(tmp_path / "few.nrrd", LABEL.astype(np.int64), GEOMETRY)
    many = LABEL.astype(np.uint16) * 300
    write_label(tmp_path / "many.nrrd", many, GEOMETRY)
    assert b"encoding: gzip" in (tmp_path / "few.nrrd").read_bytes()
    assert read_label(tmp_path / "few.nrrd", GEOMETRY).dtype == np.uint8
    assert np.array_equal(read_label(tmp_path / "many.nrrd", GEOMETRY), many)


def test_the_same_label_makes_the_same_file(tmp_path):
    for suffix in (".nrrd", ".nii.gz"):
        for name in ("a", "b"):
            write_label(tmp_path / f"{name}{suffix}", LABEL, GEOMETRY)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
