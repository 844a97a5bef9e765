"""The networks and losses of zheng2020, against numbers worked out by hand and on small volumes."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.dense_networks import DenseVoxNet, Representative, agreement, apart, together
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.loop import Run, Trainer
from sparseseg_trainer.training.methods import dense_voxnet, representative
from sparseseg_trainer.training.methods.dense_voxnet import known_cross_entropy, supervised_twice
from sparseseg_trainer.training.methods.representative import best_known, labelled_patches, nearest, pseudo_labels
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings, Volumetric

LN2, LN4 = math.log(2), math.log(4)
SHAPE = NetworkShape(0, 2, 4, 1, 1, "representative", (8, 16, 16))


def logits(*rows):
    """Logits (1, 2, 1, 1, voxels) whose softmax has these probabilities of the one class."""
    values = torch.tensor(rows).view(1, 1, 1, 1, -1)
    return torch.cat([1 - values, values], 1).log()


def labels(*values):
    return torch.tensor(values, dtype=torch.uint8).view(1, 1, 1, -1)


@pytest.fixture
def tiny_run(dense_cohort, tmp_path) -> Run:
    """A training on three volumes with every third slice of the structure drawn, as far as its data."""
    sparsify(dense_cohort, tmp_path / "sparse", "every:3")
    how = Volumetric(patch=(16, 32, 32), planes=2)
    settings = resolve(TrainSettings("representative", "fast", width=4, depth=1, batch=3, volumetric=how))
    data = prepare(read_cohort(tmp_path / "sparse"), tmp_path / "cache", 0, Reporter())
    return Run(data, settings, torch.device("cpu"), tmp_path, Reporter(), [])


def test_the_cross_entropy_is_the_mean_of_the_known_voxels_alone():
    known = torch.tensor([True, True, False, False]).view(1, 1, 1, 4)
    answer, truth = logits(0.5, 0.75, 0.9, 0.1), labels(1, 0, 0, 1)
    assert known_cross_entropy(answer, truth, known).item() == pytest.approx((LN2 + LN4) / 2)
    assert known_cross_entropy(answer, truth, known & False).item() == 0
    side = logits(0.25, 0.75, 0.5, 0.5)
    both = supervised_twice((answer, side), truth, known, 0.5).item()
    assert both == pytest.approx((LN2 + LN4) / 2 + 0.5 * LN4)


def test_the_side_path_of_dense_voxnet_counts_as_much_as_set(tiny_run, monkeypatch):
    stages, classes = [], tiny_run.data.classes + 1
    monkeypatch.setattr(dense_voxnet, "train_stage", lambda run, stage: stages.append(stage))
    how = replace(tiny_run.settings.volumetric, side=0.4)
    tiny_run.settings = replace(tiny_run.settings, volumetric=how)
    dense_voxnet.train(tiny_run)
    undecided = torch.zeros(3, classes, 16, 32, 32)  # the entropy of each path's answer is ln(classes)
    network = SimpleNamespace(answers=lambda images: (undecided, undecided))
    loss = stages[0].batch_loss(network, None, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(1.4 * math.log(classes), rel=1e-5)


def test_the_agreement_is_the_share_of_pseudo_labels_that_have_a_class():
    votes = torch.stack([labels(0, 1, 2), labels(0, 1, 1), labels(0, 1, 2), labels(0, 0, 2)])
    expected = torch.tensor([[0, 0.75, 0.25], [0, 0, 0.75]]).view(1, 2, 1, 1, 3)
    assert torch.equal(agreement(votes, 2), expected)


def test_the_nearest_pseudo_labels_have_the_lowest_cross_entropy_inside_the_volume():
    answer = torch.cat([logits(0.9, 0.9, 0.1), logits(0.1, 0.1, 0.9)])
    sets = torch.stack([torch.cat([labels(0, 1, 0)] * 2), torch.cat([labels(1, 1, 1)] * 2)])
    inside = torch.ones(2, 1, 1, 3, dtype=torch.bool)
    # -ln 0.9 - ln 0.1 for each that is right and wrong: the first patch has one wrong with both, the second two
    assert nearest(answer[:1], sets[:, :1], inside[:1]).tolist() == [0]
    inside[0, ..., 2] = inside[1, ..., :2] = False  # now (0, 1) against (1, 1) of the first; 0 against 1 of the second
    assert nearest(answer, sets, inside).tolist() == [1, 1]


def test_a_patch_is_taken_apart_into_its_slices_across_each_axis_and_put_together_again():
    patches = torch.rand(2, 1, 3, 4, 5)
    slices = [apart(patches, axis) for axis in range(3)]
    assert [tuple(part.shape) for part in slices] == [(6, 1, 4, 5), (8, 1, 3, 5), (10, 1, 3, 4)]
    assert torch.equal(slices[1][4 + 2, 0], patches[1, 0, :, 2])
    assert torch.equal(slices[2][3, 0], patches[0, 0, :, :, 3])
    assert all(torch.equal(together(part, axis, 2), patches) for axis, part in enumerate(slices))


def test_dense_voxnet_has_the_papers_layers_and_the_meta_network_a_branch_more():
    paper = NetworkShape(0, 2, 16, 4, 1, "dense_voxnet", (64, 128, 128))
    with torch.device("meta"):
        plain, meta = DenseVoxNet(paper), DenseVoxNet(paper, (1, 2))
    [block] = (part for part in plain.branches[0] if isinstance(part, nn.Sequential))
    assert len(block) == 12 and all(layer[2].out_channels == 12 for layer in block)
    assert plain.transition[2].out_channels == 16 + 12 * 12  # 160 features, as in Yu 2017
    assert plain.deep[2][2].out_channels == 160 + 12 * 12  # 304
    assert [plain.deep[n].out_channels for n in (3, 4)] == [128, 64]
    assert len(meta.branches) == 2 and meta.branches[1][0].in_channels == 2
    assert meta.transition[2].in_channels == 2 * 160


def test_the_answer_depends_on_the_patch_and_on_how_the_base_networks_agree():
    torch.manual_seed(0)
    network = Representative(SHAPE).eval()
    patches = torch.rand(1, 1, 8, 16, 16)
    with torch.no_grad():
        votes = torch.stack([source(patches).argmax(1) for source in network.sources()])
        assert votes.shape == (4, 1, 8, 16, 16)
        assert torch.equal(network(patches), network.meta(patches, agreement(votes, 2)))
        assert not torch.equal(network(patches), network.meta(patches, torch.zeros(1, 2, 8, 16, 16)))
        assert torch.equal(network.planes.answers(patches)[1], network.sources()[1](patches))


def test_slices_across_the_other_axes_are_seen_where_anything_on_them_is_known():
    known = torch.zeros(1, 3, 4, 5, dtype=torch.bool)
    known[:, 1] = True  # one drawn slice
    generator = torch.Generator().manual_seed(0)
    assert best_known(known, 0, 9, generator).tolist() == [1]
    assert sorted(best_known(known, 1, 9, generator).tolist()) == [0, 1, 2, 3]
    assert len(best_known(known, 2, 2, generator)) == 2


def test_across_each_axis_the_slices_drawn_across_it_are_seen_and_where_there_are_none_what_crosses_the_others():
    known = torch.zeros(2, 3, 4, 5, dtype=torch.bool)
    known[0, :, 2] = known[1, 1] = True  # a row of the first patch, a slice of the second
    generator = torch.Generator().manual_seed(0)
    assert sorted(best_known(known, 0, 9, generator).tolist()) == [0, 1, 2, 3 + 1]
    assert sorted(best_known(known, 1, 9, generator).tolist()) == [2, 4 + 0, 4 + 1, 4 + 2, 4 + 3]
    assert len(best_known(known, 2, 99, generator)) == 2 * 5
    assert len(best_known(known & False, 0, 99, generator)) == 2 * 3  # a step without a gradient, but a step


def test_where_few_slices_are_drawn_across_an_axis_those_that_cross_others_fill_the_batch():
    known = torch.zeros(1, 6, 8, 8, dtype=torch.bool)
    known[0, 2] = known[0, :, 5] = True
    generator = torch.Generator().manual_seed(0)
    assert best_known(known, 0, 1, generator).tolist() == [2]
    four = best_known(known, 0, 4, generator).tolist()
    assert four[0] == 2 and len(set(four)) == 4
    assert sorted(best_known(known, 0, 9, generator).tolist()) == [0, 1, 2, 3, 4, 5]


class Always(nn.Module):
    """Stands for a network that says one of four classes, everywhere."""

    def __init__(self, label):
        super().__init__()
        self.label = nn.Parameter(torch.eye(4)[label].view(1, 4, 1, 1, 1))

    def forward(self, patches):
        return self.label.expand(len(patches), 4, *patches.shape[2:])


def test_each_network_makes_a_set_of_pseudo_labels_and_what_is_known_stays(tiny_run):
    data, network = tiny_run.data, nn.Module()
    network.sources = lambda: [Always(label) for label in (3, 0, 1, 2)]
    found = pseudo_labels(tiny_run, network)
    assert found.shape == (4, *data.labels.shape) and found.dtype == torch.uint8
    assert all(torch.equal(own[data.drawn], data.labels[data.drawn]) for own in found)
    assert not found[:, data.absent].any()
    inside = torch.stack([own[data.unknown][:, :32, 2:-2].unique() for own in found])
    assert inside.tolist() == [[3], [0], [1], [2]]


def test_a_slice_is_drawn_across_an_axis_if_half_as_much_of_it_is_known_as_of_any():
    for pixels, chosen in ((4, {0}), (5, {0, 1})):  # of ten that are known of the first slice
        known = torch.zeros(1, 2, 1, 10, dtype=torch.bool)
        known[:, 0] = known[:, 1, :, :pixels] = True
        generator = torch.Generator().manual_seed(0)
        assert {best_known(known, 0, 1, generator).item() for _ in range(20)} == chosen


def test_the_network_of_slices_learns_from_all_three_axes_alike(tiny_run, monkeypatch):
    stages, shown, losses = [], [], iter((1.0, 2.0, 6.0))
    monkeypatch.setattr(representative, "train_stage", lambda run, stage: stages.append(stage))
    monkeypatch.setattr(
        representative,
        "known_cross_entropy",
        lambda answers, truth, known: shown.append(tuple(truth.shape)) or next(losses),
    )
    how = replace(tiny_run.settings.volumetric, planes_epochs=2.5)
    tiny_run.settings = replace(tiny_run.settings, baseline_epochs=4, volumetric=how)
    representative.train_planes(tiny_run)
    [stage] = stages
    assert stage.epochs == 10
    network = SimpleNamespace(slices=lambda images: images)
    assert stage.batch_loss(network, None, torch.Generator().manual_seed(0)) == 3  # the mean of the axes
    assert shown == [(6, 32, 32), (6, 16, 32), (6, 16, 32)]  # two slices of each of three patches


def test_in_the_preset_paper_the_rate_of_the_network_of_slices_falls_once_and_that_of_dense_voxnet_all_along(
    tiny_run, monkeypatch
):
    stages, rates = {}, {}
    tiny_run.settings = resolve(TrainSettings("representative", "paper", width=4, depth=1))
    for module in (representative, dense_voxnet):
        monkeypatch.setattr(module, "train_stage", lambda run, stage: stages.update({stage.name: stage}))
    representative.train_planes(tiny_run)
    dense_voxnet.train_voxels(tiny_run, "voxels")
    for name, stage in stages.items():
        trainer = Trainer(tiny_run, stage)
        rates[name] = []
        for trainer.steps_done in (0, 7500, 9999, 10000, 14999):
            rates[name].append(trainer.learning_rate())
    assert rates["planes"] == pytest.approx([5e-4, 5e-4, 5e-4, 5e-5, 5e-5])
    assert rates["voxels"][:2] == pytest.approx([5e-4, 2.6794e-4], rel=1e-4)  # 0.5^0.9 of it half way


def test_the_four_sets_of_a_patch_come_from_one_place(tiny_run):
    places = torch.arange(tiny_run.data.labels.numel()).reshape(tiny_run.data.labels.shape) % 2
    pseudo = torch.stack([places, places, 1 - places, places]).to(torch.uint8)
    images, sets, inside = labelled_patches(tiny_run, pseudo, torch.Generator().manual_seed(0))
    assert images.shape == (3, 1, 16, 32, 32) and sets.shape == (4, 3, 16, 32, 32)
    assert inside.sum() == 3 * 14 * 32 * 28
    assert torch.equal(sets[0], sets[1]) and torch.equal(sets[0], sets[3])
    assert not torch.equal(sets[0], sets[2])


@pytest.mark.parametrize(("done", "fits"), [(0.24, [0, 1, 2, 3]), (0.25, [2])])
def test_the_meta_network_fits_random_labels_first_and_the_nearest_later(tiny_run, monkeypatch, done, fits):
    stages, targets, nearest_to = [], [], []
    how = replace(tiny_run.settings.volumetric, nearest_from=0.25, side=0.4)
    tiny_run.settings = replace(tiny_run.settings, volumetric=how)
    monkeypatch.setattr(representative, "train_stage", lambda run, stage: stages.append(stage) or stage.network)
    monkeypatch.setattr(representative, "nearest", lambda answer, *_: nearest_to.append(answer) or torch.full((3,), 2))

    def supervised(answers, target, inside, side):
        targets.append(target.unique().tolist())
        assert side == 0.4 and (not nearest_to or torch.equal(nearest_to[-1], answers[0]))

    monkeypatch.setattr(representative, "supervised_twice", supervised)
    monkeypatch.setattr(
        representative,
        "labelled_patches",
        lambda run, pseudo, generator: (
            torch.zeros(3, 1, 8, 8, 8),
            torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1, 1).expand(4, 3, 8, 8, 8),
            None,
        ),
    )
    monkeypatch.setattr(representative, "agreement", lambda sets, classes: torch.zeros(3, 1, 8, 8, 8))
    network = representative.train_meta(tiny_run, Representative(representative.run_shape(tiny_run)), None)
    assert {name.partition(".")[0] for name, value in network.named_parameters() if value.requires_grad} == {"meta"}
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        stages[0].batch_loss(network, done, generator)
    assert sorted({value for found in targets for value in found}) == fits
    steps = [batch for epoch in range(10) for batch in stages[0].epoch_batches(epoch, network, generator)]
    assert steps == pytest.approx([number / len(steps) for number in range(len(steps))])
