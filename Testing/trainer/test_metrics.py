"""The metrics: numbers worked out by hand, invariants, and agreement with MONAI and SimpleITK."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparseseg_trainer.metrics import (
    boundary_iou,
    hvsmr_score,
    measure,
    measure_missing,
    rand_f_score,
    surface_distances,
)
from sparseseg_trainer.scores import CaseScores

MM = (1.0, 1.0, 1.0)
PATIENT = settings(deadline=None)  # the machine may be busy
# Slices with a diagonal of at most 25 pixels: the boundary IoU's band is one pixel, padded or not.
masks = arrays(bool, st.tuples(st.integers(2, 6), st.integers(2, 9), st.integers(2, 9)))
spacings = st.tuples(*[st.sampled_from([0.5, 0.625, 1.0, 3.0])] * 3)


@st.composite
def pairs(draw):
    prediction = draw(masks)
    return prediction, draw(arrays(bool, prediction.shape))


def cube(shape, start, size=(4, 4, 4)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return mask


def ball(shape, spacing, radius):
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = [((axis - (n - 1) / 2) * step) ** 2 for axis, n, step in zip(axes, shape, spacing, strict=True)]
    return sum(squares) <= radius**2


def test_two_cubes_one_voxel_apart_score_as_counted_by_hand():
    # Of 56 surface voxels, 16 (the far face) are one column off and 4 (inside the near face) one row off.
    scores = measure(cube((10, 10, 12), (3, 3, 4)), cube((10, 10, 12), (3, 3, 3)), (3.0, 1.0, 2.0))
    assert scores.dice == 96 / 128
    assert scores.iou == 48 / 80
    assert scores.assd == pytest.approx((16 * 2 + 4 * 1) / 56)
    assert scores.hd95 == 2.0
    assert scores.ravd == 0
    assert scores.volume_ml == scores.reference_ml == pytest.approx(64 * 6 / 1000)
    assert not scores.failed


def test_assd_pools_the_points_of_both_surfaces():
    line, point = cube((1, 1, 30), (0, 0, 5), (1, 1, 20)), cube((1, 1, 30), (0, 0, 5), (1, 1, 1))
    assert measure(line, point, MM).assd == pytest.approx(sum(range(20)) / 21)


@pytest.mark.parametrize("swap", [False, True])
def test_hd95_is_the_larger_directed_percentile(swap):
    line, point = cube((1, 1, 30), (0, 0, 5), (1, 1, 20)), cube((1, 1, 30), (0, 0, 5), (1, 1, 1))
    pair = (point, line) if swap else (line, point)
    assert measure(*pair, MM).hd95 == pytest.approx(0.95 * 19)  # of the distances 0, 1, ... 19


def test_the_hausdorff_distance_is_the_largest_of_all():
    line, point = cube((1, 1, 30), (0, 0, 5), (1, 1, 20)), cube((1, 1, 30), (0, 0, 5), (1, 1, 1))
    assert measure(line, point, MM).hausdorff == measure(point, line, MM).hausdorff == 19


def test_the_2d_assd_is_the_mean_over_slices_that_both_masks_reach():
    reference = cube((4, 9, 30), (0, 2, 5), (3, 1, 1))
    prediction = cube((4, 9, 30), (1, 2, 5), (3, 1, 1)) | cube((4, 9, 30), (2, 2, 5), (1, 1, 5))
    # slices 1 and 2 have both: a point on a point; five voxels on one, 2 mm apart
    assert measure(prediction, reference, (3.0, 1.0, 2.0)).slice_assd == pytest.approx((0 + 2 * 10 / 6) / 2)
    apart = cube((4, 9, 30), (3, 2, 5), (1, 1, 1))
    assert measure(apart, reference, MM).slice_assd == (3 + 2 + 1 + 1) / 4  # no such slice: ASSD


def test_adb_is_the_mean_of_both_directions_where_assd_pools_their_points():
    line, point = cube((1, 1, 30), (0, 0, 5), (1, 1, 20)), cube((1, 1, 30), (0, 0, 5), (1, 1, 1))
    scores = measure(line, point, MM)  # 20 points 0, 1, ... 19 away, one point 0 away
    assert scores.adb == (9.5 + 0) / 2
    assert scores.assd == pytest.approx(190 / 21)


def test_the_hvsmr_score_is_that_of_the_tables_of_zheng2020():
    myocardium, blood = (0.830, 0.678, 3.614), (0.937, 0.770, 7.034)
    assert hvsmr_score(*myocardium) + hvsmr_score(*blood) == pytest.approx(0.166, abs=1e-3)
    perfect = measure(cube((6, 6, 6), (1, 1, 1)), cube((6, 6, 6), (1, 1, 1)), MM)
    assert perfect.hvsmr == 0.5
    assert CaseScores("a", {1: perfect, 2: perfect}).value("hvsmr") == 1.0


def test_the_rand_f_score_counts_parts_that_are_split_merged_or_missed():
    two = cube((1, 1, 9), (0, 0, 0), (1, 1, 4)) | cube((1, 1, 9), (0, 0, 5), (1, 1, 4))
    whole = np.ones((1, 1, 9), bool)
    assert rand_f_score(two, two) == 1
    # Of 8 voxels in parts of 4 and 4, one part of the prediction has all: 16 + 16 pairs agree, 64 and 32 there are
    assert rand_f_score(whole, two) == 2 * 32 / (64 + 32)
    # Of 9 voxels in one part, 4, 4 and a lone one: 33 agree, of 33 and 81
    assert rand_f_score(two, whole) == 2 * 33 / (33 + 81)
    assert rand_f_score(~whole, two) == 2 * 8 / (8 + 32)


def test_ravd_is_absolute_and_relative_to_the_reference():
    small, large = cube((9, 9, 9), (1, 1, 1), (2, 2, 2)), cube((9, 9, 9), (1, 1, 1), (2, 2, 6))
    assert measure(large, small, MM).ravd == 2.0
    assert measure(small, large, MM).ravd == pytest.approx(2 / 3)


def test_boundary_iou_of_shifted_squares_is_that_of_their_rings():
    # A diagonal of 71 pixels: one pixel of band. Two rings of 36 pixels share their two rows, 9 pixels each.
    scores = measure(cube((3, 50, 50), (1, 20, 21), (1, 10, 10)), cube((3, 50, 50), (1, 20, 20), (1, 10, 10)), MM)
    assert scores.boundary_iou == pytest.approx(18 / 54)


def test_the_boundary_band_is_two_percent_of_the_slice_diagonal():
    reference = cube((1, 300, 400), (0, 100, 100), (1, 100, 100))  # diagonal 500, band 10
    holed = reference & ~cube((1, 300, 400), (0, 140, 140), (1, 20, 20))
    outer, inner = 100**2 - 80**2, 40**2 - 20**2
    assert measure(holed, reference, MM).boundary_iou == pytest.approx(outer / (outer + inner))


def test_the_boundary_band_is_drawn_within_each_slice():
    # Slices above and below do not count as boundary: the band of a 4 x 4 square in every slice is its ring.
    tower = cube((5, 10, 10), (0, 3, 3), (5, 4, 4))
    hollow = tower & ~cube((5, 10, 10), (0, 4, 4), (5, 2, 2))
    assert boundary_iou(hollow, tower, 1) == 1.0


def test_concentric_balls_are_apart_by_the_difference_of_their_radii():
    spacing, shape = (1.5, 0.75, 1.0), (25, 48, 36)
    outer, inner = ball(shape, spacing, 16.0), ball(shape, spacing, 12.0)
    scores = measure(outer, inner, spacing)
    assert scores.assd == pytest.approx(4.0, abs=0.4)
    assert scores.hd95 == pytest.approx(4.0, abs=1.5)  # one slice
    assert scores.volume_ml == pytest.approx(4 / 3 * math.pi * 16**3 / 1000, rel=0.02)
    assert scores.reference_ml == pytest.approx(4 / 3 * math.pi * 12**3 / 1000, rel=0.02)


def test_two_empty_masks_agree():
    empty = np.zeros((4, 5, 6), bool)
    scores = measure(empty, empty, MM)
    assert (scores.dice, scores.iou, scores.boundary_iou) == (1, 1, 1)
    assert (scores.assd, scores.hd95, scores.ravd, scores.failed) == (0, 0, 0, False)


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask_fails_with_the_diagonal_as_its_distance(swap):
    empty, full = np.zeros((3, 4, 12), bool), cube((3, 4, 12), (1, 1, 1), (1, 1, 2))
    scores = measure(*((full, empty) if swap else (empty, full)), MM)
    assert (scores.dice, scores.iou, scores.boundary_iou) == (0, 0, 0)
    assert (scores.assd, scores.hd95, scores.ravd) == (13.0, 13.0, 1.0)
    assert scores.failed


def test_a_missing_prediction_fails_even_where_nothing_was_to_be_found():
    scores = measure_missing(np.zeros((3, 4, 12), bool), (2.0, 2.0, 2.0))
    assert (scores.dice, scores.assd, scores.failed) == (0, 26.0, True)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        measure(np.ones((2, 3, 4), bool), np.ones((2, 3, 5), bool), MM)


@PATIENT
@given(masks, spacings)
def test_a_mask_agrees_with_itself(mask, spacing):
    scores = measure(mask, mask, spacing)
    assert (scores.dice, scores.iou, scores.boundary_iou) == (1, 1, 1)
    assert (scores.assd, scores.hd95, scores.ravd, scores.failed) == (0, 0, 0, False)


@PATIENT
@given(pairs(), spacings)
def test_swapping_the_masks_changes_only_what_is_relative_to_the_reference(pair, spacing):
    there, back = measure(*pair, spacing), measure(*reversed(pair), spacing)
    assert there.volume_ml == back.reference_ml
    for name in ("dice", "iou", "boundary_iou", "assd", "hd95", "failed"):
        assert getattr(there, name) == pytest.approx(getattr(back, name)), name


@PATIENT
@given(pairs(), spacings, st.tuples(*[st.integers(0, 4)] * 3))
def test_background_around_the_masks_changes_nothing(pair, spacing, margin):
    assume(all(mask.any() for mask in pair))
    padded = [np.pad(mask, [(n, n) for n in margin]) for mask in pair]
    assert dataclasses.astuple(measure(*padded, spacing)) == pytest.approx(dataclasses.astuple(measure(*pair, spacing)))


@PATIENT
@given(pairs(), spacings)
def test_ratios_and_distances_stay_in_their_range(pair, spacing):
    scores = measure(*pair, spacing)
    assert 0 <= scores.iou <= scores.dice <= 1
    assert scores.dice == pytest.approx(2 * scores.iou / (1 + scores.iou))
    assert 0 <= scores.boundary_iou <= 1
    assert 0 <= scores.assd <= np.linalg.norm(np.multiply(pair[0].shape, spacing))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI 1.6 warns about its own argument
@settings(PATIENT, max_examples=30)
@given(pairs(), spacings)
def test_surface_distances_are_those_of_monai(pair, spacing):
    torch = pytest.importorskip("torch")
    monai_metrics = pytest.importorskip("monai.metrics")
    assume(all(mask.any() for mask in pair))
    one_hot = [torch.from_numpy(mask)[None, None] for mask in pair]
    common = {"include_background": True, "spacing": spacing}
    assd = monai_metrics.compute_average_surface_distance(*one_hot, symmetric=True, **common)
    hd95 = monai_metrics.compute_hausdorff_distance(*one_hot, percentile=95, **common)
    scores = measure(*pair, spacing)
    assert scores.assd == pytest.approx(assd.item(), rel=1e-5, abs=1e-5)  # MONAI: float32
    assert scores.hd95 == pytest.approx(hd95.item(), rel=1e-5, abs=1e-5)


@PATIENT
@given(pairs())
def test_overlaps_are_those_of_simpleitk(pair):
    assume(all(mask.any() for mask in pair))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in reversed(pair)))
    scores = measure(*pair, MM)
    assert scores.dice == pytest.approx(overlap.GetDiceCoefficient(1))
    assert scores.iou == pytest.approx(overlap.GetJaccardCoefficient(1))


def test_surfaces_that_touch_the_border_of_the_volume_count():
    full = np.ones((3, 3, 3), bool)
    there, back = surface_distances(full, full, MM)
    assert len(there) == len(back) == 26
