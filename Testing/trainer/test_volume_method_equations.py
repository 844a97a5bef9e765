"""Losses of the semi-supervised comparison methods for volumes, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn

from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training.distances import distance, shape_loss, signed_distances
from sparseseg_trainer.training.loop import Run, Stage, Trainer
from sparseseg_trainer.training.methods import ss_net
from sparseseg_trainer.training.methods.dtc import disagreement, dual_task_loss
from sparseseg_trainer.training.methods.mc_net import mutual_consistency, mutual_loss, sharpened
from sparseseg_trainer.training.methods.sassnet import adversarial_loss, fooling, judging
from sparseseg_trainer.training.methods.urpc import pyramid_consistency, pyramid_loss
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import Consistency, TrainSettings, Volumetric
from sparseseg_trainer.training.teaching import Lesson
from sparseseg_trainer.training.volume_heads import Decoders, DistanceHead, Judged, Prototypes, Pyramid

SHAPE = NetworkShape(0, 2, 4, 1, 1, "vnet", (16, 16, 16))
LN3 = math.log(3)


def logits(*foreground: float) -> torch.Tensor:
    """Logits (1, 2, 1, 1, voxels) whose softmax has these probabilities of the one class."""
    values = torch.tensor(foreground).view(1, 1, 1, 1, -1)
    return torch.cat([1 - values, values], 1).log()


def settings(**volumetric) -> TrainSettings:
    """Consistency is ramped up within 0.8 of the training: exp(-1.25) after 0.4."""
    how = Consistency(ramp=0.8)
    return resolve(TrainSettings(preset="paper", consistency=how, volumetric=Volumetric(**volumetric)))


def lesson(*labels: int, done: float = 1.0) -> Lesson:
    """One labelled patch of a row of voxels and one unlabelled."""
    images = torch.zeros(2, 1, 1, 1, len(labels))
    known = torch.tensor(labels, dtype=torch.uint8).view(1, 1, 1, -1)
    return Lesson(images, known, nn.Identity(), done, torch.Generator().manual_seed(0))


class Answering(nn.Module):
    """Stands for a network whose ``answers`` are given."""

    def __init__(self, *answers):
        super().__init__()
        self.given = answers

    def answers(self, images):
        return self.given


def test_distances_are_those_of_scipy():
    target = torch.rand(2, 12, 17, 9, generator=torch.Generator().manual_seed(0)) < 0.02
    expected = np.stack([distance_transform_edt(~one) for one in target.numpy()])
    assert distance(target).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_signed_distance_map_is_negative_inside_0_on_the_boundary_and_1_farthest_away():
    # Inside, the middle of the five is 3 from the background; outside, the first voxel is 3 from the class.
    labels = torch.tensor([0, 0, 0, 2, 2, 2, 2, 2, 0, 1]).view(1, 1, 1, -1)
    first, second = signed_distances(labels, 2)[0, :, 0, 0]
    assert second.tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0, -2 / 3, -1, -2 / 3, 0, 1 / 3, 2 / 3])
    assert first.tolist() == pytest.approx([1, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9, 0])


def test_a_class_that_is_nowhere_is_far_away_everywhere():
    labels = torch.ones(1, 2, 3, 4, dtype=torch.uint8)
    everywhere, nowhere = signed_distances(labels, 2)[0]
    assert (everywhere == -1).all() and (nowhere == 1).all()


def test_the_shape_loss_is_dice_plus_the_weighted_error_of_the_distance_map():
    # Labels 0 1 1 1 have the map 1 0 -1 -... : distances inside 1 2 3 of at most 3, so 0 -2/3 -1.
    labels = torch.tensor([0, 1, 1, 1]).view(1, 1, 1, -1)
    maps = torch.tensor([0.5, 0, 0, -1]).view(1, 1, 1, 1, -1)
    dice = 1 - (2 * (0.5 + 1 + 1) + 1) / (2.75 + 3 + 1)
    loss = shape_loss(logits(0.25, 0.5, 1.0, 1.0), maps, labels, 0.3)
    assert loss.item() == pytest.approx(dice + 0.3 * (0.25 + 4 / 9) / 4, rel=1e-5)


def test_the_insides_of_a_distance_map_are_a_steep_sigmoid():
    # sigmoid(-2 z) of z = ln(3) / 2 and 0: 1/4 and 1/2, against 0.6 and 0.7
    maps = torch.tensor([LN3 / 2, 0.0]).view(1, 1, 1, 1, 2)
    assert disagreement(logits(0.6, 0.7), maps, 2.0).item() == pytest.approx((0.35**2 + 0.2**2) / 2)


def test_dual_task_consistency_holds_on_labelled_and_unlabelled_patches_and_is_ramped_up():
    batch = lesson(1, 0, done=0.4)
    both = torch.cat([logits(0.5, 0.5), logits(0.8, 0.5)])
    maps = torch.tensor([0, 0, 0, LN3 / 2]).view(2, 1, 1, 1, 2)  # half inside, the last voxel a quarter
    # the map of 1 0 is 0 1, as the only voxel inside is on the boundary
    supervised = 1 - (2 * 0.5 + 1) / (1 + 1 + 1) + 0.3 * (0 + 1) / 2
    loss = dual_task_loss(settings(dual_task=2.0, steepness=2.0), Answering(both, maps), batch)
    assert loss.item() == pytest.approx(supervised + 2 * math.exp(-1.25) * (0.3**2 + 0.25**2) / 4, rel=1e-5)


def test_pyramid_levels_that_agree_cost_nothing():
    assert pyramid_consistency([logits(0.3, 0.9)] * 4).item() == pytest.approx(0, abs=1e-6)


def test_pyramid_consistency_trusts_levels_near_the_mean():
    # Two levels, 0.2 and 0.6 at one voxel and 0.5 both at the other; the mean is 0.4.
    def kl(p, q):
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    terms = []
    for level in (0.2, 0.6):
        far = kl(0.4, level)
        trust = math.exp(-far), 1.0
        terms.append((0.2**2 * trust[0] / 2) / (sum(trust) / 2) + far / 2)
    found = pyramid_consistency([logits(0.2, 0.5), logits(0.6, 0.5)])
    assert found.item() == pytest.approx(sum(terms) / 2, rel=1e-5)


def test_the_pyramid_loss_supervises_every_level_and_is_consistent_without_labels_alone():
    levels = [torch.cat([logits(0.5), logits(0.2)]), torch.cat([logits(0.8), logits(0.6)])]
    consistency = pyramid_consistency([logits(0.2), logits(0.6)]).item()

    def supervised(p):
        return 0.5 * (1 - (2 * p + 1) / (p + 2) - math.log(p))

    loss = pyramid_loss(settings(), Answering(*levels), lesson(1, done=0.4)).item()
    both = (supervised(0.5) + supervised(0.8)) / 2
    assert loss == pytest.approx(both + 0.1 * math.exp(-1.25) * consistency, rel=1e-5)


def test_a_pyramid_can_be_trained_where_a_level_is_quite_sure():
    sure = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1, 1).requires_grad_()
    pyramid_consistency([sure, logits(0.5)]).backward()
    assert sure.grad.isfinite().all()


def test_sharpening_raises_probabilities_to_the_power_of_1_over_the_temperature():
    # three classes 0.2 0.3 0.5 with T = 1/2: squares 4 9 25 of 38
    probability = torch.tensor([0.2, 0.3, 0.5]).view(1, 3, 1, 1, 1)
    assert sharpened(probability.log(), 0.5).flatten().tolist() == pytest.approx([4 / 38, 9 / 38, 25 / 38])


def test_each_decoder_is_drawn_to_the_others_sharpened_answers():
    # T = 1/2: 0.5 stays, 0.75 -> 9/10, 0.25 -> 1/10
    two = [logits(0.5), logits(0.75)]
    assert mutual_consistency(two, 0.5).item() == pytest.approx((0.5 - 0.9) ** 2 + (0.75 - 0.5) ** 2, rel=1e-5)
    others = (0.5 - 0.1) ** 2 + (0.75 - 0.1) ** 2 + (0.25 - 0.5) ** 2 + (0.25 - 0.9) ** 2
    three = mutual_consistency([*two, logits(0.25)], 0.5).item()
    assert three == pytest.approx(0.4**2 + 0.25**2 + others, rel=1e-5)


def test_the_mutual_loss_is_half_the_dice_losses_plus_the_consistency_of_all_patches():
    decoders = [torch.cat([logits(0.5), logits(0.5)]), torch.cat([logits(0.75), logits(0.5)])]
    dice = (1 - 2 / 2.5) + (1 - 2.5 / 2.75)
    consistency = (0.4**2 + 0.25**2) / 2  # the mean over both patches; they agree on the second
    loss = mutual_loss(settings(temperature=0.5, mutual=2.0), Answering(*decoders), lesson(1, done=0.4))
    assert loss.item() == pytest.approx(0.5 * dice + 2 * math.exp(-1.25) * consistency, rel=1e-5)


class Sum(nn.Module):
    """A discriminator that believes "labelled" by the sum of a map, times its one weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, maps, images):
        verdict = self.weight * maps.flatten(1).sum(1)
        return torch.stack([torch.zeros_like(verdict), verdict], 1)


