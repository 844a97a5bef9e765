"""Drawn slices travel through the volume: what must hold for every result, instant and refined."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms import StoppedAt, refusal

import sparseseg_trainer.propagate as propagate_job
from sparseseg_trainer.cohort import Case, load_case, read_cohort, write_cohort
from sparseseg_trainer.errors import Cancelled
from sparseseg_trainer.metrics import measure
from sparseseg_trainer.propagate import PropagateSettings, propagate, propagate_case, propagate_file
from sparseseg_trainer.propagation import soft_dice
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparse_volume import SparseVolume
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.volumes import Geometry, read_image, read_label

INSTANT = PropagateSettings(quality="instant")


def dice(label, reference) -> float:
    return measure(label > 0, reference > 0, (1.0, 1.0, 1.0)).dice


def drawn_cases(cohort):
    return [load_case(case) for case in read_cohort(cohort).cases]


def test_a_seed_that_pytorch_does_not_take_is_refused():
    assert refusal(partial(PropagateSettings, seed=2**64)).code == "bad_setting"


@pytest.mark.parametrize("quality", ["instant", "refined"])
def test_the_drawn_slice_comes_back_bit_identical_and_the_rest_resembles_the_truth(dense_cohort, tiny_cohort, quality):
    dense = load_case(read_cohort(dense_cohort).cases[0])
    volume = drawn_cases(tiny_cohort)[0]
    result = propagate_case(volume, PropagateSettings(quality=quality))
    [drawn] = volume.annotated
    assert np.array_equal(result.label[drawn], volume.label[drawn])
    assert dice(result.label, dense.label) > 0.75
    assert result.confidence.shape == (len(volume.image),)
    assert result.confidence[drawn] == 1 and ((result.confidence >= 0) & (result.confidence <= 1)).all()


def test_beyond_the_marked_ends_there_is_nothing(dense_cohort, tmp_path):
    sparsify(dense_cohort, tmp_path / "sparse", extents=True)
    volume = drawn_cases(tmp_path / "sparse")[1]
    label = propagate_case(volume, INSTANT).label
    assert not label[: volume.first].any() and not label[volume.last + 1 :].any()
    assert label[volume.first + 1].any() and label[volume.last - 1].any()


def test_the_outermost_slices_are_empty_unless_the_structure_reaches_them(tiny_cohort):
    volume = drawn_cases(tiny_cohort)[0]
    assert not propagate_case(volume, INSTANT).label[[0, -1]].any()
    volume.case.reaches_first = True
    assert not volume.absent()[0] and volume.absent()[-1]


def test_several_drawn_slices_all_come_back_as_drawn_and_make_the_result_better(dense_cohort, tmp_path):
    dense = load_case(read_cohort(dense_cohort).cases[2])
    scores = []
    for slices in ("central", "0.3,0.5,0.7"):
        sparsify(dense_cohort, tmp_path / slices, slices=slices)
        volume = drawn_cases(tmp_path / slices)[2]
        label = propagate_case(volume, INSTANT).label
        assert np.array_equal(label[list(volume.annotated)], dense.label[list(volume.annotated)])
        scores.append(dice(label, dense.label))
    assert scores[1] > scores[0]


def test_a_second_drawn_slice_changes_nothing_on_the_far_side_of_the_first_but_for_appearance(dense_cohort, tmp_path):
    from sparseseg_trainer.propagation import propagate_labels
    from sparseseg_trainer.registration import displacement_fields, shipped_network
    from sparseseg_trainer.working_grid import WorkingGrid

    dense = load_case(read_cohort(dense_cohort).cases[0])
    grid = WorkingGrid(dense.image, dense.label.any(0))
    register = partial(displacement_fields, shipped_network())
    labels = {index: grid.soft_label(dense.label[index], 1) for index in (7, 9)}
    one = propagate_labels(register, grid.slices, {7: labels[7]}).carried
    two = propagate_labels(register, grid.slices, labels).carried
    assert torch.allclose(one[:8], two[:8], atol=1e-4)
    assert not torch.allclose(one[8], two[8], atol=1e-4)


def test_two_runs_with_one_seed_on_the_cpu_are_equal(tiny_cohort, short_lessons):
    volume = drawn_cases(tiny_cohort)[0]
    first, second = (propagate_case(volume, PropagateSettings(seed=3, device="cpu")).label for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_slice_axis_can_be_chosen(dense_cohort, tmp_path, axis):
    cohort = read_cohort(dense_cohort)
    for case in cohort.cases:
        case.axis = axis
    write_cohort(dense_cohort, cohort.cases, cohort.labels)
    sparsify(dense_cohort, tmp_path / "sparse")
    case = read_cohort(tmp_path / "sparse").cases[0]
    volume = load_case(case)
    label = propagate_case(volume, INSTANT).label
    assert label.shape == volume.image.shape
    assert np.array_equal(label[volume.annotated[0]], volume.label[volume.annotated[0]])


def test_a_cohort_is_propagated_into_a_cohort_with_labels_confidence_and_report(tiny_cohort, tmp_path):
    summary = propagate(tiny_cohort, tmp_path / "out", INSTANT)
    assert summary["cases"] == 3 and summary["failed"] == []
    cohort = read_cohort(tmp_path / "out")
    assert [case.name for case in cohort.cases] == ["case0", "case1", "case2"]
    assert all(len(load_case(case).annotated) > 3 for case in cohort.cases)
    rows = list(csv.DictReader((tmp_path / "out/confidence.csv").read_text().splitlines()))
    assert len(rows) == 3 * 14 and rows[7] == {"case": "case0", "slice": "7", "confidence": "1.0"}
    assert json.loads((tmp_path / "out/report.json").read_text()) == summary


def test_the_instant_result_is_there_before_the_refined_one(files, short_lessons):
    heard, out = [], files / "whole.nrrd"
    geometry = read_image(files / "image.nrrd").geometry

    class Listening(Reporter):
        def result(self, **fields):
            heard.append((fields, read_label(out, geometry)))

    propagate_file(files / "image.nrrd", files / "label.nrrd", out, [7], reporter=Listening())
    [(told, instant)] = heard
    assert told["partial"] == "instant" and instant.any()
    assert told["confidence"][7] == 1 > min(told["confidence"])
    assert not np.array_equal(instant, read_label(out, geometry))


def test_a_cohort_is_never_propagated_into_its_own_folder(tiny_cohort):
    before = (tiny_cohort / "cohort.csv").read_bytes()
    assert refusal(propagate, tiny_cohort, tiny_cohort, INSTANT).code == "same_folder"
    assert (tiny_cohort / "cohort.csv").read_bytes() == before


def tube(size: int, radius: float, drawn: int) -> SparseVolume:
    """60 slices of ``size`` squared with a bright tube from end to end, drawn on one slice."""
    row, column = np.mgrid[:size, :size] - size / 2
    inside = np.broadcast_to(row**2 + column**2 <= radius**2, (60, size, size))
    noise = np.random.default_rng(0).normal(0, 0.03, inside.shape)
    label = np.zeros(inside.shape, np.uint8)
    label[drawn] = inside[drawn]
    case = Case("tube", Path("tube.nrrd"), reaches_first=True, reaches_last=True)
    image = (0.3 + 0.4 * inside + noise).astype(np.float32)
    geometry = Geometry((size, size, 60), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    return SparseVolume(case, image, label, (drawn,), None, None, 2, geometry, (1.0,) * 3, (1,))


@pytest.mark.parametrize("drawn", [0, 1, 59])
def test_a_structure_drawn_at_the_edge_of_the_volume_is_followed_inwards(drawn):
    volume = tube(40, 9, drawn)
    volume.case.reaches_first = volume.case.reaches_last = False
    label = propagate_case(volume, INSTANT).label
    assert label[[drawn, 10, 30, 45]].any((1, 2)).all()


def test_a_small_structure_in_a_large_image_is_followed_too():
    volume = tube(512, 6, 30)
    label = propagate_case(volume, INSTANT).label
    for index in (5, 20, 40, 55):
        assert dice(label[index : index + 1], volume.label[30:31]) > 0.8


def test_a_real_spinal_cord_is_followed_from_end_to_end(data_dir):
    folder = data_dir / "spinal_cord"
    case = Case("T1", folder / "t1w.nii.gz", folder / "t1w_seg-manual.nii.gz", reaches_first=True, reaches_last=True)
    dense = load_case(case)
    one = load_case(replace(case, annotated_slices=(len(dense.label) // 2,)))
    found = propagate_case(one, INSTANT).label
    assert dice(found, dense.label) > 0.75
    assert dice(found[:10], dense.label[:10]) > 0.6 and dice(found[-10:], dense.label[-10:]) > 0.6


def test_a_structure_that_reaches_both_ends_fills_the_volume():
    assert propagate_case(tube(40, 9, 30), INSTANT).label.any((1, 2)).all()


def test_without_the_assumption_of_absence_marked_ends_still_count():
    volume = tube(40, 9, 30)
    volume.case.reaches_first = volume.case.reaches_last = False
    volume.first = 20
    absent = volume.absent(absence=False)
    assert absent[:20].all() and not absent[20:].any()


def test_a_case_that_fails_is_listed_and_the_others_run(tiny_cohort, tmp_path):
    (tiny_cohort / "cohort.csv").write_text(
        (tiny_cohort / "cohort.csv").read_text() + "Ann,missing.nrrd,missing.nrrd,,,,,,,\n"
    )
    summary = propagate(tiny_cohort, tmp_path / "out", INSTANT)
    assert summary["cases"] == 3
    [failure] = summary["failed"]
    assert failure["case"] == "Ann" and "missing.nrrd" in failure["message"]


def test_a_case_that_the_memory_is_too_small_for_is_listed_and_the_others_run(tiny_cohort, tmp_path, monkeypatch):
    def short(volume, *arguments):
        if volume.case.name == "case1":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 bytes.")
        return propagate_case(volume, *arguments)

    monkeypatch.setattr(propagate_job, "propagate_case", short)
    summary = propagate(tiny_cohort, tmp_path / "out", INSTANT)
    assert [case.name for case in read_cohort(tmp_path / "out").cases] == ["case0", "case2"]
    [failure] = summary["failed"]
    assert (failure["case"], failure["code"]) == ("case1", "out_of_memory")
    assert "case1" in failure["message"] and "cpu" in failure["advice"]
    assert json.loads((tmp_path / "out/report.json").read_text()) == summary


def test_a_bug_in_one_case_is_not_taken_for_a_mistake_of_the_user(tiny_cohort, tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(propagate_job, "propagate_case", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        propagate(tiny_cohort, tmp_path / "out", INSTANT)


def test_a_cancelled_job_leaves_a_cohort_of_the_finished_cases(tiny_cohort, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        propagate(tiny_cohort, out, INSTANT, StoppedAt("case1"))
    [case] = read_cohort(out).cases
    assert case.name == "case0" and len(load_case(case).annotated) > 3
    rows = list(csv.DictReader((out / "confidence.csv").read_text().splitlines()))
    assert [row["case"] for row in rows] == ["case0"] * 14
    assert json.loads((out / "report.json").read_text())["cases"] == 1


def test_a_job_cancelled_before_its_first_result_leaves_earlier_results_as_they_are(tiny_cohort, tmp_path):
    out = tmp_path / "out"
    propagate(tiny_cohort, out, INSTANT)
    before = {name: (out / name).read_bytes() for name in ("cohort.csv", "confidence.csv", "report.json")}
    with pytest.raises(Cancelled):
        propagate(tiny_cohort, out, INSTANT, StoppedAt("case0"))
    assert {name: (out / name).read_bytes() for name in before} == before


def test_several_classes_never_overlap_and_keep_their_values(data_dir, tmp_path):
    cohort = read_cohort(data_dir / "hippocampus")
    write_cohort(tmp_path / "dense", cohort.cases[1:2], cohort.labels)
    sparsify(tmp_path / "dense", tmp_path / "sparse", slices="0.4,0.6")
    propagate(tmp_path / "sparse", tmp_path / "out", PropagateSettings(quality="instant", probabilities=True))
    result = load_case(read_cohort(tmp_path / "out").cases[0])
    dense = load_case(read_cohort(tmp_path / "dense").cases[0])
    assert set(np.unique(result.label)) == {0, 1, 2}
    for value in (1, 2):
        assert measure(result.label == value, dense.label == value, dense.spacing).dice > 0.4
    shares = [read_image(path).array for path in sorted((tmp_path / "out/probabilities").glob("*.nrrd"))]
    assert len(shares) == 2 and (sum(shares) <= 1 + 1e-4).all()


def test_a_case_may_lack_the_last_of_the_cohorts_labels(files):
    alone = load_case(Case("Ann", files / "image.nrrd", files / "many.nrrd", (6,)))
    of_three = replace(alone, values=(*alone.values, 300))
    assert np.array_equal(propagate_case(of_three, INSTANT).label, propagate_case(alone, INSTANT).label)


def test_the_spinal_cord_is_found_from_one_slice(data_dir, tmp_path):
    folder = data_dir / "spinal_cord"
    geometry = read_image(folder / "t2.nii.gz").geometry
    truth = read_label(folder / "t2_seg-manual.nii.gz", geometry)
    drawn = truth.shape[0] // 2
    one = propagate_file(
        folder / "t2.nii.gz", folder / "t2_seg-manual.nii.gz", tmp_path / "one.nrrd", [drawn], axis=2, settings=INSTANT
    )
    assert one["cases"] == 1
    assert dice(read_label(tmp_path / "one.nrrd", geometry), truth) > 0.6


def test_soft_dice_of_half_overlapping_masks_is_a_half():
    first, second = torch.tensor([1.0, 1, 0, 0]), torch.tensor([0.0, 1, 1, 0])
    assert soft_dice(first, second) == pytest.approx(0.5)
    assert soft_dice(torch.zeros(4), torch.zeros(4)) == 1
