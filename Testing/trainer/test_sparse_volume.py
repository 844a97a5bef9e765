"""A case as slices holds what its user said, and marks that do not fit are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantoms import GEOMETRY, SHAPE, ellipsoid_volume, one_case, refusal

from sparseseg_trainer.cohort import Case, load_case, read_cohort
from sparseseg_trainer.sparse_volume import SparseVolume
from sparseseg_trainer.volumes import Geometry, read_label, write_label

IMAGE, LABEL = ellipsoid_volume(0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"annotated_slices": (0,)}, "empty_label"),
        ({"annotated_slices": (7, 13)}, "empty_label"),
        ({"annotated_slices": (14,)}, "slice_out_of_range"),
        ({"annotated_slices": (20,), "axis": 2}, "slice_out_of_range"),
        ({"other_slices": ((0, 28),)}, "slice_out_of_range"),
        ({"other_slices": ((1, 31), (0, 99))}, "slice_out_of_range"),
        ({"other_slices": ((2, 7),)}, "bad_axis"),
        ({"other_slices": ((0, 7),), "axis": 0}, "bad_axis"),
        ({"other_slices": ((3, 7),)}, "bad_axis"),
        ({"other_slices": ((0, 0), (1, 0))}, "empty_label"),
        ({"annotated_slices": ()}, "empty_label"),
        ({"first_slice": 14}, "slice_out_of_range"),
        ({"last_slice": 99}, "slice_out_of_range"),
        ({"first_slice": 9, "last_slice": 4}, "bad_extent"),
        ({"annotated_slices": (7,), "first_slice": 8}, "bad_extent"),
        ({"annotated_slices": (7,), "last_slice": 6}, "bad_extent"),
        ({"first_slice": 5}, "bad_extent"),  # slices 3 to 10 are drawn, and none is listed
        ({"last_slice": 8}, "bad_extent"),
        ({"label": None}, "no_label"),
        ({"image": Path("missing.nrrd")}, "missing_file"),
        ({"label": Path("missing.nrrd")}, "missing_file"),
    ],
)
def test_a_case_whose_marks_do_not_fit_its_volume_is_refused_by_name(files, changes, code):
    error = refusal(load_case, one_case(files, **changes))
    assert error.code == code and error.message.startswith("Case Ann")
    assert "cohort.csv" not in error.advice  # of a single volume there is none


@pytest.mark.parametrize(
    "changes", [{"first_slice": 9, "last_slice": 4}, {"first_slice": 14}, {"other_slices": ((2, 7),)}]
)
def test_marks_that_do_not_fit_are_refused_of_a_case_without_a_label_too(files, changes):
    case = one_case(files, label=None, **changes)
    assert refusal(load_case, case, False).message.startswith("Case Ann")


def test_ends_in_the_wrong_order_are_named_as_what_is_wrong_whatever_is_drawn(files):
    error = refusal(load_case, one_case(files, first_slice=9, last_slice=4))
    assert "the first slice comes after the last" in error.message


def test_an_empty_label_is_refused(files):
    write_label(files / "label.nrrd", np.zeros(SHAPE), GEOMETRY)
    assert refusal(load_case, one_case(files)).code == "empty_label"


def test_a_case_whose_label_is_on_another_grid_is_refused(files):
    write_label(files / "label.nrrd", LABEL[:, :, ::-1], replace(GEOMETRY, origin=(0.0, 0.0, 0.0)))
    error = refusal(load_case, one_case(files))
    assert error.code == "other_grid" and error.message.startswith("Case Ann")


def test_a_case_as_slices_has_what_its_user_drew_and_nothing_else(files):
    volume = load_case(one_case(files, annotated_slices=(5, 7), first_slice=3, last_slice=10))
    assert volume.image.dtype == np.float32 and volume.image.shape == volume.label.shape == SHAPE
    assert volume.image.flags.c_contiguous and volume.label.dtype == np.uint8
    expected = np.zeros_like(LABEL)
    expected[[5, 7]] = LABEL[[5, 7]]
    assert np.array_equal(volume.label, expected)
    assert (volume.annotated, volume.first, volume.last, volume.axis) == ((5, 7), 3, 10, 2)
    assert volume.spacing == (3.0, 0.9, 0.9) and volume.geometry == GEOMETRY


@pytest.mark.parametrize(("axis", "others"), [(2, ((1, 16), (2, 14))), (1, ((1, 7), (2, 14)))])
def test_slices_across_other_axes_are_rows_and_columns_of_the_label_and_nothing_between_them_is(files, axis, others):
    case = one_case(files, axis=axis, other_slices=((0, 14), (3 - axis, others[0][1])))
    volume = load_case(case)
    whole = np.moveaxis(LABEL, 2 - axis, 0)
    expected = np.zeros_like(whole)
    expected[:, others[0][1]], expected[:, :, 14] = whole[:, others[0][1]], whole[:, :, 14]
    assert sorted(volume.others) == list(others) and volume.annotated == ()
    assert np.array_equal(volume.label, expected) and expected.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_axis_can_be_chosen(files, axis):
    volume = load_case(one_case(files, axis=axis))
    assert len(volume.image) == GEOMETRY.size[axis]
    assert np.array_equal(volume.label, np.moveaxis(LABEL, 2 - axis, 0))


def bare_volume(count: int, annotated=(), first=None, last=None, **reaches) -> SparseVolume:
    case = Case("Ann", Path("image.nrrd"), **reaches)
    geometry = Geometry((2, 2, count), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    image = np.zeros((count, 2, 2), np.float32)
    return SparseVolume(case, image, None, annotated, first, last, 2, geometry, (1.0, 1.0, 1.0))


def absent_slices(volume: SparseVolume, **arguments) -> list[int]:
    return np.flatnonzero(volume.absent(**arguments)).tolist()


def test_the_outermost_slices_count_as_background_unless_the_structure_reaches_them():
    assert absent_slices(bare_volume(88, (44,))) == [0, 1, 2, 85, 86, 87]
    assert absent_slices(bare_volume(14, (7,))) == [0, 13]
    assert absent_slices(bare_volume(88, (44,), reaches_first=True)) == [85, 86, 87]
    assert absent_slices(bare_volume(14, (7,), reaches_first=True, reaches_last=True)) == []


def test_marked_ends_replace_the_assumption():
    assert absent_slices(bare_volume(14, (7,), first=3)) == [0, 1, 2, 13]
    assert absent_slices(bare_volume(14, (7,), first=0, last=10)) == [11, 12, 13]
    assert absent_slices(bare_volume(14, (7,), first=0, last=13)) == []


def test_a_slice_that_shows_the_structure_across_another_axis_is_not_absent():
    volume = bare_volume(40, (20,))
    volume.label, volume.others = np.zeros((40, 2, 2), np.uint8), ((1, 0),)
    assert absent_slices(volume) == [0, 39]
    volume.label[1:40, 0, 1] = 1
    assert absent_slices(volume) == [0]
    volume.label[0, 0, 1] = 1
    assert absent_slices(volume) == []


def test_absence_can_be_switched_off_and_is_wider_on_request():
    assert absent_slices(bare_volume(14, (7,)), absence=False) == []
    assert absent_slices(bare_volume(14, (7,), 3, 9), absence=False) == [0, 1, 2, 10, 11, 12, 13]
    assert absent_slices(bare_volume(20, (7,)), margin_fraction=0.1) == [0, 1, 18, 19]


@given(count=st.integers(2, 60), data=st.data())
def test_an_annotated_slice_is_never_absent(count, data):
    annotated = tuple(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    assert not bare_volume(count, annotated).absent()[list(annotated)].any()


def test_a_hippocampus_case_has_its_two_classes(data_dir):
    cohort = read_cohort(data_dir / "hippocampus")
    assert cohort.values == (1, 2) and cohort.failed == []
    volume = load_case(cohort.cases[0])
    assert set(np.unique(volume.label)) == {0, 1, 2}
    whole = read_label(cohort.cases[0].label, volume.geometry)
    assert np.array_equal(volume.file_values(volume.label), whole)


def test_a_thick_sliced_spinal_cord_case_is_read_along_its_thick_axis(data_dir):
    folder = data_dir / "spinal_cord"
    volume = load_case(Case("t2s", folder / "t2s.nii.gz", folder / "t2s_gmseg_manual.nii.gz"))
    assert volume.spacing[0] == pytest.approx(7.5, rel=1e-3)
    assert volume.image.shape[0] == volume.geometry.size[volume.axis]
