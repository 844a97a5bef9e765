"""The method of specktor2023: its loss, blocks, schedule and clean-up, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sparseseg_trainer.cleanup import fill_holes
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.marked_network import MarkedUNet
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.loop import Run, Stage, plateau, seeded, train_stage
from sparseseg_trainer.training.methods import partial as method
from sparseseg_trainer.training.methods.partial import marked, selective_batch_dice
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings, Volumetric
from sparseseg_trainer.training.validation import keep_aside, known_dice, live_dice
from sparseseg_trainer.training.volumetric import draw_patches


def logits_of(*foreground: list[list[float]]) -> torch.Tensor:
    """Logits (blocks, classes + 1, 1, 1, voxels) whose softmax has these probabilities of the classes."""
    classes = torch.tensor(foreground).transpose(0, 1)[:, :, None, None]
    return torch.cat([1 - classes.sum(1, keepdim=True), classes], 1).log()


def labels_of(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)[:, None, None]


def test_the_selective_loss_is_the_dice_of_all_known_voxels_of_a_batch_together():
    logits = logits_of([[0.8, 0.4], [0.6, 0.9]]).requires_grad_()
    labels, known = labels_of([[1, 0], [1, 1]]), labels_of([[1, 1], [1, 0]]).bool()
    loss = selective_batch_dice(logits, labels, known)
    # known voxels: t = 1 0 1, r = 0.8 0.4 0.6
    assert loss.item() == pytest.approx(-2 * (0.8 + 0.6) / (2 + 1.8))
    loss.backward()
    assert logits.grad[1, :, 0, 0, 1].abs().max() == 0 < logits.grad[1, :, 0, 0, 0].abs().max()
    everything = selective_batch_dice(logits, labels, torch.ones_like(known))  # eq. 1
    assert everything.item() == pytest.approx(-2 * (0.8 + 0.6 + 0.9) / (3 + 2.7))


def test_the_selective_loss_of_several_classes_is_their_mean_and_an_absent_class_adds_nothing_to_pull_at():
    logits = logits_of([[0.5, 0.1]], [[0.2, 0.6]])
    labels, known = labels_of([[1, 2]]), labels_of([[1, 1]]).bool()
    by_hand = (2 * 0.5 / (1 + 0.6) + 2 * 0.6 / (1 + 0.8)) / 2
    assert selective_batch_dice(logits, labels, known).item() == pytest.approx(-by_hand)
    nothing = selective_batch_dice(logits.requires_grad_(), labels, known & False)
    nothing.backward()
    assert nothing.item() == 0 and not logits.grad.any()


@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_known_is_a_channel_of_the_network_and_everything_is_where_it_is_left_out(stride):
    torch.manual_seed(0)
    network = MarkedUNet(NetworkShape(0, 2, 4, 4, stride, "marked_unet", (8, 16, 16))).eval()
    images, known = torch.rand(2, 1, 8, 16, 16), torch.zeros(2, 8, 16, 16, dtype=torch.bool)
    known[:, 3:5] = True
    told, hidden = torch.tensor([False, False]), torch.tensor([False, True])
    assert marked(images, known, told)[:, 1].sum() == known.sum()
    assert torch.equal(marked(images, known, hidden)[0, 1], known[0].float())
    assert marked(images, known, hidden)[1, 1].all()
    assert network(images).shape == (2, 3, 8, 16, 16)
    assert torch.equal(network(images), network(marked(images, known, ~told)))
    assert not torch.allclose(network(images), network(marked(images, known, told)), atol=1e-3)


def test_every_block_holds_a_drawn_slice_and_slices_beyond_the_ends_are_known(dense_cohort, tmp_path):
    sparsify(dense_cohort, tmp_path / "sparse", "consecutive:2", extents=True)
    settings = resolve(TrainSettings("partial", volumetric=Volumetric((8, 16, 16), False), pixels=0))
    data = prepare(read_cohort(tmp_path / "sparse"), tmp_path / "data", 0, Reporter())
    run = Run(data, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    images, labels, known = draw_patches(run, data.cases, 60, seeded("blocks"), drawn_on=True)
    assert images.shape == (60, 1, 8, 16, 16)
    slices = known.any(-1).any(-1).sum(1)
    assert labels.flatten(1).any(1).float().mean() > 0.8  # a block beside the structure may show none of it
    assert all(1 <= count <= 7 for count in slices.tolist()) and len(set(slices.tolist())) > 2
    assert not labels[~known].any()


class Everywhere(nn.Module):
    """Calls every voxel the structure."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return torch.cat([0 * images, self.weight + 0 * images], 1)


