"""The losses, weights and fusion of osman2024, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sparseseg_trainer.training.fusion import blend, fuse, mark_disagreement
from sparseseg_trainer.training.losses import (
    collaborative_loss,
    cross_entropy,
    dice_loss,
    pseudo_label_weight,
    segmentation_loss,
)

# Four pixels in a row; the network is sure of nothing: every class has probability one half.
UNDECIDED = torch.zeros(1, 2, 1, 4)


def labels(*values: int) -> torch.Tensor:
    return torch.tensor([[values]], dtype=torch.uint8)


def test_dice_loss_of_two_overlapping_masks():
    probability = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]]]])
    # 1 - (2 * 1 + 1) / (2 + 2 + 1)
    assert dice_loss(probability, target).item() == pytest.approx(0.4)


def test_dice_loss_is_zero_where_the_class_is_absent_and_not_predicted():
    assert dice_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 0


def test_dice_loss_is_the_mean_over_the_classes():
    probability = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    # class 1: 0; class 2: 1 - (0 + 1) / (0 + 1 + 1)
    assert dice_loss(probability, target).item() == pytest.approx(0.25)


def test_cross_entropy_of_an_undecided_network_is_the_logarithm_of_two():
    assert cross_entropy(UNDECIDED, labels(1, 0, 1, 0)).item() == pytest.approx(math.log(2))


def test_segmentation_loss_adds_gamma_times_cross_entropy():
    # Dice: 1 - (2 * 1 + 1) / (2 + 2 + 1)
    expected = 0.4 + 0.5 * math.log(2)
    assert segmentation_loss(UNDECIDED, labels(1, 1, 0, 0), gamma=0.5).item() == pytest.approx(expected)


def test_collaborative_loss_weights_uncertain_pixels_as_in_equation_7():
    fused = labels(1, 101, 0, 0)
    # certain: foreground is pixel 0: 1 - (2 * .5 + 1) / (2 + 1 + 1) = .5; uncertain: pixel 1, the same
    certain = 0.5 + 1.0 * math.log(2)
    uncertain = 0.5 + 0.1 * math.log(2)
    loss = collaborative_loss(UNDECIDED, fused, 0.5, 1.0, 0.1, "weighted")
    assert loss.item() == pytest.approx(certain + 0.5 * uncertain)


def test_a_slice_without_uncertain_pixels_has_the_certain_loss_alone():
    loss = collaborative_loss(UNDECIDED, labels(1, 1, 0, 0), 0.5, 1.0, 0.1, "weighted")
    assert loss.item() == pytest.approx(0.4 + math.log(2))


def test_ignored_pixels_add_nothing():
    # three pixels count: Dice 1 - (2 * .5 + 1) / (1.5 + 1 + 1); cross-entropy over the four pixels of the image
    expected = 1 - 2 / 3.5 + 0.75 * math.log(2)
    loss = collaborative_loss(UNDECIDED, labels(1, 101, 0, 0), 0.5, 1.0, 0.1, "ignored")
    assert loss.item() == pytest.approx(expected)


def test_uncertain_pixels_can_count_as_background():
    loss = collaborative_loss(UNDECIDED, labels(1, 101, 0, 0), 0.5, 1.0, 0.1, "background")
    assert loss.item() == pytest.approx(0.5 + math.log(2))


def test_trusted_pixels_count_as_their_class():
    loss = collaborative_loss(UNDECIDED, labels(1, 101, 0, 0), 0.5, 1.0, 0.1, "trusted")
    assert loss.item() == pytest.approx(0.4 + math.log(2))


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0), (49, 0), (50, 0), (75, 1.5), (100, 3), (140, 3)])
def test_the_weight_of_pseudo_labels_rises_from_k1_to_k2(epoch, weight):
    assert pseudo_label_weight(epoch, 50, 100, 3.0) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [("consistency", [0, 1, 101, 102, 101]), ("intersection", [0, 1, 0, 0, 0]), ("union", [0, 1, 1, 2, 1])],
)
def test_fusion_of_two_sets_of_pseudo_labels(fusion, expected):
    semi = torch.tensor([0, 1, 1, 0, 1], dtype=torch.uint8)
    propagated = torch.tensor([0, 1, 0, 2, 2], dtype=torch.uint8)
    assert fuse(semi, propagated, fusion).tolist() == expected


def test_a_blend_trusts_propagation_as_far_as_it_is_confident():
    semi, propagated = torch.zeros(3, 1, 1, 1), torch.ones(3, 1, 1, 1)
    shares = blend(semi, propagated, torch.tensor([1.0, 0.5, 0.0]))[:, 0, 0, 0]
    assert shares.tolist() == pytest.approx([0.6, 0.6 * 0.0625, 0.0])


def test_a_class_that_only_one_source_names_is_marked_as_uncertain():
    labels = torch.tensor([0, 1, 1, 1, 0], dtype=torch.uint8)
    semi = torch.tensor([0, 1, 1, 0, 1], dtype=torch.uint8)
    propagated = torch.tensor([0, 1, 0, 1, 0], dtype=torch.uint8)
    assert mark_disagreement(labels, semi, propagated).tolist() == [0, 1, 101, 101, 0]
