"""The network that sees whole volumes, beside that of slices: its grid, its training, and what it adds to an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantoms import TINY_VIEWS, Warnings, short_of_memory
from torch import nn

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.models import load_model
from sparseseg_trainer.network_shape import NetworkShape, Overview
from sparseseg_trainer.overview import add_overview, coarse
from sparseseg_trainer.segmentation_network import SeveralViews
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.training import overview_training
from sparseseg_trainer.training.coding import UNCERTAIN
from sparseseg_trainer.training.overview_training import coarse_case, overview_of, stretched, window_of
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.views_training import with_overview

SEEN = Overview(4, 16, (32, 48), 2.0)


class Same(nn.Module):
    """Answers that every voxel is structure."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(20.0))

    def forward(self, images):
        return torch.cat([-self.weight * torch.ones_like(images), self.weight * torch.ones_like(images)], 1)


@pytest.mark.parametrize(("slices", "spacing", "depth"), [(16, 2.0, 16), (40, 1.0, 20), (5, 6.0, 15), (1, 0.1, 1)])
def test_a_volume_is_brought_to_the_overviews_spacing(slices, spacing, depth):
    volume = coarse(np.full((slices, 32, 48), 0.25, np.float32), spacing, SEEN)
    assert volume.shape == (depth, 16, 16)
    assert torch.allclose(volume, torch.tensor(0.25))


def test_what_is_seen_keeps_its_place():
    image = np.zeros((16, 32, 48), np.float32)
    image[8:, :16, 24:] = 1  # an eighth of the volume
    corner = coarse(image, 2.0, SEEN)
    assert corner[9:, :7, 9:].min() > 0.9
    assert corner[:7].max() < 0.1 and corner[:, 9:].max() < 0.1 and corner[:, :, :7].max() < 0.1


@pytest.mark.parametrize("size", [(32, 48), (20, 30), (50, 48), (64, 80)])
@pytest.mark.parametrize("slices", [3, 16, 60])
def test_an_answer_is_averaged_with_the_overviews_where_that_sees_the_image(size, slices):
    probability = np.stack([np.ones((slices, *size), np.float32), np.zeros((slices, *size), np.float32)], 1)
    network = SeveralViews(nn.Identity(), {"overview": Same()}, NetworkShape(0, 1, 4, 1, 1, overview=SEEN))
    add_overview(probability, network, np.zeros((slices, *size), np.float32), 2.0, False, 0.5)
    assert np.allclose(probability.sum(1), 1, atol=1e-5)
    seen = probability[:, 1] > 0.25
    assert np.allclose(probability[:, 1][seen], 0.5, atol=1e-4) and not probability[:, 1][~seen].any()
    assert seen.sum() == slices * min(size[0], 32) * min(size[1], 48)


def test_an_overview_learns_what_the_volumes_have_in_common(dense_cohort, tmp_path):
    settings = TINY_VIEWS | {"method": "full", "steps": 20, "overview_epochs": 4}
    train(dense_cohort, tmp_path / "model", TrainSettings(**settings))
    loaded, volume = load_model(tmp_path / "model"), load_case(read_cohort(dense_cohort).cases[0])
    answer = np.zeros((*volume.image.shape[:1], 2, *volume.image.shape[1:]), np.float32)
    add_overview(answer, loaded.network, volume.image, 3.0, False, 0.5)
    found, truth = answer[:, 1] > 0.25, volume.label > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7


def test_uncertain_labels_are_learned_as_their_class(views_run):
    views_run.data.classes = 3
    labels = torch.zeros_like(views_run.data.labels)
    labels[:14, :, :16], labels[:14, :, 16:] = 3, UNCERTAIN + 2
    (image, label), kept = coarse_case(views_run, views_run.data.cases[0], overview_of(views_run), labels)
    assert image.shape == label.shape == (16, 16, 16) and image.dtype == torch.float32
    assert (label[:, :, :8] == 3).all() and (label[:, :, 8:] == 2).all()
    assert kept == [None, 1.0, 1.0]


def test_a_structure_too_thin_for_the_overview_is_left_to_the_slices(views_run):
    labels = torch.zeros_like(views_run.data.labels)
    labels[:, 10, 4:28] = 1  # a line of one pixel
    views_run.settings, network = replace(views_run.settings, orthogonal_epochs=0), nn.Identity()
    assert with_overview(views_run, network, labels) is network
    assert "too thin" in views_run.reporter.messages[0]


def test_image_and_label_are_stretched_alike():
    ramp = torch.arange(16.0)[:, None, None].expand(-1, 16, 16)
    lengths = set()
    for seed in range(20):
        image, label = stretched(ramp, ramp, torch.Generator().manual_seed(seed))
        assert (image - label).abs().max() <= 0.5 + 1e-5
        lengths.add(round(float(image[9, 0, 0] - image[6, 0, 0]), 2))
    assert len(lengths) > 15 and 3 * 0.8 < min(lengths) < 2.8 and 3.2 < max(lengths) < 3 * 1.25


def test_a_short_volume_is_seen_between_zeros():
    image, label = window_of(torch.ones(5, 16, 16), torch.ones(5, 16, 16), 16, torch.Generator())
    assert image.amax((1, 2)).tolist() == label.amax((1, 2)).tolist() == [0] * 5 + [1] * 5 + [0] * 6


def test_windows_of_a_long_volume_show_all_its_parts():
    volume = torch.arange(40.0)[:, None, None].expand(-1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    firsts = {int(window_of(volume, volume, 16, generator)[0][0, 0, 0]) for _ in range(300)}
    assert firsts == set(range(25))


def test_where_the_overview_needs_too_much_memory_its_own_batch_is_halved(tiny_cohort, tmp_path, monkeypatch):
    sizes, warnings = short_of_memory(monkeypatch, overview_training, "augment", 2), Warnings()
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY_VIEWS), warnings)
    assert sizes[0] == 4 and sizes[-1] == 2
    assert "2 volumes at a time" in warnings.messages[-1]
