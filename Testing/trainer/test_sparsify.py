"""Dense cohorts are made sparse without a trace of what is forgotten."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest
from phantoms import refusal

import sparseseg_trainer.suggest as suggesting
from sparseseg_trainer.cohort import load_case, read_cohort
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.slices import to_slices
from sparseseg_trainer.sparsify import choose_slices, sparsify
from sparseseg_trainer.suggest import SuggestSettings
from sparseseg_trainer.volumes import read_geometry, read_label


@pytest.mark.parametrize(
    ("text", "count", "numbers"),
    [
        ("central", 88, [44]),
        ("central", 13, [6]),
        ("1/3,2/3", 88, [29, 58]),
        ("0.5", 11, [5]),
        ("20, 44", 88, [20, 44]),
        ("44,20,44", 88, [20, 44]),
        ("evenly:1", 88, [15]),
        ("evenly:2", 88, [12, 17]),  # the structure's slices 10 to 14 and 15 to 19
        ("evenly:5", 88, [11, 13, 15, 17, 19]),
        ("evenly:30", 88, list(range(10, 20))),
        ("evenly:999999999999", 88, list(range(10, 20))),
        ("all", 88, list(range(10, 20))),
        ("every:4", 88, [12, 16]),
        ("every:1", 88, list(range(10, 20))),
        ("every:40", 88, [15]),
        ("consecutive:10", 88, list(range(10, 20))),
        ("consecutive:100%", 88, list(range(10, 20))),
    ],
)
def test_slices_are_chosen_by_word_fraction_or_number(text, count, numbers):
    assert choose_slices(text, count, tuple(range(10, 20)), Random(0)) == numbers


def test_consecutive_slices_lie_around_a_random_one_inside_the_structure():
    drawn, found = (
        tuple(range(10, 20)),
        [choose_slices("consecutive:30%", 88, tuple(range(10, 20)), Random(seed)) for seed in range(60)],
    )
    assert all(numbers == list(range(numbers[0], numbers[0] + 3)) for numbers in found)
    assert {numbers[0] for numbers in found} == set(range(10, 18))  # every place is reached
    assert all(set(numbers) <= set(drawn) for numbers in found)
    assert len(choose_slices("consecutive:1%", 88, drawn, Random(0))) == 1


BAD_SLICES = ["", "middle", "1/0", "3/2", "-1", "1;2", "evenly:", "evenly:0", "every:0", "all:2", "central:1"]
BAD_SLICES += ["consecutive:", "consecutive:0", "consecutive:0%", "consecutive:120%", "consecutive:2.5"]


@pytest.mark.parametrize("text", BAD_SLICES)
def test_slices_that_cannot_be_understood_are_refused(dense_cohort, tmp_path, text):
    with pytest.raises(InputError) as caught:
        sparsify(dense_cohort, tmp_path / "out", text)
    assert caught.value.code == "bad_slices"
    assert not (tmp_path / "out").exists()


def test_a_sparse_label_holds_the_drawn_slice_bit_for_bit_and_nothing_else(dense_cohort, tmp_path):
    assert sparsify(dense_cohort, tmp_path / "out") == {"cases": 3, "failed": []}
    dense, sparse = read_cohort(dense_cohort), read_cohort(tmp_path / "out")
    assert sparse.labels == dense.labels
    for before, after in zip(dense.cases, sparse.cases, strict=True):
        geometry = read_geometry(before.image)
        assert read_geometry(after.label) == geometry
        drawn, whole = read_label(after.label, geometry), read_label(before.label, geometry)
        assert np.array_equal(drawn[7], whole[7]) and drawn[7].any()
        assert np.count_nonzero(drawn) == np.count_nonzero(whole[7])
        assert after.annotated_slices == (7,) and after.axis == 2 and after.first_slice is None
        assert after.image.resolve() == before.image.resolve()


def test_extents_are_the_first_and_last_labeled_slice(dense_cohort, tmp_path):
    sparsify(dense_cohort, tmp_path / "out", "1/3,2/3", extents=True)
    for case in read_cohort(tmp_path / "out").cases:
        assert case.annotated_slices == (4, 9)
        whole = load_case(read_cohort(dense_cohort).cases[0]).annotated
        assert case.first_slice in (whole[0] - 1, whole[0], whole[0] + 1)


def test_a_case_without_a_label_there_fails_and_the_others_run(dense_cohort, tmp_path):
    summary = sparsify(dense_cohort, tmp_path / "out", "0")
    assert summary["cases"] == 0
    assert [failure["code"] for failure in summary["failed"]] == ["empty_label"] * 3


def test_the_hippocampus_is_made_sparse_with_both_its_labels(data_dir, tmp_path):
    summary = sparsify(data_dir / "hippocampus", tmp_path)
    assert summary == {"cases": 100, "failed": []}
    cohort = read_cohort(tmp_path)
    assert cohort.values == (1, 2)
    case = cohort.cases[0]
    label = to_slices(read_label(case.label, read_geometry(case.image)), case.axis)
    assert np.flatnonzero(label.any((1, 2))).tolist() == [len(label) // 2]


def test_random_slices_come_from_the_seed_and_differ_between_cases(dense_cohort, tmp_path):
    drawn = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        sparsify(dense_cohort, tmp_path / name, "consecutive:2", seed=seed)
        drawn[name] = [case.annotated_slices for case in read_cohort(tmp_path / name).cases]
    assert drawn["a"] == drawn["b"] != drawn["c"]
    assert len(set(drawn["a"])) > 1
    assert all(two == one + 1 for one, two in drawn["a"])


def test_a_few_cases_keep_their_whole_label_and_the_others_lose_every_trace_of_it(dense_cohort, tmp_path):
    assert sparsify(dense_cohort, tmp_path / "out", "all", True, labeled="1")["cases"] == 3
    before, after = read_cohort(dense_cohort), read_cohort(tmp_path / "out")
    [kept] = [case for case in after.cases if case.label is not None]
    assert kept.label.resolve() == next(case.label for case in before.cases if case.name == kept.name).resolve()
    whole = load_case(kept).annotated
    assert kept.annotated_slices is None and (kept.first_slice, kept.last_slice) == (whole[0], whole[-1])
    others = [case for case in after.cases if case.label is None]
    assert len(others) == 2 and all(case.annotated_slices is case.first_slice is case.last_slice for case in others)
    assert after.labels == before.labels and not (tmp_path / "out/labels").exists()


def test_the_labeled_cases_are_a_number_or_a_share_and_the_others_may_be_left_out(dense_cohort, tmp_path):
    names = set()
    for seed in range(8):
        sparsify(dense_cohort, tmp_path / "out", labeled="50%", others="left out", seed=seed)
        cases = read_cohort(tmp_path / "out").cases
        assert len(cases) == 2 and all(case.annotated_slices == (7,) for case in cases)
        names |= {case.name for case in cases}
    assert len(names) == 3
    assert refusal(sparsify, dense_cohort, tmp_path / "none", "all", False, "4").code == "too_few_cases"
    for labeled, others in (("many", "unlabeled"), ("0", "unlabeled"), ("1.5", "unlabeled"), ("1", "lost")):
        error = refusal(sparsify, dense_cohort, tmp_path / "none", "all", False, labeled, others)
        assert error.code == "bad_slices"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("slices", ["every:4", "suggested:2", "evenly:3", "consecutive:2", "15,7,14"])
def test_of_three_planes_exactly_the_voxels_of_the_listed_slices_are_kept(dense_cohort, tmp_path, monkeypatch, slices):
    monkeypatch.setattr(suggesting, "SuggestSettings", partial(SuggestSettings, side=32, steps=5, batch=8))
    assert sparsify(dense_cohort, tmp_path / "out", slices, planes=True) == {"cases": 3, "failed": []}
    for before, after in zip(read_cohort(dense_cohort).cases, read_cohort(tmp_path / "out").cases, strict=True):
        geometry = read_geometry(before.image)
        whole = read_label(before.label, geometry)
        expected = np.zeros_like(whole)
        for axis, number in [(2, number) for number in after.annotated_slices] + list(after.other_slices):
            to_slices(expected, axis)[number] = to_slices(whole, axis)[number]
            assert to_slices(expected, axis)[number].any()
        assert np.array_equal(read_label(after.label, geometry), expected) and after.axis == 2
        assert {axis for axis, _ in after.other_slices} == {0, 1}
        volume = load_case(after)
        assert np.array_equal(volume.label, expected) and volume.annotated == after.annotated_slices


def test_each_axis_has_its_own_share_of_its_own_slices(dense_cohort, tmp_path):
    sparsify(dense_cohort, tmp_path / "out", "every:4", planes=True)
    sparsify(dense_cohort, tmp_path / "one", "every:4")
    for before, after, one in zip(
        *(read_cohort(tmp_path / name).cases for name in ("dense", "out", "one")), strict=True
    ):
        whole = read_label(before.label, read_geometry(before.image))
        assert after.annotated_slices == one.annotated_slices and one.other_slices == ()
        for axis in (0, 1):
            labeled = tuple(np.flatnonzero(to_slices(whole, axis).any((1, 2))).tolist())
            kept = [number for along, number in after.other_slices if along == axis]
            assert kept == choose_slices("every:4", len(to_slices(whole, axis)), labeled, Random(0))


def test_three_planes_need_a_whole_label_and_a_choice(dense_cohort, tiny_cohort, tmp_path):
    error = refusal(sparsify, dense_cohort, tmp_path / "out", "all", False, "", "unlabeled", 0, True)
    assert error.code == "bad_slices" and not (tmp_path / "out").exists()
    summary = sparsify(tiny_cohort, tmp_path / "out", planes=True)
    assert [failure["code"] for failure in summary["failed"]] == ["sparse_label"] * 3


def test_slices_across_other_axes_are_forgotten_where_they_are_not_chosen(dense_cohort, tmp_path):
    sparsify(dense_cohort, tmp_path / "planes", "every:3", planes=True)
    sparsify(tmp_path / "planes", tmp_path / "out", "central")
    [case, *_] = read_cohort(tmp_path / "out").cases
    assert case.annotated_slices == (7,) and case.other_slices == ()
    label = read_label(case.label, read_geometry(case.image))
    assert np.flatnonzero(label.any((1, 2))).tolist() == [7]
