"""Prepared cohorts, augmentation and the choice of slices."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantoms import refusal

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.cohort_grid import choose_grid, match_brightness, pad, unpad
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training import data as data_module
from sparseseg_trainer.training import memory
from sparseseg_trainer.training.augmentation import Augmentation, augment
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.sampling import draw, mixed_batches


@pytest.fixture
def data(tiny_cohort, tmp_path):
    return prepare(read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())


def test_only_drawn_slices_have_labels_and_the_outermost_are_absent(data):
    labelled = torch.nonzero(data.labels.any(-1).any(-1))[:, 0]
    assert torch.equal(labelled, data.drawn)
    assert data.drawn.tolist() == [7, 21, 35]
    assert data.absent.tolist() == [0, 13, 14, 27, 28, 41]
    everything = torch.cat([data.drawn, data.absent, data.unknown]).sort().values
    assert torch.equal(everything, torch.arange(42))


def test_forgotten_absence_makes_the_outermost_slices_unknown(data):
    data.forget_absence()
    assert len(data.absent) == 0
    assert len(data.unknown) == 39


def test_a_second_preparation_reads_the_cache(tiny_cohort, tmp_path, data):
    stamp = (tmp_path / "cache/images.raw").stat().st_mtime_ns
    again = prepare(read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    assert (tmp_path / "cache/images.raw").stat().st_mtime_ns == stamp
    assert torch.equal(again.images, data.images)


def test_another_resolution_is_prepared_anew(tiny_cohort, tmp_path, data):
    coarse = prepare(read_cohort(tiny_cohort), tmp_path / "cache", 200, Reporter())
    assert coarse.grid.spacing > data.grid.spacing


def test_a_broken_case_is_listed_and_the_others_are_prepared(tiny_cohort, tmp_path):
    (tiny_cohort / "labels/case1.nrrd").write_bytes(b"not a label")
    data = prepare(read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    assert [case.name for case in data.cases] == ["case0", "case2"]
    assert data.failed[0].case == "case1"
    assert len(data.images) == len(data.labels) == data.cases[-1].stop == 28


def test_slices_are_counted_from_what_was_read(tiny_cohort, tmp_path):
    (tiny_cohort / "labels/case0.nrrd").write_bytes(b"not a label")
    broken = prepare(read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    assert broken.cases[0].start == 0
    assert broken.images[-1].any()


def test_a_cohort_of_broken_cases_is_refused(tiny_cohort, tmp_path):
    for file in (tiny_cohort / "labels").iterdir():
        file.write_bytes(b"not a label")
    error = refusal(prepare, read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    assert error.code == "no_case" and str(tiny_cohort / "labels/case0.nrrd") in error.message


def test_a_cohort_whose_files_are_all_missing_is_refused_and_says_which(tiny_cohort, tmp_path):
    shutil.rmtree(tiny_cohort / "labels")
    error = refusal(prepare, read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    assert error.code == "no_case" and str(tiny_cohort / "labels/case0.nrrd") in error.message


def test_a_full_disk_stops_the_preparation_and_leaves_no_cache(tiny_cohort, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(data_module, "to_working_grid", full)
    assert refusal(prepare, read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter()).code == "no_space"
    assert not list((tmp_path / "cache").iterdir())


def test_slices_that_fill_half_the_memory_stay_on_disk_and_are_not_counted(data, monkeypatch):
    cpu = torch.device("cpu")
    assert data.resident_bytes(cpu) == 2 * data.images.numel()
    monkeypatch.setattr(memory, "available_bytes", lambda device: 3 * data.images.numel())
    assert data.resident_bytes(cpu) == 0


def test_neighbours_come_from_the_same_case(data):
    first = data.batch(torch.tensor([14]), context=1)
    assert torch.equal(first[0, 0], first[0, 1])
    assert torch.equal(first[0, 2] * 255, data.images[15].float())


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)), shape=st.tuples(st.integers(40, 64), st.integers(40, 64))
)
def test_padding_is_undone(size, shape):
    slices = np.arange(2 * size[0] * size[1], dtype=np.float32).reshape(2, *size)
    assert np.array_equal(unpad(pad(slices, shape), size), slices)


@given(st.integers(2000, 40000))
def test_the_median_slice_has_about_the_wanted_pixels(pixels):
    grid = choose_grid([(300, 200)] * 3, [(0.5, 0.7)] * 3, pixels)
    rows, columns = grid.size(300, 200, (0.5, 0.7))
    assert rows * columns == pytest.approx(pixels, rel=0.05)


def test_brightness_is_matched_and_black_and_white_stay():
    image = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10) ** 3
    result = match_brightness(image)
    assert result.dtype == np.float32
    assert result.mean() == pytest.approx(0.35, abs=0.01)
    assert (result.min(), result.max()) == (0, 1)


def test_a_constant_volume_stays_as_it_is():
    assert not match_brightness(np.zeros((2, 3, 3), np.float32)).any()


def test_augmentation_moves_image_and_label_alike():
    square = torch.zeros(6, 48, 48, dtype=torch.uint8)
    square[:, 8:20, 10:30] = 1
    how = Augmentation(rotation=20, scale=0.2, shift=0.1, flip=True, elastic=0.03)
    images, labels = augment(square[:, None].float(), square, 1, how, torch.Generator().manual_seed(1))
    assert ((images[:, 0] > 0.5) == (labels == 1)).float().mean() > 0.995
    assert not torch.equal(labels, square)


def test_augmentation_keeps_the_coding_of_uncertain_labels():
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[:, 8:16], labels[:, 16:24] = 2, 101
    _, moved = augment(torch.rand(2, 1, 32, 32), labels, 2, Augmentation(rotation=10), torch.Generator())
    assert set(moved.unique().tolist()) == {0, 2, 101}


def test_a_curve_of_grey_values_keeps_black_and_white_and_the_order_between_them():
    grey = torch.linspace(0, 1, 256).repeat(8, 1).view(8, 1, 16, 16)
    changed, _ = augment(grey, torch.zeros(8, 16, 16), 1, Augmentation(curve=0.5), torch.Generator().manual_seed(0))
    ramps = changed.flatten(1)
    assert torch.allclose(ramps[:, 0], torch.tensor(0.0), atol=1e-5) and torch.allclose(ramps[:, -1], torch.tensor(1.0))
    assert (ramps.diff(dim=1) > 0).all() and (ramps[0] - ramps[1]).abs().max() > 0.05


def test_an_inverted_slice_has_dark_and_bright_exchanged_in_all_its_channels():
    images = torch.rand(2, 3, 8, 8)
    changed, _ = augment(images, torch.zeros(2, 8, 8), 1, Augmentation(inversion=1.0), torch.Generator())
    assert torch.allclose(changed, 1 - images, atol=1e-5)


def test_no_augmentation_changes_nothing():
    images, labels = torch.rand(2, 1, 16, 32), torch.randint(0, 2, (2, 16, 32), dtype=torch.uint8)
    same_images, same_labels = augment(images, labels, 1, Augmentation(), torch.Generator())
    torch.testing.assert_close(same_images, images, atol=1e-5, rtol=0)
    assert torch.equal(same_labels, labels)


def test_every_slice_comes_once_before_any_comes_again():
    drawn = draw(torch.arange(5), 12, torch.Generator())
    assert sorted(drawn[:5].tolist()) == sorted(drawn[5:10].tolist()) == [0, 1, 2, 3, 4]


def test_batches_have_the_wanted_shares():
    parts = [(torch.arange(10), 0.75), (torch.arange(10, 12), 0.25), (torch.arange(0), 0.5)]
    batches = mixed_batches(parts, 8, 3, torch.Generator())
    assert [int((batch >= 10).sum()) for batch in batches] == [2, 2, 2]


def test_a_small_batch_shows_the_first_parts():
    parts = [(torch.arange(10), 0.9), (torch.arange(10, 12), 0.1)]
    assert all((batch >= 10).tolist() == [False, True] for batch in mixed_batches(parts, 2, 3, torch.Generator()))
    assert all(batch < 10 for batch in mixed_batches(parts, 1, 3, torch.Generator()))
