"""SS-Net (Wu et al., MICCAI 2022), its losses and prototypes against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.training.methods import ss_net
from sparseseg_trainer.training.settings import Consistency, TrainSettings, Volumetric
from sparseseg_trainer.training.teaching import Lesson
from sparseseg_trainer.training.volume_heads import Prototypes


class Slope(nn.Module):
    """A network with logits 0 and the sum of the patch's voxels, weighted, at every voxel."""

    def forward(self, images):
        weights = torch.arange(1.0, images.shape[-1] + 1)
        total = (images * weights).sum(-1, keepdim=True).expand(images.shape)
        return torch.cat([torch.zeros_like(images), total], 1)


def test_an_attack_goes_along_the_gradient_and_has_the_norm_asked_for():
    # The answer depends on x + 2 y alone, so the worst change is along (1, 2).
    images, target = torch.zeros(1, 1, 1, 1, 2), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 2)
    change = ss_net.attack(Slope(), images, target, torch.full((1, 1, 1, 1, 1), 0.1), torch.Generator().manual_seed(0))
    assert change.flatten().tolist() == pytest.approx([0.1 / 5**0.5, 0.2 / 5**0.5])


def test_roughness_is_the_dice_difference_under_the_attack():
    # Voxels -1 and 1 have the standard deviation sqrt(2), so radius 0.1 gives the norm 0.1 sqrt(2) sqrt(2) = 0.2.
    images = torch.tensor([-1.0, 1.0]).expand(3, 1, 1, 1, 2)  # three patches, all alike
    target = torch.tensor([0.75, 0.25]).view(1, 2, 1, 1, 1).expand(3, 2, 1, 1, 2)
    generator = torch.Generator().manual_seed(0)
    found = ss_net.roughness(Slope(), images, target, Volumetric(radius=0.1), generator)
    logit = 1 + 0.2 * 5**0.5
    p = 1 / (1 + math.exp(-logit))
    assert found.item() == pytest.approx(1 - 2 * (0.75 * (1 - p) + 0.25 * p) / 2, rel=1e-5)


def test_distances_to_prototypes_count_by_their_weights():
    embedded = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    prototypes = torch.tensor([[0.0, 3.0], [1.0, 0.0], [0.0, 0.0]])  # the last is not one yet
    # 1 - cosine: 1 0 for the first and 0 1 for the second. Weights 1 3 -> 0.5 1.5; 1 2 -> 1 2 (0) of the mean 1.
    weights, others = torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [2.0], [5.0]])
    found = ss_net.weighted_distance(embedded, prototypes, weights, others).item()
    assert found == pytest.approx((0.5 * 1 * 1 + 1.5 * 2 * 1) / 6)


def test_without_prototypes_nothing_is_separated():
    embedded = torch.tensor([[2.0, 0.0]]).requires_grad_()
    ss_net.weighted_distance(embedded, torch.zeros(3, 2), torch.ones(1, 1), torch.ones(3, 1)).backward()
    assert embedded.grad.tolist() == [[0, 0]]


def remembering() -> Prototypes:
    """A network whose embeddings are the features themselves and whose attention is the first of them."""
    network = Prototypes(NetworkShape(0, 2, 32, 1, 1, "vnet", (8, 8, 8)), 2)
    network.projection = network.prediction = nn.Identity()
    network.attention = nn.ModuleList([First(), First()])
    network.memory_attention = nn.ModuleList([First(), First()])
    return network


class First(nn.Module):
    def forward(self, values):
        return values[:, :1]


def test_the_prototypes_are_the_voxels_that_the_attention_ranks_highest_and_stay_where_a_class_is_missing():
    network, generator = remembering(), torch.Generator().manual_seed(0)
    network.memory[1] = 7.0
    features = torch.zeros(1, 32, 1, 1, 5)
    features[0, 0, 0, 0] = torch.tensor([9.0, 1.0, 3.0, 2.0, 8.0])
    labels = torch.tensor([0, 1, 1, 1, 0]).view(1, 1, 1, -1)
    ss_net.remember(network, features, labels, 4096, generator)
    assert network.memory[0, :, 0].tolist() == [3, 2] and (network.memory[1] == 7).all()
    ss_net.remember(network, features, labels * torch.tensor([0, 1, 0, 0, 0]), 4096, generator)
    assert network.memory[0, :, 0].tolist() == [1, 0]