def test_networks_are_chosen_by_all_known_slices_of_the_cases_aside_where_empty_ones_can_only_go_wrong(
    dense_cohort, tmp_path
):
    sparsify(dense_cohort, tmp_path / "sparse", "consecutive:2", extents=True)
    training, aside = keep_aside(read_cohort(tmp_path / "sparse"), 1, 0)
    settings = resolve(TrainSettings("partial", volumetric=Volumetric((16, 32, 32), False), pixels=0))
    data = prepare(training, tmp_path / "data", 0, Reporter())
    run = Run(data, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    run.aside = prepare(aside, tmp_path / "aside", 0, Reporter(), data.grid)
    drawn, absent = len(run.aside.drawn), len(run.aside.absent)
    on_drawn = live_dice(run, Everywhere())
    assert drawn == 2 and absent > 2 and on_drawn > 0
    assert known_dice(run, Everywhere()) == pytest.approx(on_drawn * drawn / (drawn + absent))
    run.settings = resolve(replace(settings, absence=False))
    assert known_dice(run, Everywhere()) == pytest.approx(on_drawn)


@pytest.mark.parametrize(
    ("scores", "restart", "share"),
    [
        ([], 0, 1),
        ([0.1, 0.2, 0.3], 0, 1),
        ([0.5, 0.4], 0, 1),
        ([0.5, 0.4, 0.4], 0, 0.5),  # two epochs without a better one
        ([0.5, 0.4, 0.4, 0.4], 0, 0.5),
        ([0.5, 0.4, 0.5, 0.3, 0.2], 0, 0.25),  # as good is not better
        ([0.5, 0.4, 0.4, 0.6, 0.1], 0, 0.5),  # what was halved stays so
        ([0.5, 0.4, 0.4, 0.3], 4, 1),  # the fifth epoch starts anew
        ([0.5, 0.4, 0.4, 0.3, 0.2, 0.1], 4, 1),  # worse than before the restart, which is forgotten
        ([0.5, 0.4, 0.4, 0.3, 0.2, 0.1, 0.1], 4, 0.5),
    ],
)
def test_the_learning_rate_halves_on_a_plateau_and_comes_back_with_a_restart(scores, restart, share):
    assert plateau(scores, patience=2, restart=restart) == share


def scripted_stage(scores, seen, **changes):
    """A stage of one weight that falls by its rate in every epoch and is worth ``scores``, in order."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 10.0)
    remaining = iter(scores)

    def dice(measured):
        seen.append(measured.weight.item())
        return next(remaining)

    return Stage("s", network, 5, 1.0, lambda *_: [None], lambda net, *_: net.weight.sum(), 1, dice, **changes)


def test_the_network_of_the_best_epoch_comes_out_also_after_an_interruption(tmp_path):
    settings = resolve(TrainSettings(preset="paper", optimizer="sgd", schedule="constant", momentum=0.0))
    run = Run(None, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    seen, half = [], scripted_stage([0.3, 0.8, 0.5], [], keep_best=True)
    half.epochs = 3
    assert train_stage(run, half).weight.item() == 8
    best = train_stage(run, scripted_stage([0.7, 0.8], seen, keep_best=True))
    assert seen == [6, 5]  # the network as trained, not the best one, goes on and is measured
    assert best.weight.item() == 8 and not best.training


def test_the_rate_of_an_epoch_follows_the_scores_before_it(tmp_path):
    settings = resolve(TrainSettings(preset="paper", optimizer="sgd", momentum=0.0))
    run = Run(None, settings, torch.device("cpu"), tmp_path, Reporter(), [])
    seen = []
    stage = scripted_stage([0.5, 0.4, 0.4, 0.6, 0.1], seen, keep_best=True, rate=lambda scores: plateau(scores, 2))
    assert train_stage(run, stage).weight.item() == 6.5
    assert seen == [9, 8, 7, 6.5, 6]


@pytest.fixture
def stages(monkeypatch, tmp_path):
    """A function that tells which stages a training by the method has, with these settings, and no case's data."""
    found, asked = [], []
    network, known = nn.Conv3d(2, 2, 1), torch.zeros(200, 2, 2, 2, dtype=torch.bool)
    monkeypatch.setattr(method, "new_network", lambda run: network)
    monkeypatch.setattr(method, "train_stage", lambda run, stage: found.append(stage) or network)
    monkeypatch.setattr(method, "known_dice", lambda run, network: 0.7)

    def blocks(run, cases, count, generator, drawn_on=False):
        asked.append((count, drawn_on))
        return torch.zeros(200, 1, 2, 2, 2), known.to(torch.uint8), known

    monkeypatch.setattr(method, "draw_patches", blocks)

    def trained(**how):
        settings = resolve(TrainSettings("partial", "paper", baseline_epochs=10, volumetric=Volumetric(**how)))
        method.train(Run(SimpleNamespace(cases=[]), settings, torch.device("cpu"), tmp_path, Reporter(), []))
        return found, asked

    return trained


def test_the_second_step_goes_on_with_restarts_and_both_keep_the_best_network(stages):
    (first, second), _ = stages(second_step=0.5, patience=2, restart=4)
    assert [(stage.name, stage.epochs, stage.keep_best) for stage in (first, second)] == [
        ("first step", 10, True),
        ("target", 5, True),
    ]
    # as above: two epochs without a better one halve the rate, a restart after four brings it back
    assert [stage.rate([0.5, 0.4, 0.4, 0.3]) for stage in (first, second)] == [0.5, 1]
    assert first.dice(None) == 0.7


def test_without_a_second_step_there_are_no_restarts(stages):
    ([only], _) = stages(second_step=0.0, patience=2, restart=4)
    assert (only.name, only.epochs, only.rate([0.5, 0.4, 0.4, 0.3])) == ("target", 10, 0.5)


def test_half_of_the_blocks_do_not_tell_which_slices_are_drawn(stages):
    [stage, _], asked = stages()
    seen = []
    stage.batch_loss(lambda images: seen.append(images) or images, None, torch.Generator().manual_seed(0))
    told = seen[0][:, 1].flatten(1).mean(1)  # nothing is known: 1 where it is hidden
    assert set(told.tolist()) == {0, 1} and told.mean().item() == pytest.approx(0.5, abs=0.1)
    assert asked == [(8, True)]


def test_holes_are_filled_where_a_class_encloses_background_and_not_where_another_class_is():
    ring = np.array([[1, 1, 1, 1, 0], [1, 0, 2, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]], np.uint8)
    assert fill_holes(ring).tolist()[1] == [1, 1, 2, 1, 0]
    assert fill_holes(ring).sum() == ring.sum() + 1
    shell = np.ones((3, 3, 3), np.uint8)
    shell[1, 1, 1] = 0
    assert fill_holes(shell).all()
    shell[0, 1, 1] = 0  # open at one side: no hole
    assert np.array_equal(fill_holes(shell), shell)
