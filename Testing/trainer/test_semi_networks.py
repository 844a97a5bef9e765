"""Several semi-supervised networks, which see slices at different sizes, answer together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.training.resolving import described, resolve
from sparseseg_trainer.training.semi_networks import SemiNetworks
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.supervised import SMALL, semi_parts


class Answer(nn.Module):
    """Answers to every pixel with the same logits; remembers the size of what it was shown."""

    def __init__(self, *logits: float):
        super().__init__()
        self.logits = torch.tensor(logits).view(1, -1, 1, 1)

    def forward(self, images):
        self.seen = tuple(images.shape[2:])
        return self.logits.expand(len(images), -1, *self.seen)


def test_the_answer_is_the_mean_of_the_probabilities():
    sure, unsure = Answer(0.0, 2.0), Answer(1.0, 0.0)
    together = SemiNetworks([sure, unsure], [1.0, 1.0])(torch.zeros(2, 1, 32, 48)).softmax(1)
    expected = (torch.tensor([0.0, 2.0]).softmax(0) + torch.tensor([1.0, 0.0]).softmax(0)) / 2
    assert together.shape == (2, 2, 32, 48)
    torch.testing.assert_close(together, expected.view(1, 2, 1, 1).expand(2, 2, 32, 48))


def test_a_network_of_another_scale_sees_smaller_slices_and_answers_for_all_pixels():
    full, small = Answer(0.0, 1.0), Answer(0.0, 1.0)
    answer = SemiNetworks([full, small], [1.0, 0.7])(torch.zeros(1, 1, 112, 160))
    assert (full.seen, small.seen) == ((112, 160), (80, 112)) and answer.shape == (1, 2, 112, 160)


def test_one_network_alone_answers_as_it_does_without_the_others():
    network, images = nn.Conv2d(1, 3, 1), torch.rand(2, 1, 16, 16)
    assert torch.equal(SemiNetworks([network], [1.0])(images), network(images))


def test_a_reduced_slice_keeps_what_it_shows_in_its_place():
    image = torch.zeros(1, 1, 160, 160)
    image[..., 40:80, 96:128] = 1
    seen = SemiNetworks([nn.Identity()], [0.7])(image)
    assert ((seen > 0.5) == (image > 0.5)).float().mean() > 0.99


def test_small_slices_are_not_reduced():
    settings = resolve(TrainSettings(semi_scales=(1.0, 0.5)))
    assert semi_parts(settings, (SMALL, 2)) == {"semi": 1.0, "semi 2": 0.5}
    assert semi_parts(settings, (SMALL, 1)) == {"semi": 1.0, "semi 2": 1.0}


@pytest.mark.parametrize("scales", [(), (0.1,), (1.5,), (1.0,) * 4])
def test_scales_without_sense_are_refused_in_one_sentence(scales):
    with pytest.raises(InputError, match="semi_scales") as error:
        resolve(TrainSettings(semi_scales=scales))
    assert "numbers from" in error.value.advice


def test_the_paper_has_one_network_of_the_working_resolution():
    settings = resolve(TrainSettings(preset="paper"))
    assert settings.semi_scales == (1.0,) and "semi_scales" not in described(settings)
