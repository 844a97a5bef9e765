"""Carried labels corrected by appearance, and by the network that has learned how labels go wrong on their way."""

from __future__ import annotations

from functools import partial
from statistics import mean

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from sparseseg_trainer import correction_network
from sparseseg_trainer.case_propagation import CaseWork, PropagateSettings
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.correction import Combined, combined
from sparseseg_trainer.correction_network import (
    SHIPPED_CORRECTION,
    CorrectionNetwork,
    clues,
    mended,
    shipped_correction,
)
from sparseseg_trainer.ends import Taper
from sparseseg_trainer.known_slices import KnownSlices
from sparseseg_trainer.metrics import mask_dice
from sparseseg_trainer.propagation import Travelled
from sparseseg_trainer.registration import displacement_fields, shipped_network
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparse_volume import SparseVolume, load_case


def a_combination(slices: int = 9, rows: int = 20, columns: int = 24, classes: int = 2, shown: int = 2) -> Combined:
    """Random labels of so many classes, of which the drawn slice shows some; the first slice is absent."""
    probability = (3 * torch.randn(slices, classes + 1, rows, columns)).softmax(1)
    probability[0, 0], probability[0, 1:] = 1, 0
    label = probability[4].argmax(0)
    label[label > shown] = 0
    drawn = torch.nn.functional.one_hot(label, classes + 1).movedim(-1, 0).float()
    probability[4] = drawn
    absent = torch.arange(slices) == 0
    known = KnownSlices(torch.rand(slices, rows, columns), {4: drawn}, absent)
    distance = (torch.arange(slices) - 4).abs()
    travelled = Travelled(probability, torch.rand(slices), distance)
    evidence = torch.randn(slices, classes, rows, columns)
    return Combined(
        known, None, None, travelled, (Taper(0), Taper(None)), probability.clone(), evidence, probability.clone()
    )


def a_network(weight: float = 0.3) -> CorrectionNetwork:
    """One that changes much."""
    torch.manual_seed(0)
    network = CorrectionNetwork().eval()
    torch.nn.init.normal_(network.change[-1].weight, std=weight)
    return network


def test_the_weights_are_small_and_hold_numbers_only():
    assert sum(file.stat().st_size for file in SHIPPED_CORRECTION.parent.glob("*.safetensors")) < 5e6
    assert all(torch.isfinite(weights).all() for weights in load_file(SHIPPED_CORRECTION).values())
    assert SHIPPED_CORRECTION.name in (SHIPPED_CORRECTION.parent / "README.md").read_text(encoding="utf-8")


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), rows=st.integers(3, 40), slices=st.integers(5, 12), classes=st.integers(1, 3))
def test_drawn_and_absent_slices_stay_as_they_were_and_probabilities_sum_to_one(seed, rows, slices, classes):
    torch.manual_seed(seed)
    both = a_combination(slices, rows, rows + 3, classes, classes)
    result = mended(a_network(), both)
    assert torch.equal(result[[0, 4]], both.probability[[0, 4]])
    assert torch.allclose(result.sum(1), torch.ones_like(result[:, 0]), atol=1e-5)


def test_a_network_that_has_learned_nothing_changes_no_label():
    torch.manual_seed(0)
    both = a_combination()
    assert torch.equal(mended(CorrectionNetwork().eval(), both).argmax(1), both.probability.argmax(1))


def test_a_class_that_no_drawn_slice_shows_gains_and_loses_nothing_against_the_background():
    torch.manual_seed(0)
    both = a_combination(classes=2, shown=1)
    before, after = (label.clamp_min(0.01).log() for label in (both.probability, mended(a_network(), both)))
    open_slices = [1, 2, 3, 5, 6]
    same = (before[:, 2] - before[:, 0])[open_slices], (after[:, 2] - after[:, 0])[open_slices]
    certain = (both.probability[open_slices].amin(1) > 0.05) & (after[open_slices].exp().amin(1) > 0.02)
    assert certain.any() and torch.allclose(same[0][certain], same[1][certain], atol=1e-3)


def test_a_long_volume_is_looked_at_in_parts_with_nearly_the_same_result(monkeypatch):
    torch.manual_seed(0)
    both = a_combination(slices=90)
    network = a_network(0.05)
    parts = mended(network, both)
    monkeypatch.setattr(correction_network, "AT_ONCE", 100)
    assert (parts - mended(network, both)).abs().mean() < 0.01


def test_the_network_is_told_how_far_a_slice_is_from_the_end_and_whether_that_is_marked():
    both = a_combination()
    both.first = 1
    way, marked = clues(both, 1, (slice(0, 9), slice(0, 2), slice(0, 3)))[5:7, :, 0, 0]
    assert way.tolist() == [1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0]  # the structure leaves the volume at the last slice
    assert marked.tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("ends", [False, True])
def test_hippocampi_that_it_has_not_learned_from_gain_by_it_and_atria_lose_nothing(data_dir, ends):
    for data, gain in (("hippocampus", 0.01 if ends else 0.02), ("left_atrium", -0.01)):
        cases = sorted(read_cohort(data_dir / data).cases, key=lambda case: case.name)[::5]
        gains = [gained(load_case(case), ends) for case in cases[: 12 if data == "hippocampus" else 2]]
        assert mean(gains) > gain


def gained(dense: SparseVolume, ends: bool) -> float:
    """Dice with the network minus that without it, of the first label that the central slice shows."""
    middle, label = len(dense.label) // 2, np.zeros_like(dense.label)
    number = int(dense.label[middle].max())
    present = np.flatnonzero((dense.label == number).any((1, 2)))
    label[middle] = dense.label[middle] == number
    first, last = (int(present[0]), int(present[-1])) if ends else (None, None)
    volume = SparseVolume(
        dense.case, dense.image, label, (middle,), first, last, dense.axis, dense.geometry, dense.spacing, (1,)
    )
    work = CaseWork(volume, PropagateSettings(device="cpu"), Reporter())
    both = combined(partial(displacement_fields, shipped_network()), work.known, first, last)
    found = (both.probability, mended(shipped_correction(), both))
    before, after = (mask_dice(work.grid.full_label(one) > 0, dense.label == number) for one in found)
    return after - before