def test_separation_is_the_mean_over_all_classes_of_the_distance_to_their_prototypes():
    network, generator = remembering(), torch.Generator().manual_seed(0)
    network.memory[0, :, 1] = network.memory[1, :, 0] = 1.0
    features = torch.zeros(1, 32, 1, 1, 3)
    features[0, 0] = 1.0
    labels = torch.tensor([0, 1, 2]).view(1, 1, 1, -1)  # at right angles to the first class's, along the second's
    assert ss_net.separation(network, features, labels, 4096, generator).item() == pytest.approx(1 / 3, rel=1e-5)


def test_voxels_are_drawn_where_the_mask_is_true():
    mask = torch.tensor([True, False, True, True])
    generator = torch.Generator().manual_seed(0)
    assert ss_net.some_voxels(mask, 3, generator).tolist() == [0, 2, 3]
    drawn = ss_net.some_voxels(mask, 2, generator)
    assert len(drawn) == 2 and set(drawn.tolist()) <= {0, 2, 3}


class Voxelwise(Prototypes):
    """A network with logits 0 and x, given features, which are their embeddings, and attention to all alike."""

    def __init__(self, features: torch.Tensor):
        nn.Module.__init__(self)
        self.features, self.projection, self.prediction = features, nn.Identity(), nn.Identity()
        self.attention = self.memory_attention = nn.ModuleList([Alike()])
        self.memory = torch.zeros(1, 2, features.shape[1])

    def forward(self, images):
        return torch.cat([torch.zeros_like(images), images], 1)

    def answers(self, images):
        return self(images), self.features


class Alike(nn.Module):
    def forward(self, values):
        return torch.zeros(len(values), 1)


def test_the_loss_is_dice_and_ramped_up_the_smoothness_and_a_tenth_of_both_separations():
    # p of the class: labelled patch 3/4 1/4 1/4, with the labels 1 1 0; unlabelled patch 9/10 1/10 9/10.
    images = torch.tensor([3, 1 / 3, 1 / 3, 9, 1 / 9, 9]).log().view(2, 1, 1, 1, 3)
    labels = torch.tensor([1, 1, 0], dtype=torch.uint8).view(1, 1, 1, 3)
    # Features of the labelled voxels (1, 0), (0, 1), (1, 0), of the unlabelled ones (0, 1), (1, 0), (-1, 0).
    features = torch.tensor([[[1.0, 0, 1], [0, 1, 0]], [[0, 1, -1], [1, 0, 0]]]).view(2, 2, 1, 1, 3)
    dice = 1 - (2 * (3 / 4 + 1 / 4) + 1) / (5 / 4 + 2 + 1)
    # The radius is 0, so both answers are the same: 1 - (2 sum p^2) / (2 * 6 voxels) over both classes. Sums of p^2 of
    # a voxel: 9/16 + 1/16 = 0.625 in the labelled patch and 0.81 + 0.01 = 0.82 in the other.
    rough = 1 - (3 * 0.625 + 3 * 0.82) / 6
    # The prototype is (1, 0), of the only voxel that is rightly called the class. 1 - cosine with it: of the two voxels
    # labelled 1, 0 and 1; of the two unlabelled ones that are called 1, 1 and 2. Means, over 2 classes: 1/4 and 3/4.
    apart = 1 / 4 + 3 / 4
    how = TrainSettings(consistency=Consistency(ramp=0.8), volumetric=Volumetric(radius=0.0, smoothness=2.0))
    lesson = Lesson(images.requires_grad_(), labels, nn.Identity(), 0.4, torch.Generator().manual_seed(0))
    loss = ss_net.smooth_separated_loss(how, Voxelwise(features), lesson)
    weight = 2 * math.exp(-5 * 0.5**2)
    assert loss.item() == pytest.approx(dice + weight * (rough + 0.1 * apart), rel=1e-5)
    loss.backward()  # the answer to compare with is a constant: of the first unlabelled voxel (0.9, 0.1)
    slope = 0.9 * 0.1  # of its p by its logit
    assert images.grad[1].flatten()[0].item() == pytest.approx(-weight * (0.9 - 0.1) / 6 * slope, rel=1e-4)