def test_fooling_the_discriminator_moves_the_maps_alone_and_judging_the_discriminator_alone():
    discriminator, maps = Sum(), torch.full((2, 1, 1, 1, 1), LN3).requires_grad_()
    images = torch.zeros_like(maps)
    fooled = fooling(discriminator, maps[1:], images[1:])  # believed "labelled" with 3/4
    fooled.backward()
    assert fooled.item() == pytest.approx(math.log(4 / 3))
    assert maps.grad.flatten().tolist() == pytest.approx([0, -0.25]) and discriminator.weight.grad is None

    maps.grad = None
    judged = judging(discriminator, maps, images, 1)  # the first is labelled, the second is not
    judged.backward()
    assert judged.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert maps.grad is None and discriminator.weight.grad.item() == pytest.approx((-0.25 + 0.75) * LN3 / 2)


def test_the_adversarial_loss_weighs_the_fooling_and_not_the_discriminators_own_loss():
    network = Answering(torch.cat([logits(0.5), logits(0.5)]), torch.tensor([0.0, LN3]).view(2, 1, 1, 1, 1))
    network.rival = Sum()
    # The labelled patch is one voxel of class 1: inside everywhere, so its map is -1.
    supervised = 1 - 2 / 2.5 + 0.3 * 1
    own = (math.log(2) + math.log(4)) / 2
    loss = adversarial_loss(settings(adversarial=0.2), network, lesson(1, done=0.4))
    assert loss.item() == pytest.approx(supervised + 0.2 * math.exp(-1.25) * math.log(4 / 3) + own, rel=1e-5)


