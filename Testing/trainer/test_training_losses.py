"""The losses, weights and fusion of osman2024, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sparseseg_trainer.training import supervised
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.fusion import blend, fuse, mark_disagreement
from sparseseg_trainer.training.losses import (
    collaborative_loss,
    cross_entropy,
    dice_loss,
    pseudo_label_weight,
    segmentation_loss,
)
from sparseseg_trainer.training.methods import central_only, collaborative

LN2 = math.log(2)
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


# Dice loss of slices of 32 x 32 pixels, of which so many have the class: 1 - (n + 1) / (512 + n + 1)
HALF, FIFTH = 511, 127  # 1 - 1/2, 1 - 1/5


def slices(*counts: int) -> torch.Tensor:
    """Label maps (B, 32, 32) with these numbers of pixels of the class."""
    return torch.stack([(torch.arange(1024) < count).view(32, 32) for count in counts]).to(torch.uint8)


def undecided(images: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(images), 2, 32, 32)


@pytest.fixture
def stage_of(views_run, monkeypatch):
    """The stage that ``train`` of a method's ``module`` hands to ``train_stage``, in a training with these settings."""

    def captured(module, train, **settings):
        stages = []
        monkeypatch.setattr(module, "train_stage", lambda run, stage: stages.append(stage))
        plain = Augmentation()
        views_run.settings = replace(
            views_run.settings, augmentation=plain, target_augmentation=plain, warm_start=False, **settings
        )
        train()
        return stages[0]

    return captured


def test_the_semi_supervised_networks_loss_is_that_of_drawn_slices_plus_alpha_times_that_of_its_own_labels(
    views_run, stage_of, monkeypatch
):
    data, generator = views_run.data, torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        collaborative, "predicted", lambda run, network, numbers: slices(FIFTH).expand(len(numbers), -1, -1)
    )
    data.labels[:] = slices(HALF)
    schedule = {"semi_epochs": 6, "K1": 1, "K2": 5, "alpha_f": 2.0, "gamma": 0.25}
    stage = stage_of(collaborative, lambda: collaborative._train_semi(views_run, "semi", 1.0), **schedule)
    drawn, own = 1 / 2 + 0.25 * LN2, 4 / 5 + 0.25 * LN2
    for epoch, alpha in [(0, 0), (1, 0), (2, 0.5), (4, 1.5), (5, 2)]:
        for batch in stage.epoch_batches(epoch, None, generator):
            assert stage.batch_loss(undecided, batch, generator).item() == pytest.approx(drawn + alpha * own)


def test_drawn_slices_and_own_labels_count_as_means_of_their_own(views_run, stage_of):
    stage = stage_of(collaborative, lambda: collaborative._train_semi(views_run, "semi", 1.0), gamma=0.25)
    views_run.data.labels[:2] = slices(HALF, FIFTH)
    batch = torch.tensor([0, 1]), torch.tensor([3, 4, 5]), slices(FIFTH, FIFTH, HALF), 3.0
    loss = stage.batch_loss(undecided, batch, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx((1 / 2 + 4 / 5) / 2 + 0.25 * LN2 + 3 * ((4 / 5 * 2 + 1 / 2) / 3 + 0.25 * LN2))


def test_the_target_networks_loss_has_the_settings_beta_and_both_gammas_where_equations_6_and_7_have_them(
    views_run, stage_of
):
    certain, uncertain = slices(HALF)[0].flatten(), slices(FIFTH)[0].flatten().flip(0)
    fused = (certain + 101 * uncertain).view(1, 32, 32).expand(len(views_run.data.labels), -1, -1)
    weights = {"beta": 0.5, "gamma_certain": 2.0, "gamma_uncertain": 3.0, "uncertain": "weighted"}
    stage = stage_of(collaborative, lambda: collaborative.train_target(views_run, None, fused), **weights)
    loss = stage.batch_loss(undecided, torch.tensor([0, 3]), torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(1 / 2 + 2 * LN2 + 0.5 * (4 / 5 + 3 * LN2))


@pytest.mark.parametrize("gamma", [0.0, 0.25, 2.0])
def test_a_baselines_loss_is_dice_plus_gamma_as_set_times_cross_entropy(views_run, stage_of, gamma):
    stage = stage_of(supervised, lambda: central_only.train(views_run), gamma=gamma)
    views_run.data.labels[:2] = slices(HALF, FIFTH)
    loss = stage.batch_loss(undecided, torch.tensor([0, 1]), torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx((1 / 2 + 4 / 5) / 2 + gamma * LN2)
