"""The networks of the orthogonal planes: how volumes are cut, what is learned from, and what comes back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from phantoms import TINY_VIEWS, Warnings, short_of_memory
from torch import nn

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.cohort_grid import match_brightness
from sparseseg_trainer.models import load_model
from sparseseg_trainer.network_shape import Orthogonal
from sparseseg_trainer.orthogonal import cut_depth, cuts, orthogonal_probabilities, uncut
from sparseseg_trainer.prediction import probabilities
from sparseseg_trainer.segmentation_network import PLANES, SeveralViews
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.training import orthogonal_training
from sparseseg_trainer.training.coding import UNCERTAIN
from sparseseg_trainer.training.methods import collaborative
from sparseseg_trainer.training.orthogonal_training import SHOWN, Cuts, cut_spacing, train_orthogonal
from sparseseg_trainer.training.pseudo_labels import fused_labels
from sparseseg_trainer.training.semi_networks import SemiNetworks
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.supervised import network_shape, new_network
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.views import predicted
from sparseseg_trainer.training.views_training import wants_cuts
from sparseseg_trainer.views import add_views

SIDES = st.integers(1, 9)
both_planes = pytest.mark.parametrize("axis", list(PLANES.values()), ids=list(PLANES))


@both_planes
@given(data=st.data(), shape=st.tuples(SIDES, SIDES, SIDES))
def test_a_volume_that_is_cut_and_put_together_is_the_same(axis, data, shape):
    volume = data.draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    pieces = cuts(volume, axis, len(volume))
    assert pieces.shape == (shape[axis], shape[0], shape[3 - axis])
    both = np.stack([pieces, 1 - pieces], 1)
    assert np.array_equal(uncut(both, axis, len(volume)), np.stack([volume, 1 - volume], 1))


@both_planes
@pytest.mark.parametrize("depth", [6, 30])
def test_what_is_cut_keeps_its_place_whatever_the_spacing(axis, depth):
    image = np.zeros((12, 20, 28), np.float32)
    image[6:, :10, 14:] = 1  # an eighth of the volume
    pieces = cuts(image, axis, depth)
    assert pieces.shape == (image.shape[axis], depth, image.shape[3 - axis])
    shown = pieces.mean((1, 2)) > 0.1
    assert shown.tolist() == (image.max((0, 3 - axis)) > 0).tolist()
    assert pieces[shown][:, : depth // 2 - 1].max() < 0.01
    back = uncut(pieces[:, None], axis, 12)[:, 0]
    assert ((back > 0.5) == (image > 0)).all()


@pytest.mark.parametrize(("slices", "spacing", "depth"), [(20, 3.0, 60), (88, 0.6, 53), (1, 0.1, 1)])
def test_cuts_have_the_spacing_of_the_model(slices, spacing, depth):
    assert cut_depth(slices, spacing, 1.0) == depth


@both_planes
def test_the_network_learns_from_cuts_as_it_is_asked_with(axis, views_run):
    data = views_run.data
    labels = torch.randint(0, 3, data.labels.shape, dtype=torch.uint8)
    spacing = cut_spacing(views_run)
    some = Cuts(views_run, axis, spacing, labels)
    case = data.cases[1]
    depth = cut_depth(case.stop - case.start, case.slice_spacing, spacing)
    images, found = some.look_up(torch.arange(some.lines) + some.lines, torch.Generator())
    assert images.shape[2:] == found.shape[1:] == some.shape and images.dtype == torch.float32
    above = (some.shape[0] - depth) // 2
    inside = slice(above, above + depth)
    expected = cuts(data.working_image(case), axis, depth)
    assert np.allclose(images[:, 0, inside].numpy(), expected, atol=1e-5)
    assert not images[:, 0, :above].any() and not images[:, 0, above + depth :].any()
    thirds = np.moveaxis(labels[case.start : case.stop].numpy(), axis, 0)
    nearest = ((np.arange(depth) + 0.5) * thirds.shape[1] / depth).astype(int)
    assert np.array_equal(found[:, inside].numpy(), thirds[:, nearest])


@both_planes
def test_cuts_through_the_structure_are_told_from_others_and_padding_is_not_learned_from(axis, views_run):
    data = views_run.data
    data.cases = [replace(case, size=(20, 24)) for case in data.cases]  # of 32 x 32, in the middle
    labels = torch.zeros_like(data.labels)
    first = data.cases[1].start
    labels[first + 3, 10:15, 12] = UNCERTAIN + 1
    some = Cuts(views_run, axis, 1.0, labels)
    (shown, share), (others, rest) = some.parts()
    assert (share, rest) == (SHOWN, 1 - SHOWN)
    assert (shown - some.lines).tolist() == ([10, 11, 12, 13, 14] if axis == 1 else [12])
    assert len(shown) + len(others) == len(data.cases) * data.cases[0].size[axis - 1]
    assert some.look_up(shown, torch.Generator())[1].unique().tolist() == [0, 1]  # uncertain ones count as certain


@pytest.mark.parametrize("shape", [(32, 64), (64, 32)])
def test_no_cut_is_larger_than_a_slice(shape, views_run):
    data = views_run.data
    data.grid = replace(data.grid, shape=shape)
    data.images, data.labels = (torch.zeros(len(data.images), *shape, dtype=torch.uint8) for _ in range(2))
    data.cases = [replace(case, slice_spacing=500.0, size=shape) for case in data.cases]
    for axis in PLANES.values():
        some = Cuts(views_run, axis, cut_spacing(views_run), data.labels)
        assert math.prod(some.shape) <= math.prod(shape)
        assert some.look_up(torch.arange(3), torch.Generator())[0].shape == (3, 1, *some.shape)


def test_a_spacing_that_cannot_be_right_does_not_fill_the_memory():
    assert cut_depth(20, 3.0, 1e-9) == 16 * 20


def test_cuts_through_long_volumes_show_all_of_what_is_labeled_by_and_by(views_run):
    data = views_run.data
    data.cases[0] = replace(data.cases[0], slice_spacing=4 * data.cases[0].slice_spacing)
    labels = torch.zeros_like(data.labels)
    labels[11:14] = 1  # at the very end of a volume that is seen in part
    some = Cuts(views_run, 1, cut_spacing(views_run), labels)
    number, generator = some.parts()[0][0][:1].expand(60), torch.Generator().manual_seed(0)
    images, found = some.look_up(number, generator)
    assert found.amax((1, 2)).all()
    assert images.flatten(1).unique(dim=0).shape[0] > 5
    labels[:] = 0  # nothing there: any part may be seen
    assert some.look_up(number, generator)[0].flatten(1).unique(dim=0).shape[0] > 5


def test_longer_volumes_fill_a_cut_and_shorter_ones_lie_between_zeros(views_run):
    data = views_run.data
    data.cases[0] = replace(data.cases[0], slice_spacing=3 * data.cases[0].slice_spacing)
    data.cases[1] = replace(data.cases[1], slice_spacing=data.cases[1].slice_spacing / 3)
    data.images = torch.full_like(data.images, 255)
    some = Cuts(views_run, 1, cut_spacing(views_run), data.labels)
    middle = some.lines // 2
    long, short = some.look_up(torch.tensor([middle, middle + some.lines]), torch.Generator())[0][:, 0, :, middle]
    assert long.min() > 0.99
    assert short[len(short) // 2] > 0.99 and not short[:4].any() and not short[-4:].any()


def test_they_learn_what_the_volumes_have_in_common(dense_cohort, tmp_path):
    settings = TINY_VIEWS | {"method": "full", "baseline_epochs": 1, "overview_epochs": 0, "orthogonal_epochs": 4}
    settings |= {"width": 8, "batch": 8, "steps": 20, "learning_rate": 0.005, "averaging": 0.9}
    train(dense_cohort, tmp_path / "model", TrainSettings(**settings))
    loaded, volume = load_model(tmp_path / "model"), load_case(read_cohort(dense_cohort).cases[0])
    image = match_brightness(volume.image, loaded.info.brightness)
    depth = cut_depth(len(image), volume.spacing[0], loaded.info.network.orthogonal.spacing)
    for name, axis in PLANES.items():
        answer = orthogonal_probabilities(getattr(loaded.network, name), image, axis, depth, flips=False)
        assert answer.shape == (len(image), 2, *image.shape[1:])
        assert np.allclose(answer.sum(1), 1, atol=1e-4)
        found, truth = answer[:, 1] > 0.5, volume.label > 0
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7, name


@pytest.mark.parametrize("warm", [True, False])
def test_they_start_from_the_network_of_slices_if_that_is_set(warm, tiny_cohort, tmp_path):
    settings = TINY_VIEWS | {"learning_rate": 1e-8, "warm_start": warm, "overview_epochs": 0}
    train(tiny_cohort, tmp_path / "model", TrainSettings(**settings))
    network = load_model(tmp_path / "model").network
    for name in PLANES:
        pairs = zip(network.slices.parameters(), getattr(network, name).parameters(), strict=True)
        assert all(torch.allclose(*pair, atol=1e-6) for pair in pairs) == warm


def test_they_learn_several_labels(views_run):
    views_run.data.classes = 2
    labels = torch.randint(0, 3, views_run.data.labels.shape, dtype=torch.uint8)
    slices = new_network(views_run)
    networks, orthogonal = train_orthogonal(views_run, slices, labels)
    image = views_run.data.working_image(views_run.data.cases[0])
    both = SeveralViews(slices, networks, replace(network_shape(views_run), orthogonal=orthogonal))
    answer = np.full((len(image), 3, *image.shape[1:]), 1 / 3, np.float32)
    add_views(answer, both, image, 3.0, flips=False)
    assert np.allclose(answer.sum(1), 1, atol=1e-4) and (answer > 0).all()


class Sure(nn.Module):
    """Answers the same everywhere: that there is the structure, or that there is none."""

    def __init__(self, structure: bool):
        super().__init__()
        self.answer = nn.Parameter(torch.tensor([-100.0, 100.0] if structure else [100.0, -100.0]))

    def forward(self, images):
        return self.answer.view(1, 2, 1, 1).expand(len(images), 2, *images.shape[2:])


@pytest.mark.parametrize("cuts_see", [True, False])
def test_they_label_together_with_the_first_networks(cuts_see, views_run):
    views_run.settings = replace(views_run.settings, smoothing=0.0)
    shape = replace(network_shape(views_run), orthogonal=Orthogonal(cut_spacing(views_run)))
    labeling = SeveralViews(Sure(not cuts_see), {name: Sure(cuts_see) for name in PLANES}, shape)
    fused = fused_labels(views_run, labeling, None)
    unknown = views_run.data.unknown
    assert (fused[unknown] == cuts_see).all()  # two of three
    assert torch.equal(fused[views_run.data.drawn], views_run.data.labels[views_run.data.drawn])
    assert not fused[views_run.data.absent].any()


def test_the_final_networks_learn_what_cuts_and_first_networks_label_together(views_run, monkeypatch):
    learned = {}
    monkeypatch.setattr(collaborative, "fused_labels", lambda run, network, registration, stage="": (stage, network))
    monkeypatch.setattr(collaborative, "kept", lambda run, make, name="fused": make())
    monkeypatch.setattr(collaborative, "train_target", lambda run, semi, labels: learned.update(target=labels) or semi)
    monkeypatch.setattr(
        collaborative, "with_overview", lambda run, network, labels: learned.update(overview=labels) or network
    )
    semi, cut = SemiNetworks([Sure(True)], [1.0]), SeveralViews(Sure(True), {"rows": Sure(True)}, None)
    monkeypatch.setattr(
        collaborative, "with_cuts", lambda run, slices, start, labels: learned.update(cuts=labels) or cut
    )
    network = collaborative.train_on_labels(views_run, semi, None)
    assert learned["cuts"] == ("first labels", semi)
    assert learned["target"] == learned["overview"] == ("", cut)
    assert network.slices is semi and network.beside == cut.beside


def test_volumes_of_few_slices_are_not_cut_and_the_user_is_told(views_run):
    assert wants_cuts(views_run) and not views_run.reporter.messages
    views_run.data.cases = [replace(case, stop=case.start + 9) for case in views_run.data.cases]
    assert not wants_cuts(views_run)
    assert "too few slices" in views_run.reporter.messages[0]


def test_as_few_cuts_are_predicted_at_once_as_slices_where_the_memory_is_short(views_run, monkeypatch):
    counts = []

    def counted(network, images, flips):
        counts.append(len(images))
        return probabilities(network, images, flips)

    networks, orthogonal = train_orthogonal(views_run, new_network(views_run), views_run.data.labels)
    network = SeveralViews(new_network(views_run), networks, replace(network_shape(views_run), orthogonal=orthogonal))
    monkeypatch.setattr("sparseseg_trainer.orthogonal.probabilities", counted)
    views_run.settings = replace(views_run.settings, batch=1)
    predicted(views_run, network.eval(), views_run.data.drawn)
    assert max(counts) == 4


def test_where_they_need_too_much_memory_the_batch_is_halved(tiny_cohort, tmp_path, monkeypatch):
    sizes, warnings = short_of_memory(monkeypatch, orthogonal_training, "augment", 2), Warnings()
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS), warnings)
    assert sizes[0] == 4 and sizes[-1] == 2
    assert "2 slices at a time" in warnings.messages[-1]
