"""Smoothness and class separation (Wu et al., MICCAI 2022), for volumes.

Smoothness: the answer to a patch stays the same under the change that would alter it most (virtual adversarial
training). Separation: embeddings of a class's voxels are drawn to the class's prototypes, those of labelled voxels that
were rightly classified.

L = L_D + r(t) [1 - Dice(p(x + r), p(x)) + 0.1 sum of mean over i, k of w_i v_k (1 - cos(e_i, q_k)) / (C + 1)]
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..consistency import at, deviations, ramp_up
from ..loop import Run
from ..losses import labels_dice
from ..settings import TrainSettings, Volumetric
from ..teaching import Lesson, train_extended
from ..volume_heads import Prototypes

SMALL = 1e-8


def difference(probability: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of two softmax maps, over all patches and classes at once."""
    total = probability.sum() + target.sum()
    return 1 - (2 * (probability * target).sum() + SMALL) / (total + SMALL)


def attack(network: nn.Module, images: Tensor, target: Tensor, radius: Tensor, generator: torch.Generator) -> Tensor:
    """The change of ``images`` (B, ...) that takes the answer farthest from ``target``.

    Its norm is ``radius`` (B, 1, ...). To first order, from where a random change of that norm leads (Miyato 2018).
    """
    start = torch.rand(images.shape, generator=at(images.device, generator), device=images.device) - 0.5
    change = (radius * unit(start)).requires_grad_()
    [gradient] = torch.autograd.grad(difference(network(images + change).softmax(1), target), change)
    return radius * unit(gradient)


def unit(values: Tensor) -> Tensor:
    """Each of ``values`` (B, ...) divided by its norm."""
    norm = values.flatten(1).norm(dim=1).view(-1, *[1] * (values.ndim - 1))
    return values / norm.clamp_min(1e-30)


def roughness(network: nn.Module, images: Tensor, target: Tensor, how: Volumetric, generator) -> Tensor:
    """How much the answer changes under an attack; its norm is ``how.radius`` standard deviations a voxel."""
    radius = how.radius * deviations(images) * images[0].numel() ** 0.5
    change = attack(network, images, target, radius, generator)
    return difference(network(images + change).softmax(1), target)


def weighted_distance(embedded: Tensor, prototypes: Tensor, weights: Tensor, prototype_weights: Tensor) -> Tensor:
    """Mean of 1 - cosine over all pairs of embeddings (N, F) and prototypes (K, F), weighted by (N, 1) and (K, 1).

    Weights count relative to their mean. A prototype that is still 0 does not count.
    """
    prototype_weights = prototype_weights * (prototypes.norm(dim=1, keepdim=True) > 0)
    distance = 1 - F.normalize(embedded) @ F.normalize(prototypes).T
    relative = (some / (some.mean() + SMALL) for some in (weights, prototype_weights.T))
    for factor in relative:
        distance = distance * factor
    return distance.mean()


def some_voxels(mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of the voxels where ``mask`` is true, or of ``count`` of them, drawn at random."""
    places = mask.flatten().nonzero()[:, 0]
    if len(places) <= count:
        return places
    return places[torch.randint(len(places), (count,), generator=generator).to(places.device)]


def features_at(features: Tensor, places: Tensor) -> Tensor:
    """Features (B, F, ...) of the voxels with these numbers: (N, F)."""
    features = features.flatten(2)
    voxels = features.shape[2]
    return features[places // voxels, :, places % voxels]


@torch.no_grad()
def remember(network: Prototypes, features: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> None:
    """Make the embeddings that the attention ranks highest the prototypes of their class, where a class has any.

    ``labels`` (B, ...) are 0 where the features (B, F, ...) must not be remembered.
    """
    for number, attention in enumerate(network.attention):
        places = some_voxels(labels == number + 1, count, generator)
        if len(places):
            embedded = network.projection(features_at(features, places))
            best = attention(embedded)[:, 0].topk(min(len(embedded), network.memory.shape[1])).indices
            network.memory[number] = 0
            network.memory[number, : len(best)] = embedded[best]


def separation(
    network: Prototypes, features: Tensor, labels: Tensor, count: int, generator: torch.Generator
) -> Tensor | float:
    """Mean over the classes, with the background's 0, of how far their voxels are from their prototypes."""
    total = 0.0
    for number, prototypes in enumerate(network.memory):
        places = some_voxels(labels == number + 1, count, generator)
        if len(places):
            embedded = network.prediction(network.projection(features_at(features, places)))
            weights = network.attention[number](embedded.detach()).sigmoid()
            prototype_weights = network.memory_attention[number](prototypes).sigmoid()
            total = total + weighted_distance(embedded, prototypes, weights, prototype_weights)
    return total / (len(network.memory) + 1)


def smooth_separated_loss(settings: TrainSettings, network: Prototypes, lesson: Lesson) -> Tensor:
    """Dice loss of the known labels, smoothness and separation, with their weights as ramped up by then."""
    how, known, generator = settings.volumetric, len(lesson.labels), lesson.generator
    logits, features = network.answers(lesson.images)
    probability = logits.softmax(1)
    supervised = labels_dice(logits[:known], lesson.labels)
    rough = roughness(network, lesson.images, probability.detach(), how, generator)

    believed, labels = probability.argmax(1), lesson.labels.long()
    remember(network, features[:known], labels * (believed[:known] == labels), how.voxels, generator)
    apart = separation(network, features[:known], labels, how.voxels, generator)
    apart = apart + separation(network, features[known:], believed[known:], how.voxels, generator)
    weight = how.smoothness * ramp_up(lesson.done, 0.0, settings.consistency.ramp)
    return supervised + weight * (rough + how.separation * apart)


def train(run: Run) -> nn.Module:
    """Train on labelled and unlabelled volumes; returns the V-Net."""
    return train_extended(run, partial(Prototypes, count=run.settings.volumetric.prototypes), smooth_separated_loss)