class Rivals(nn.Module):
    def __init__(self):
        super().__init__()
        self.own, self.rival = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.own.weight), nn.init.zeros_(self.rival.weight)


def test_a_rival_learns_by_adam_at_its_own_rate(tmp_path):
    # Gradients -3 and 0.5: SGD with rate 1 goes 3 up, Adam's first step is its rate, downwards.
    how = Volumetric(rival_rate=0.002)
    resolved = resolve(TrainSettings(optimizer="sgd", schedule="constant", weight_decay=0.0, volumetric=how))
    run = Run(None, resolved, torch.device("cpu"), tmp_path, Reporter(), [])

    def loss(network, *_):
        return 0.5 * network.rival.weight.sum() - 3 * network.own.weight.sum()

    trainer = Trainer(run, Stage("s", Rivals(), 1, 1.0, lambda *_: [None], loss, 1))
    trainer.train_epoch(lambda part: None)
    assert trainer.network.own.weight.item() == pytest.approx(3)
    assert trainer.network.rival.weight.item() == pytest.approx(-0.002, rel=1e-4)


@pytest.mark.parametrize("patch", [(16, 16, 16), (8, 32, 16)])
@pytest.mark.parametrize(
    ("network", "loss", "count"),
    [
        (DistanceHead, dual_task_loss, 2),
        (Judged, adversarial_loss, 2),
        (Pyramid, pyramid_loss, None),
        (partial(Decoders, count=3), mutual_loss, 3),
        (partial(Prototypes, count=8), ss_net.smooth_separated_loss, 2),
    ],
    ids=["dtc", "sassnet", "urpc", "mc_net", "ss_net"],
)
def test_what_a_network_learns_beside_the_labels_reaches_every_part_of_it(network, loss, count, patch):
    shape, generator = replace(SHAPE, patch=patch), torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network(shape)
    images = torch.rand(3, 1, *patch, generator=generator)
    labels = (images[:2, 0] * 3).to(torch.uint8)
    answers = network.answers(images)
    assert len(answers) == (count or min(4, len(shape.strides())))
    assert torch.equal(answers[0], network(images))  # the V-Net alone answers as the whole does
    for _ in range(2):  # in the first step there are no prototypes yet
        loss(settings(), network, Lesson(images, labels, network, 1.0, generator)).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
