"""Deep co-training for segmentation (Peng et al., Pattern Recognition 2020), with two networks.

Both learn from the known slices, agree on the unlabelled ones (Jensen-Shannon divergence), and stay different because
each has to answer to the other's adversarial examples as the other answers to the slice itself.

L = sum_i 0.5 L_sup(f_i) + 0.5 r1(t) [H((p1 + p2) / 2) - (H(p1) + H(p2)) / 2]
    + 0.05 r2(t) mean over i != j of KL(p_i(x) || p_j(g_i(x))), g_i(x) = x + 0.03 sign(grad_x L_CE(f_i(x), y))
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..consistency import entropy, ramp_up
from ..loop import Run
from ..losses import cross_entropy
from ..settings import Consistency, TrainSettings
from ..supervised import new_network
from ..teaching import Lesson, both_logits, supervised_loss, train_semi_supervised


class Pair(nn.Module):
    """Two networks that are trained, averaged and kept in checkpoints as one; the first answers for both."""

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, images: Tensor) -> Tensor:
        return self.first(images)


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two softmax maps (B, C + 1, ...), mean over pixels: H of the mean - mean of H."""
    return (entropy((first + second) / 2) - (entropy(first) + entropy(second)) / 2).mean()


def attack(network: nn.Module, images: Tensor, labels: Tensor, step: float) -> Tensor:
    """``images`` moved by ``step`` per pixel so that the network's cross-entropy with ``labels`` rises (FGSM)."""
    images = images.detach().requires_grad_()
    training = network.training
    network.eval()  # an attack leaves the running statistics of batch normalization as they are
    [gradient] = torch.autograd.grad(cross_entropy(network(images), labels).sum(), images)
    network.train(training)
    return (images + step * gradient.sign()).detach()


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence of softmax(logits) from the probabilities ``target``, mean over the pixels."""
    return F.kl_div(logits.log_softmax(1), target, reduction="none").sum(1).mean()


def diversity(networks: list[nn.Module], answers: list[Tensor], lesson: Lesson, how: Consistency) -> Tensor:
    """How far each network's answer to the other's adversarial examples is from the other's to the slices, mean.

    ``answers`` are each network's logits for all slices.
    """
    total, known = 0.0, len(lesson.labels)
    for own, answered, other in zip(networks, answers, reversed(networks), strict=True):
        believed = answered[known:].argmax(1).to(lesson.labels)
        examples = attack(own, lesson.images, torch.cat([lesson.labels, believed]), how.attack)
        seen = torch.cat(both_logits(other, examples[:known], examples[known:], how.apart))
        total = total + divergence(seen, answered.detach().softmax(1))
    return total / len(networks)


def co_training_loss(settings: TrainSettings, pair: Pair, lesson: Lesson) -> Tensor:
    """Both networks' supervised losses, and disagreement and diversity with their weights as ramped up by then."""
    how, networks = settings.consistency, [pair.first, pair.second]
    answers = [both_logits(network, lesson.known, lesson.unlabelled, how.apart) for network in networks]
    total = sum(supervised_loss(settings, known, lesson.labels) for known, _ in answers)
    unlabelled = [other.softmax(1) for _, other in answers]
    total = total + how.agreement * ramp_up(lesson.done, 0.0, how.agreement_ramp) * disagreement(*unlabelled)
    weight = how.diversity * ramp_up(lesson.done, how.diversity_start, how.agreement_ramp)
    if not weight:
        return total
    return total + weight * diversity(networks, [torch.cat(own) for own in answers], lesson, how)


def train(run: Run) -> nn.Module:
    """Train both networks on drawn and unlabelled slices; returns the first."""
    settings = run.settings

    def loss(pair, lesson):
        return co_training_loss(settings, pair, lesson)

    pair = Pair(new_network(run), new_network(run, "second network"))
    return train_semi_supervised(run, pair, loss).first
