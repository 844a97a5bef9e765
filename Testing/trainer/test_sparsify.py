"""Dense cohorts are made sparse without a trace of what is forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from sparseseg_trainer.cohort import load_case, read_cohort
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.slices import to_slices
from sparseseg_trainer.sparsify import choose_slices, sparsify
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
    ],
)
def test_slices_are_chosen_by_word_fraction_or_number(text, count, numbers):
    assert choose_slices(text, count, drawn=tuple(range(10, 20))) == numbers


@pytest.mark.parametrize("text", ["", "middle", "1/0", "3/2", "-1", "1;2", "evenly:", "evenly:0"])
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
