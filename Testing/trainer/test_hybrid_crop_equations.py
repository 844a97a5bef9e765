"""Hybrid cropping (zhang2024), its equations against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segmentation_network import build_network
from sparseseg_trainer.training.loop import Run, Stage, Trainer
from sparseseg_trainer.training.methods import hybrid_crop
from sparseseg_trainer.training.methods.hybrid_crop import hybrid_loss, mixed_loss, region, teacher_of
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings, Volumetric
from sparseseg_trainer.training.teaching import Lesson

PAPER = resolve(TrainSettings(method="hybrid_crop", preset="paper"))
SHAPE = NetworkShape(0, 1, 4, 1, 1, "two_vnets", (16, 16, 16))


class Slope(nn.Module):
    """A network with logits 0 and ``slope`` x."""

    def __init__(self, slope: float):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        return torch.cat([torch.zeros_like(images), self.slope * images], 1)


class Students(nn.Module):
    """Two of them."""

    def __init__(self, first: float, second: float):
        super().__init__()
        self.first, self.second = Slope(first), Slope(second)


def lesson(known: float, label: int, unlabelled: float, side: int = 1, pairs: int = 1) -> Lesson:
    """So many labelled patches of one brightness and one label, and as many unlabelled of another brightness."""
    images = torch.tensor([known] * pairs + [unlabelled] * pairs).view(-1, 1, 1, 1, 1).expand(-1, 1, side, side, side)
    labels = torch.full((pairs, side, side, side), label, dtype=torch.uint8)
    return Lesson(images, labels, nn.Identity(), 0.0, torch.Generator().manual_seed(0))


def test_the_preset_paper_has_the_papers_constants():
    expected = {"batch": 4, "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
    assert {name: getattr(PAPER, name) for name in expected} == expected
    assert PAPER.baseline_epochs * PAPER.steps == 6000 and PAPER.consistency.labelled == 0.5
    how = PAPER.volumetric
    assert (how.patch, how.crop, how.unlabelled, how.mixed) == ((80, 112, 112), 0.5, 1, 1)


def test_the_teacher_is_the_moving_average_of_both_students(tmp_path):
    # SGD with rate 1 and gradients -1 and -2: the students are 1, 2, 3 and 2, 4, 6. alpha = 0.3, beta = 0.1, but in the
    # first step, where the loop keeps half at most, 0.375 and 0.125:
    # 0.375 1 + 0.125 2 = 0.625; 0.6 0.625 + 0.3 2 + 0.1 4 = 1.375; 0.6 1.375 + 0.3 3 + 0.1 6 = 2.325
    settings = resolve(TrainSettings(optimizer="sgd", schedule="constant", momentum=0.0, weight_decay=0.0))

    def loss(network, *_):
        return -network.first.slope - 2 * network.second.slope

    run = Run(None, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    stage = Stage("s", Students(0.0, 0.0), 1, 1.0, lambda *_: [None], loss, 1, averaging=1 - 0.4)
    trainer, found = Trainer(run, stage), []
    for _ in range(3):
        trainer.train_epoch(lambda part: None)
        found.append(teacher_of(trainer.averaged, Volumetric(second_share=0.25)).slope.item())
    assert found == pytest.approx([0.625, 1.375, 2.325])


def test_the_students_differ_in_their_structure_alone_and_the_teacher_of_equation_1_lies_between():
    students = build_network(SHAPE)
    first, second = (network.state_dict() for network in (students.first, students.second))
    changed = {name.rpartition(".")[2] for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"skip"}
    features = torch.rand(1, 8, 4, 4, 4)
    plain, residual = (network.encoder.blocks[1](features) for network in (students.first, students.second))
    assert torch.allclose(residual - plain, features, atol=1e-6)
    teacher = teacher_of(students, Volumetric(second_share=0.25))
    assert {block.item() for name, block in teacher.state_dict().items() if name.endswith("skip")} == {0.25}


def test_with_the_presets_for_a_cpu_the_teacher_is_what_both_students_answer_on_average():
    students = build_network(SHAPE)
    how = resolve(TrainSettings(method="hybrid_crop", preset="fast")).volumetric
    images = torch.rand(1, 1, 16, 16, 16)
    expected = (students.first(images).softmax(1) + students.second(images).softmax(1)) / 2
    assert torch.allclose(teacher_of(students, how)(images).softmax(1), expected, atol=1e-6)
    assert PAPER.volumetric.teacher_of == "weights"


def test_a_box_of_half_of_each_side_is_cut_out_at_random_places():
    generator = torch.Generator().manual_seed(0)
    masks = [region((4, 6, 8), 0.5, generator) for _ in range(8)]
    for mask in masks:
        where = torch.nonzero(mask == 0)
        assert (where.amax(0) - where.amin(0) + 1).tolist() == [2, 3, 4] and len(where) == 2 * 3 * 4
    assert len({tuple(torch.nonzero(mask == 0)[0].tolist()) for mask in masks}) > 4


@pytest.mark.parametrize(("label", "taught", "loss"), [(0, 1, 0.0), (1, 0, 2.0)])
def test_labels_are_mixed_as_the_images_are(label, taught, loss):
    # Labelled patches are dark, unlabelled ones bright; both students take bright for the structure, without doubt. So
    # they are right everywhere if the bright ones are labelled with it, and wrong everywhere if the dark ones are.
    batch = lesson(-1.0, label, 1.0, side=4, pairs=2)
    students, teacher = Students(99.0, 99.0), torch.full((2, 4, 4, 4), taught, dtype=torch.uint8)
    assert mixed_loss(students, batch, teacher, Volumetric(crop=0.5)).item() == pytest.approx(loss, abs=1e-6)
    [first], [second] = students.first.seen, students.second.seen
    assert first.shape == second.shape == (1, 1, 4, 4, 4)
    assert [(first > 0).sum().item(), (second > 0).sum().item()] == [8, 64 - 8]


def test_a_single_pair_of_patches_is_mixed_both_ways():
    students, teacher = Students(99.0, 99.0), torch.ones(1, 4, 4, 4, dtype=torch.uint8)
    mixed_loss(students, lesson(-1.0, 0, 1.0, side=4), teacher, Volumetric(crop=0.5))
    assert [(network.seen[0] > 0).sum().item() for network in (students.first, students.second)] == [8, 56]


def test_the_students_take_turns_with_the_pairs_of_patches():
    students, teacher = Students(1.0, 1.0), torch.ones(4, 2, 2, 2, dtype=torch.uint8)
    known, others = torch.tensor([1.0, 2, 3, 4]), torch.tensor([5.0, 6, 7, 8])
    images = torch.cat([known, others]).view(-1, 1, 1, 1, 1).expand(-1, 1, 2, 2, 2)
    batch = Lesson(images, 0 * teacher, nn.Identity(), 0.0, torch.Generator().manual_seed(0))
    mixed_loss(students, batch, teacher, Volumetric(crop=0.5))
    [first], [second] = students.first.seen, students.second.seen
    assert [own.unique().tolist() for own in (*first, *second)] == [[1, 5], [3, 7], [2, 6], [4, 8]]
    # the box is one of eight voxels: around it the first student sees labelled patches, the second unlabelled ones
    assert [own.median().item() for own in (*first, *second)] == [1, 3, 6, 8]


def test_the_moving_averages_forget_as_much_of_themselves_as_the_teacher_of_equation_1(monkeypatch):
    kept = []
    monkeypatch.setattr(hybrid_crop, "new_network", lambda run: Students(0.0, 0.0))
    monkeypatch.setattr(hybrid_crop, "train_semi_supervised", lambda run, network, loss, part: kept.append(part))
    hybrid_crop.train(Run(None, PAPER, torch.device("cpu"), None, Reporter(), []))
    assert kept == pytest.approx([0.99])


@pytest.mark.parametrize(("crop", "ramp", "weight"), [(0.0, 0.0, 1), (1.0, 0.0, 1), (0.0, 0.4, math.exp(-1.25))])
def test_the_total_loss_adds_up_supervision_both_kinds_of_pseudo_labels_and_mixtures(crop, ramp, weight):
    how = Volumetric(crop=crop, unlabelled=0.7, mixed=0.3, pseudo_ramp=ramp, teacher_of="answers")
    students, batch = Students(2.0, -3.0), lesson(0.5, 1, 0.8)
    batch = replace(batch, teacher=Slope(1.0), done=0.2)

    def p(slope, value):
        return 1 / (1 + math.exp(-slope * value))

    def dice(probability, label):  # of one voxel, sigma = 1
        return 1 - (2 * probability * label + 1) / (probability + label + 1)

    # Known voxel 0.5 with class 1; unlabelled 0.8: the first student and the teacher say class 1, the second class 0.
    labelled = dice(p(2, 0.5), 1) + dice(p(-3, 0.5), 1)
    cross = dice(p(2, 0.8), 0) + dice(p(-3, 0.8), 1)
    guided = dice(p(2, 0.8), 1) + dice(p(-3, 0.8), 1)
    # crop 0: the first sees the labelled voxel alone, the second the unlabelled one; crop 1 the other way round.
    seen = (0.5, 0.8) if crop == 0 else (0.8, 0.5)
    mixed = (1 - p(2, seen[0])) ** 2 + (1 - p(-3, seen[1])) ** 2
    expected = labelled + weight * (0.7 * (cross + guided) + 0.3 * mixed)
    loss = hybrid_loss(students, batch, how)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert batch.teacher.slope.grad is None and students.first.slope.grad.isfinite()


def test_the_rate_is_divided_by_ten_after_2500_of_6000_steps_and_again_after_5000(tmp_path):
    run = Run(None, PAPER, torch.device("cpu"), tmp_path, Reporter(), [])
    stage = Stage("s", Slope(0.0), PAPER.baseline_epochs, PAPER.learning_rate, None, None, PAPER.steps)
    trainer, rates = Trainer(run, stage), []
    for trainer.steps_done in (0, 2499, 2500, 4999, 5000, 5999):
        rates.append(trainer.learning_rate())
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])
