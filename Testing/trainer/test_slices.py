"""Slices are views of the volume, along the axis a reader expects, with comparable intensities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sparseseg_trainer.slices import (
    from_slices,
    normalise,
    resample_slices,
    slice_axis,
    slice_spacing,
    to_slices,
)
from sparseseg_trainer.volumes import Geometry, read_geometry

DIRECTION = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
VOLUMES = arrays(np.int16, array_shapes(min_dims=3, max_dims=3, max_side=6))


def grid(*spacing: float) -> Geometry:
    return Geometry((5, 6, 7), spacing, (0.0, 0.0, 0.0), DIRECTION)


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((1, 1, 1), 2),
        ((1, 1, 3), 2),
        ((3, 1, 1), 0),
        ((0.5, 7.5, 0.5), 1),
        ((2, 2, 1), 1),
        ((2, 1, 2), 2),
        ((0.62500001, 0.625, 0.625), 2),
    ],
)
def test_slices_lie_along_the_largest_spacing_and_the_last_axis_where_equal(spacing, axis):
    assert slice_axis(grid(*spacing)) == axis


def test_the_slice_axis_of_the_spinal_cord_t2s_is_the_one_of_seven_millimeters(data_dir):
    geometry = read_geometry(data_dir / "spinal_cord/t2s.nii.gz")
    axis = slice_axis(geometry)
    assert slice_spacing(geometry, axis) == pytest.approx((7.5, 0.5, 0.5), rel=1e-3)


@pytest.mark.parametrize(("axis", "spacing"), [(0, (1, 3, 2)), (1, (2, 3, 1)), (2, (3, 2, 1))])
def test_slices_and_their_spacing_are_in_the_same_order(axis, spacing):
    slices = to_slices(np.zeros((7, 6, 5)), axis)
    count = {1: 5, 2: 6, 3: 7}  # voxels along the axes of 1, 2, 3 mm
    assert slice_spacing(grid(1, 2, 3), axis) == spacing
    assert slices.shape == tuple(count[step] for step in spacing)


@given(array=VOLUMES, axis=st.integers(0, 2))
def test_from_slices_undoes_to_slices(array, axis):
    slices = to_slices(array, axis)
    assert np.shares_memory(slices, array)
    assert np.array_equal(from_slices(slices, axis), array)
    assert np.array_equal(to_slices(from_slices(array, axis), axis), array)


@given(array=VOLUMES, axis=st.integers(0, 2))
def test_slice_n_holds_the_voxels_with_index_n_along_its_axis(array, axis):
    n = array.shape[2 - axis] // 2
    assert np.array_equal(to_slices(array, axis)[n], np.take(array, n, 2 - axis))


@given(
    array=st.sampled_from(["int8", "uint8", "int16", "uint16", "int64", "float32", "float64", "bool"]).flatmap(
        lambda kind: arrays(kind, (3, 4, 5), elements=elements(kind))
    )
)
def test_normalised_intensities_are_finite_and_between_0_and_1(array):
    result = normalise(array)
    assert result.dtype == np.float32 and result.shape == array.shape
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1
    if array.min() == array.max():
        assert not result.any()
    else:
        assert result.max() == 1


def elements(kind: str):
    if kind == "bool":
        return st.booleans()
    if np.dtype(kind).kind == "f":
        return st.floats(-(2.0**100), 2.0**100, width=32)
    limits = np.iinfo(kind)
    return st.integers(int(limits.min), int(limits.max))


def test_normalising_keeps_order_and_forgets_scale_and_offset():
    image = np.random.default_rng(0).normal(size=(8, 20, 20))
    result = normalise(image)
    assert np.allclose(result, normalise(image * 700 + 3000), atol=1e-6)
    assert result.mean() == pytest.approx(0.5, abs=0.02)


def test_a_few_extreme_voxels_do_not_change_the_others():
    image = np.random.default_rng(0).normal(size=(8, 20, 20))
    spoiled = image.copy()
    spoiled[0, 0, :3] = 1e6
    assert np.abs(normalise(spoiled) - normalise(image))[1:].max() < 0.05


def test_a_large_volume_is_normalised_from_a_sample_as_from_all(monkeypatch):
    image = np.random.default_rng(0).gamma(2, 100, (20, 64, 64)).astype(np.int16)
    whole = normalise(image)
    monkeypatch.setattr("sparseseg_trainer.slices.SAMPLE", 10_000)
    assert np.abs(normalise(image) - whole).max() < 0.05


def test_resampling_keeps_means_and_constants_and_does_not_alias():
    checkerboard = np.indices((3, 32, 32)).sum(0).astype(np.float32) % 2
    small = resample_slices(checkerboard, (8, 8))
    assert small.shape == (3, 8, 8) and small.dtype == np.float32
    assert np.abs(small - 0.5).max() < 0.1
    assert np.allclose(resample_slices(np.full((2, 5, 7), 0.3), (11, 4)), 0.3)
    assert resample_slices(checkerboard, (32, 32)) is checkerboard


def test_resampling_there_and_back_keeps_a_smooth_slice():
    j, i = np.mgrid[0:40, 0:30] / 10
    smooth = (np.sin(j) * np.cos(i))[None].astype(np.float32)
    back = resample_slices(resample_slices(smooth, (20, 15)), (40, 30))
    assert np.abs(back - smooth)[:, 2:-2, 2:-2].max() < 0.05
