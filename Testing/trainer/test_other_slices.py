"""Slices drawn across a volume's other axes: on the working grid, in the losses, and where they are not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantoms import Warnings, refusal

import sparseseg_trainer.training.methods.dense_voxnet as dense_voxnet
from sparseseg_trainer.cohort import Case, load_case, read_cohort, write_cohort
from sparseseg_trainer.cohort_grid import pad, uncropped, working_lines
from sparseseg_trainer.propagate import PropagateSettings, propagate
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparse_volume import SparseVolume
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.drawings import known_lines, working_label
from sparseseg_trainer.training.loop import Run
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings, Volumetric
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.volumetric import draw_patches, known_voxels
from sparseseg_trainer.volumes import Geometry, read_image

OTHERS = ((0, 14), (1, 16))  # a column and a row of each slice of 32 x 28


@pytest.fixture
def crossed_cohort(dense_cohort, tmp_path) -> Path:
    """Three volumes with a slice drawn along each axis: slice 7 of 14, row 16 of 32 and column 14 of 28."""
    source = read_cohort(dense_cohort)
    cases = [replace(case, annotated_slices=(7,), axis=2, other_slices=OTHERS) for case in source.cases]
    write_cohort(tmp_path / "crossed", cases, source.labels)
    return tmp_path / "crossed"


def without_others(cohort: Path) -> Path:
    """The same cohort with the slices along its own axis alone."""
    source = read_cohort(cohort)
    cases = [replace(case, other_slices=()) for case in source.cases]
    write_cohort(cohort.with_name("uncrossed"), cases, source.labels)
    return cohort.with_name("uncrossed")


def quick(method: str) -> TrainSettings:
    how = Volumetric(patch=(16, 32, 32), planes=2, planes_epochs=1.0)
    sizes = {"width": 4, "depth": 1, "batch": 2, "steps": 1, "baseline_epochs": 1, "epochs": 1}
    return TrainSettings(method, "fast", device="cpu", volumetric=how, **sizes)


def run_on(cohort: Path, folder: Path, how: Augmentation, patch=(8, 16, 16)) -> Run:
    settings = replace(quick("dense_voxnet"), augmentation=how, volumetric=Volumetric(patch=patch, quarter_turns=True))
    data = prepare(read_cohort(cohort), folder / "cache", 0, Reporter())
    return Run(data, resolve(settings), torch.device("cpu"), folder, Reporter(), [])


def drawn_volume(rows: int, columns: int, *others: tuple[int, int], annotated=()) -> SparseVolume:
    """Two slices whose classes are 1 in the upper half of the rows and 2 in the lower, where drawn."""
    whole = np.zeros((2, rows, columns), np.uint8)
    whole[:, : rows // 2], whole[:, rows // 2 :] = 1, 2
    label = np.zeros_like(whole)
    label[list(annotated)] = whole[list(annotated)]
    for dimension, index in others:
        np.moveaxis(label, dimension, 0)[index] = np.moveaxis(whole, dimension, 0)[index]
    geometry = Geometry((columns, rows, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    image, case = np.zeros(whole.shape, np.float32), Case("Ann", Path("image.nrrd"))
    return SparseVolume(case, image, label, annotated, None, None, 2, geometry, (1.0, 1.0, 1.0), (1, 2), others)


@given(count=st.integers(1, 60), size=st.integers(1, 60), data=st.data())
def test_a_row_of_the_image_is_shown_by_its_own_rows_of_the_working_grid(count, size, data):
    index = data.draw(st.integers(0, count - 1))
    lines = working_lines(index, count, size)
    assert lines and 0 <= lines[0] <= lines[-1] < size and lines == list(range(lines[0], lines[-1] + 1))
    if size == count:
        assert lines == [index]
    if size >= count:  # every row of the finer grid shows one row of the image
        assert sorted(line for row in range(count) for line in working_lines(row, count, size)) == list(range(size))
    else:
        assert lines[0] <= (index + 0.5) * size / count <= lines[0] + 1


def test_on_a_coarser_grid_a_drawn_row_is_the_row_that_contains_it_and_a_column_has_the_larger_share():
    volume = drawn_volume(12, 8, (1, 4), (2, 5))
    label = working_label(volume, (4, 4))
    assert known_lines(volume, (4, 4), (16, 16)) == [(1,), (2,)]
    expected = np.zeros((2, 4, 4), np.uint8)
    expected[:, 1] = 1  # rows 3 to 5 of the image, of which 4 is drawn
    expected[:, :, 2] = [1, 1, 2, 2]  # columns 4 and 5, three rows a pixel
    assert np.array_equal(label, expected)


def test_on_a_finer_grid_a_drawn_row_is_all_rows_that_lie_in_it():
    volume = drawn_volume(4, 8, (1, 2), annotated=(1,))
    label = working_label(volume, (12, 8))
    assert known_lines(volume, (12, 8), (16, 16)) == [(6, 7, 8), ()]
    assert (label[0, 6:9] == 2).all() and not label[0, :6].any() and not label[0, 9:].any()
    assert label[1, :, 0].tolist() == [1] * 6 + [2] * 6  # a whole drawn slice


def test_a_row_in_the_border_that_the_working_grid_crops_is_not_known():
    volume = drawn_volume(40, 8, (1, 1), (1, 4), (1, 38), (2, 0))
    assert uncropped((40, 8), (32, 16)) == (slice(4, 36), slice(0, 8))
    assert known_lines(volume, (40, 8), (32, 16)) == [(0,), (0,)]
    label = pad(working_label(volume, (40, 8)), (32, 16))
    assert label.shape == (2, 32, 16) and (label[:, 0, 4:12] == 1).all() and not label[:, 1:, 5:].any()


def test_the_prepared_cohort_holds_the_labels_of_all_drawn_slices_and_knows_where(crossed_cohort, tmp_path):
    data = prepare(read_cohort(crossed_cohort), tmp_path / "cache", 0, Reporter())
    for case, prepared in zip(read_cohort(crossed_cohort).cases, data.cases, strict=True):
        assert (prepared.annotated, prepared.rows, prepared.columns, prepared.dense) == ((7,), (16,), (14,), False)
        label, known = data.volume(data.labels, prepared).numpy(), known_voxels(data, prepared).numpy()
        assert np.array_equal(label, load_case(case).label)
        expected = np.zeros_like(known)
        expected[list(prepared.absent)] = expected[7] = expected[:, 16] = expected[:, :, 14] = True
        assert np.array_equal(known, expected) and label[~known].sum() == 0
        assert label[5, 16].any() and label[5, :, 14].any()


def test_a_cohort_without_such_slices_is_prepared_as_before_and_one_with_other_ones_anew(crossed_cohort, tmp_path):
    def prepared(others):
        cohort = read_cohort(crossed_cohort)
        cohort.cases = [replace(case, other_slices=others) for case in cohort.cases]
        return prepare(cohort, tmp_path / "cache", 0, Reporter())

    without, one, two = prepared(()), prepared(OTHERS[:1]), prepared(OTHERS)
    assert len({without.fingerprint, one.fingerprint, two.fingerprint}) == 3
    assert (
        without.fingerprint
        == prepare(read_cohort(without_others(crossed_cohort)), tmp_path / "cache", 0, Reporter()).fingerprint
    )
    assert without.labels.shape == two.labels.shape
    assert two.labels.count_nonzero() > one.labels.count_nonzero() > without.labels.count_nonzero() > 0


def test_every_patch_shows_a_slice_drawn_across_any_axis_and_knows_its_voxels(crossed_cohort, tmp_path):
    cohort = read_cohort(crossed_cohort)
    cohort.cases = [replace(case, annotated_slices=()) for case in cohort.cases]
    write_cohort(crossed_cohort, cohort.cases, cohort.labels)
    run = run_on(crossed_cohort, tmp_path, Augmentation(flip=True))
    run.data.forget_absence()
    _, _, known = draw_patches(run, run.data.cases, 40, torch.Generator().manual_seed(0), drawn_on=True)
    across = torch.stack([known.all(1).all(3 - axis).any(1) for axis in (1, 2)])  # of a patch's rows, and columns
    assert known.flatten(1).any(1).all() and across.any(0).all() and across.any(1).all()


@pytest.mark.parametrize("how", [Augmentation(flip=True), Augmentation(rotation=20, scale=0.15, shift=0.05)])
def test_known_voxels_of_other_slices_are_moved_with_the_image_and_keep_their_labels(crossed_cohort, tmp_path, how):
    run = run_on(crossed_cohort, tmp_path, how, patch=(16, 32, 32))
    run.data.labels = (run.data.images > 90).to(torch.uint8)
    run.settings = replace(run.settings, volumetric=replace(run.settings.volumetric, quarter_turns=False))
    for case in run.data.cases:
        run.data.volume(run.data.labels, case)[~known_voxels(run.data, case)] = 0
    images, labels, known = draw_patches(run, run.data.cases, 12, torch.Generator().manual_seed(0))
    right = labels[known] == (images[:, 0][known] * 255 > 90.5)
    assert right.float().mean() > (0.999 if how.flip else 0.9)
    assert not labels[~known].any() and 0.05 < labels[known].float().mean() < 0.95
    one = known[:, 5]  # a slice of which a row and a column are known, as long lines however they are turned
    assert (one.flatten(1).sum(1) > 40).all() and (one.flatten(1).sum(1) < 90).all()


def test_dense_voxnet_learns_from_the_voxels_of_all_drawn_slices_and_from_no_others(
    crossed_cohort, tmp_path, monkeypatch
):
    stages, run = [], run_on(crossed_cohort, tmp_path, Augmentation(rotation=20, flip=True))
    monkeypatch.setattr(dense_voxnet, "train_stage", lambda run, stage: stages.append(stage) or stage.network)
    network, drawn = dense_voxnet.train(run), run.data.labels
    unknown = torch.ones_like(drawn, dtype=torch.bool)
    for case in run.data.cases:
        run.data.volume(unknown, case)[known_voxels(run.data, case)] = False

    def loss(labels):
        run.data.labels = labels
        with torch.no_grad():
            return stages[0].batch_loss(network, None, torch.Generator().manual_seed(3)).item()

    assert loss(drawn) == loss(drawn.masked_fill(unknown, 1)) > 0
    for dimension, index in ((1, 16), (2, 14)):
        other = drawn.clone()
        for case in run.data.cases:
            run.data.volume(other, case).movedim(dimension, 0)[index, [2, 3, 4, 5, 9, 10, 11]] = 1
        assert loss(other) != loss(drawn)


@pytest.mark.parametrize("method", ["dense_voxnet", "representative", "partial"])
def test_networks_of_volumes_learn_from_them_and_say_nothing(crossed_cohort, tmp_path, method):
    log = Warnings()
    summary = train(crossed_cohort, tmp_path / "model", quick(method), log)
    assert log.messages == [] and summary["cases"] == 3
    assert "3 volumes with 9 labeled slices" in (tmp_path / "model/README.md").read_text()


def test_a_method_of_slices_warns_once_and_learns_as_if_they_were_not_there(crossed_cohort, tmp_path):
    log = Warnings()
    train(crossed_cohort, tmp_path / "model", quick("central_only"), log)
    [message] = log.messages
    assert (
        message == "The method central_only uses slices along each volume's own axis only: other_slices are left out."
    )
    train(without_others(crossed_cohort), tmp_path / "other", quick("central_only"), log)
    assert len(log.messages) == 1
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("model", "other")]
    assert weights[0] == weights[1]


def test_propagation_warns_once_and_carries_the_slices_along_the_axis_alone(crossed_cohort, tmp_path):
    log, instant = Warnings(), PropagateSettings("instant", device="cpu")
    assert propagate(crossed_cohort, tmp_path / "out", instant, log)["cases"] == 3
    assert len(log.messages) == 1 and log.messages[0].startswith("Propagation uses slices along")
    propagate(without_others(crossed_cohort), tmp_path / "other", instant, log)
    for case, other in zip(*(read_cohort(tmp_path / name).cases for name in ("out", "other")), strict=True):
        assert case.other_slices == () and case.annotated_slices is None
        assert np.array_equal(read_image(case.label).array, read_image(other.label).array)


def test_a_case_drawn_across_other_axes_alone_is_refused_where_they_are_not_used(crossed_cohort, tmp_path):
    cohort = read_cohort(crossed_cohort)
    cohort.cases[1].annotated_slices = ()
    write_cohort(crossed_cohort, cohort.cases, cohort.labels)
    summary = propagate(crossed_cohort, tmp_path / "out", PropagateSettings("instant", device="cpu"))
    assert [failure["case"] for failure in summary["failed"]] == ["case1"] and summary["cases"] == 2
    assert "has no annotated slice" in summary["failed"][0]["message"]
    assert refusal(train, crossed_cohort, tmp_path / "model", quick("full")).code == "sparse_cohort"


def test_a_training_without_any_slice_along_its_own_axis_is_refused(crossed_cohort, tmp_path):
    cohort = read_cohort(crossed_cohort)
    cohort.cases = [replace(case, annotated_slices=()) for case in cohort.cases]
    write_cohort(crossed_cohort, cohort.cases, cohort.labels)
    error = refusal(train, crossed_cohort, tmp_path / "model", quick("dense_voxnet"))
    assert error.code == "nothing_drawn" and "along its own axis" in error.message
