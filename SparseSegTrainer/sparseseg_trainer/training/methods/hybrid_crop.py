"""Hybrid cropping in multi-model co-learning (zhang2024): two students, and a teacher that is the mean of both.

A plain V-Net and a residual one (the students) learn from whole labelled volumes (eq. 3), on the others from each
other's pseudo labels (eq. 4-6) and the teacher's (eq. 7-9), and from mixtures of both kinds of volumes (eq. 11-17).
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...volume_networks import TwoVNets
from ..consistency import ramp_up
from ..loop import Run
from ..losses import labels_dice  # L_dice of eq. 3-9
from ..settings import Volumetric
from ..supervised import new_network
from ..teaching import Lesson, answer, train_semi_supervised


def teacher_of(students: TwoVNets, how: Volumetric) -> nn.Module:
    """The teacher, of the moving averages of both ``students``: they together, or one with the mean of their weights.

    The latter is eq. 1, for both averages forget alpha + beta of themselves at a step.
    """
    if how.teacher_of == "answers":
        return students
    network, other = copy.deepcopy(students.first), students.second.state_dict()
    mean = {name: own.lerp(other[name], how.second_share) for name, own in network.state_dict().items()}
    network.load_state_dict(mean)
    return network


def region(sides: tuple[int, ...], part: float, generator: torch.Generator) -> Tensor:
    """Mask of eq. 11: 0 in a box at a random place whose sides are ``part`` of ``sides``, 1 around it."""
    mask, inside = torch.ones(sides), [round(part * side) for side in sides]
    corner = [int(torch.randint(s - i + 1, (1,), generator=generator)) for s, i in zip(sides, inside, strict=True)]
    mask[tuple(slice(c, c + i) for c, i in zip(corner, inside, strict=True))] = 0
    return mask


def mixture(outer: Tensor, inner: Tensor, mask: Tensor) -> Tensor:
    """Eq. 11-14: ``outer`` where the mask is 1, ``inner`` in the box; (B, ..., slices, rows, columns)."""
    return torch.where(mask.bool(), outer, inner)


def mixed_loss(students: TwoVNets, lesson: Lesson, teacher: Tensor, how: Volumetric) -> Tensor:
    """L_mix of eq. 17. ``teacher`` are the teacher's labels of the unlabelled patches.

    The first student sees labelled patches with an unlabelled box, the second unlabelled ones with a labelled box. They
    take turns with the pairs of patches; if there is one pair only both take it.
    """
    pairs = torch.arange(max(len(lesson.labels), len(teacher)))
    total = 0.0
    for network, own, labelled_outside in (
        (students.first, pairs[0::2], True),
        (students.second, pairs[1::2] if len(pairs) > 1 else pairs, False),
    ):
        mask = region(tuple(teacher.shape[1:]), how.crop, lesson.generator).to(teacher.device)
        known, other = own % len(lesson.labels), own % len(teacher)
        sources = [(lesson.known[known], lesson.labels[known]), (lesson.unlabelled[other], teacher[other])]
        (outer, outer_labels), (inner, inner_labels) = sources if labelled_outside else reversed(sources)
        probability = network(mixture(outer, inner, mask)).softmax(1)
        labels = mixture(outer_labels, inner_labels, mask)
        target = F.one_hot(labels.long(), probability.shape[1]).movedim(-1, 1)
        total = total + (probability - target).square().mean()
    return total


def hybrid_loss(students: TwoVNets, lesson: Lesson, how: Volumetric) -> Tensor:
    """L_total of eq. 18, with the pseudo labels that are the most probable classes; their weights ramp up."""
    taught = answer(teacher_of(lesson.teacher, how), lesson.unlabelled).argmax(1).to(torch.uint8)
    logits = [network(lesson.images) for network in (students.first, students.second)]
    known, others = zip(*(own.split([len(lesson.labels), len(taught)]) for own in logits), strict=True)
    labelled = sum(labels_dice(own, lesson.labels) for own in known)
    believed = [own.detach().argmax(1) for own in others]
    cross = labels_dice(others[0], believed[1]) + labels_dice(others[1], believed[0])
    guided = sum(labels_dice(own, taught) for own in others)
    unlabelled = how.unlabelled * (cross + guided) + how.mixed * mixed_loss(students, lesson, taught, how)
    return labelled + ramp_up(lesson.done, 0.0, how.pseudo_ramp) * unlabelled


def train(run: Run) -> nn.Module:
    """Train both students; returns their moving averages, which answer together."""
    how = run.settings.volumetric

    def loss(students, lesson):
        return hybrid_loss(students, lesson, how)

    return train_semi_supervised(run, new_network(run), loss, 1 - how.teacher)
