"""Losses and schedules of the semi-supervised comparison methods, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from pixels import Slope, probability
from torch import nn

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training import teaching
from sparseseg_trainer.training.consistency import ramp_up, squared_error
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.loop import Run, Stage, Trainer, polynomial
from sparseseg_trainer.training.methods import mean_teacher
from sparseseg_trainer.training.methods.dct_seg import (
    Pair,
    attack,
    co_training_loss,
    disagreement,
    divergence,
    diversity,
)
from sparseseg_trainer.training.pseudo_labels import reached
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import Consistency, TrainSettings
from sparseseg_trainer.training.teaching import Lesson, both_logits, parts_of_batch, student_loss

PAPER = resolve(TrainSettings(preset="paper"))


def lesson(known: float, label: int, unlabelled: float, done: float) -> Lesson:
    """A batch of one known and one unlabelled slice of one pixel each."""
    images = torch.tensor([known, unlabelled]).view(2, 1, 1, 1)
    labels = torch.tensor([[[label]]], dtype=torch.uint8)
    return Lesson(images, labels, Slope(1.0), done, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("done", "weight"), [(0, math.exp(-5)), (0.25, math.exp(-2.8125)), (0.5, math.exp(-1.25)), (1, 1), (1.5, 1)]
)
def test_the_ramp_up_is_exp_of_minus_five_times_the_square_of_what_is_left(done, weight):
    assert ramp_up(done) == pytest.approx(weight)


def test_a_ramp_up_can_begin_late_and_end_early():
    assert [ramp_up(done, 0.2, 0.6) for done in (0.1, 0.4, 0.6)] == pytest.approx([0, math.exp(-1.25), 1])


@pytest.mark.parametrize(("decay", "average"), [(0.99, 2.3775), (0.5, 3.655)])
def test_the_teacher_follows_the_student_with_a_decay_that_rises_to_its_limit(tmp_path, decay, average):
    # SGD with rate 1, momentum 0.9 and gradient -1: speeds 1, 1.9, 2.71, so the student is 1, 2.9, 5.61.
    # decay min(limit, 1 - 1/(t + 1)), t = 1, 2, 3: 1/2, 2/3, 3/4 -> 0.5; 1.3; 2.3775. Limit 0.5: 0.5; 1.7; 3.655
    settings = resolve(TrainSettings(optimizer="sgd", schedule="constant", weight_decay=0.0, device="cpu"))
    student = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(student.weight)
    run = Run(None, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    stage = Stage("s", student, 1, 1.0, lambda *_: [None] * 3, lambda network, *_: -network.weight.sum(), 3)
    stage.averaging = decay
    trainer = Trainer(run, stage)
    trainer.train_epoch(lambda part: None)
    assert trainer.network.weight.item() == pytest.approx(5.61)
    assert trainer.averaged.weight.item() == pytest.approx(average)


def test_the_polynomial_schedule_falls_with_the_power_0_9():
    assert [polynomial(done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5358867, 0])


def test_the_students_loss_is_half_the_supervised_one_plus_a_tenth_of_the_consistency():
    # Network 2 x. Known pixel 0, class 1: softmax 1/2, Dice loss 1 - 2/2.5, cross-entropy ln 2.
    # Unlabelled pixel ln(2)/2: softmax 2/3 against a target of 1/4, for both classes (5/12)^2.
    # A fifth of the training done of two fifths that the ramp-up takes.
    expected = 0.5 * (0.2 + math.log(2)) + 0.1 * math.exp(-1.25) * (5 / 12) ** 2
    settings = replace(PAPER, consistency=Consistency(ramp=0.4))

    def task(how, lesson):
        return lesson.unlabelled, lambda logits: squared_error(logits, probability(0.25)).mean()

    loss = student_loss(settings, Slope(2.0), lesson(0.0, 1, math.log(2) / 2, 0.2), task)
    assert loss.item() == pytest.approx(expected)


def test_apart_the_averages_of_batch_normalization_are_of_the_known_slices_alone():
    known, unlabelled = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.tensor([7.0, 11.0]).view(2, 1, 1, 1)

    def answers(apart):  # with momentum 1 the averages are those of the last batch
        network = nn.BatchNorm2d(1, eps=1e-9, momentum=1.0)
        logits = both_logits(network, known, unlabelled, apart)
        return network.running_mean.item(), [own.flatten().tolist() for own in logits], network.momentum

    mean, logits, momentum = answers(apart=True)
    assert (mean, momentum) == (2.0, 1.0)
    assert logits == [pytest.approx([-1, 1]), pytest.approx([-1, 1])]  # each normalized by its own batch
    mean, logits, _ = answers(apart=False)
    spread = math.sqrt((4.5**2 + 2.5**2 + 1.5**2 + 5.5**2) / 4)
    assert mean == 5.5
    assert logits == [pytest.approx([-4.5 / spread, -2.5 / spread]), pytest.approx([1.5 / spread, 5.5 / spread])]


def test_two_networks_disagree_by_the_jensen_shannon_divergence():
    assert disagreement(probability(1.0), probability(0.0)).item() == pytest.approx(math.log(2))
    assert disagreement(probability(0.3), probability(0.3)).item() == pytest.approx(0, abs=1e-6)
    # H(0.75) - (H(0.9) + H(0.6)) / 2
    assert disagreement(probability(0.9), probability(0.6)).item() == pytest.approx(0.5623351 - 0.4990474, abs=1e-6)


def test_networks_that_are_quite_sure_can_still_be_trained_to_agree():
    logits = torch.tensor([200.0, -200.0]).view(1, 2, 1, 1).requires_grad_()
    disagreement(logits.softmax(1), probability(1.0)).backward()
    assert logits.grad.isfinite().all()


def test_an_attack_moves_each_pixel_away_from_its_label():
    images = torch.tensor([0.2, 0.7]).view(1, 1, 1, 2)
    labels = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    moved = attack(Slope(1.0), images, labels, 0.03)
    assert moved.flatten().tolist() == pytest.approx([0.17, 0.73])


def test_an_attack_leaves_the_running_statistics_alone():
    network = nn.Sequential(nn.BatchNorm2d(1), Slope(1.0))
    before = network[0].running_mean.clone()
    attack(network, torch.rand(2, 1, 4, 4), torch.ones(2, 4, 4, dtype=torch.uint8), 0.03)
    assert torch.equal(network[0].running_mean, before) and network.training
    assert network[1].slope.grad is None


def test_divergence_of_an_undecided_answer_from_a_certain_target():
    # 0.9 ln(0.9 / 0.5) + 0.1 ln(0.1 / 0.5)
    assert divergence(torch.zeros(1, 2, 1, 1), probability(0.9)).item() == pytest.approx(0.3680642)


@pytest.mark.parametrize(("done", "agreement", "diversity"), [(0.1, math.exp(-5 * 0.64), 0), (0.5, 1, 1)])
def test_co_training_adds_up_supervision_agreement_and_diversity(done, agreement, diversity):
    how = Consistency(agreement=0.4, diversity=0.3, diversity_start=0.2, agreement_ramp=0.5, attack=0.03)
    settings = resolve(TrainSettings(preset="paper", consistency=how))
    pair = Pair(Slope(1.0), Slope(-2.0))

    def foreground(logit):
        return 1 / (1 + math.exp(-logit))

    def kl(p, q):
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    def h(p):
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    # Pixels 0.5 and 0.3; logits of class 1 are x and -2 x. The known one has class 1, of the other the networks
    # believe 1 and 0. So the first one's attack lowers both pixels, the second's raises the known and lowers the other.
    supervised = sum(0.5 * ((1 - (2 * p + 1) / (p + 2)) - math.log(p)) for p in (foreground(0.5), foreground(-1.0)))
    first, second = foreground(0.3), foreground(-0.6)
    apart = h((first + second) / 2) - (h(first) + h(second)) / 2
    from_first = (kl(foreground(0.5), foreground(-2 * 0.47)) + kl(first, foreground(-2 * 0.27))) / 2
    from_second = (kl(foreground(-1.0), foreground(0.53)) + kl(second, foreground(0.27))) / 2
    expected = supervised + 0.4 * agreement * apart + 0.3 * diversity * (from_first + from_second) / 2
    loss = co_training_loss(settings, pair, lesson(0.5, 1, 0.3, done))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_what_a_network_answers_to_the_slices_is_a_constant_for_the_other_one():
    networks, batch = [Slope(1.0), Slope(-2.0)], lesson(0.5, 1, 0.5, 0.5)
    answers = [network(batch.images).detach().requires_grad_() for network in networks]
    diversity(networks, answers, batch, Consistency()).backward()
    assert all(own.grad is None for own in answers) and all(network.slope.grad for network in networks)


@pytest.mark.parametrize(
    ("batch", "labelled", "parts"),
    [(8, 0.5, (4, 4)), (8, 0.25, (2, 6)), (8, 1.0, (7, 1)), (8, 0.0, (1, 7)), (1, 0.5, (1, 1))],
)
def test_a_batch_has_as_many_known_images_as_set_and_one_of_each_kind_at_least(batch, labelled, parts):
    settings = TrainSettings(batch=batch, consistency=Consistency(labelled=labelled))
    assert parts_of_batch(settings) == parts


def test_a_student_sees_drawn_absent_and_other_slices_while_the_training_goes_from_0_to_1(
    tiny_cohort, tmp_path, monkeypatch
):
    stages = []
    monkeypatch.setattr(teaching, "train_stage", lambda run, stage: stages.append(stage))
    how = {"batch": 8, "steps": 5, "baseline_epochs": 4, "absence_share": 0.25, "device": "cpu"}
    settings = resolve(TrainSettings("mean_teacher", consistency=Consistency(decay=0.9), **how))
    data = prepare(read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    mean_teacher.train(Run(data, settings, torch.device("cpu"), tmp_path, Reporter(), []))
    [stage], generator = stages, torch.Generator().manual_seed(0)
    batches = [batch for epoch in range(stage.epochs) for batch in stage.epoch_batches(epoch, None, generator)]
    assert [done for *_, done in batches] == pytest.approx([number / 20 for number in range(20)])
    assert stage.averaging == 0.9
    for (known, others), *_ in batches:
        assert [torch.isin(known, part).sum() for part in (data.drawn, data.absent)] == [3, 1]
        assert len(others) == 4 and torch.isin(others, data.unknown).all()


def test_registration_alone_teaches_the_slices_that_it_reaches(tiny_cohort, tmp_path):
    settings = resolve(TrainSettings(reach=2))
    data = prepare(read_cohort(tiny_cohort), tmp_path / "cache", 0, Reporter())
    numbers = reached(Run(data, settings, torch.device("cpu"), tmp_path, Reporter(), []))
    assert numbers[numbers < 14].tolist() == [0, 5, 6, 7, 8, 9, 13]  # drawn is 7; 0 and 13 are known to be empty
    assert len(numbers) == 3 * 7
