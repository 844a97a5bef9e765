"""What the students of mean teachers learn without labels, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from pixels import Slope, probability
from torch import nn

from sparseseg_trainer.training.consistency import deviations, entropy, masked_mean, noisy, rising, squared_error
from sparseseg_trainer.training.methods import ac_mt, ict, mean_teacher, ua_mt
from sparseseg_trainer.training.methods.ac_mt import ambiguous
from sparseseg_trainer.training.methods.ict import mix, shares
from sparseseg_trainer.training.methods.ua_mt import certain
from sparseseg_trainer.training.settings import Consistency
from sparseseg_trainer.training.teaching import Lesson, answer, taught


class Passes(nn.Module):
    """A teacher that answers with these softmax maps, one a pass."""

    def __init__(self, *answers: torch.Tensor):
        super().__init__()
        self.left = list(answers)

    def forward(self, images):
        return self.left.pop(0).log()


def lesson(teacher: nn.Module, done: float, unlabelled: torch.Tensor) -> Lesson:
    """A batch of ``unlabelled`` images (B, 1, ...) and a dark one with a label before them."""
    labels = torch.zeros(1, *unlabelled.shape[2:], dtype=torch.uint8)
    images = torch.cat([torch.zeros_like(unlabelled[:1]), unlabelled])
    return Lesson(images, labels, teacher, done, torch.Generator().manual_seed(0))


def test_the_teachers_noise_is_cut_off_at_its_limit():
    noise = noisy(torch.zeros(100, 100), 0.1, 0.2, torch.Generator().manual_seed(0))
    assert noise.abs().max().item() == pytest.approx(0.2)
    assert (noise.abs() > 0.1999).float().mean().item() == pytest.approx(0.0455, abs=0.01)  # beyond two deviations
    assert noise.std().item() == pytest.approx(0.0959, abs=0.002)


def test_the_teacher_sees_noise_and_is_not_trained():
    target = taught(lesson(Slope(1.0), 0.5, torch.zeros(1, 1, 1, 1)), Consistency())
    assert not target.requires_grad
    logit = torch.log(target[0, 1] / target[0, 0]).item()
    assert 0 < abs(logit) <= 0.2


def test_the_teacher_normalizes_with_the_statistics_of_what_it_answers_for_and_keeps_its_averages():
    teacher = nn.Sequential(nn.BatchNorm2d(2, affine=False))
    bright = torch.rand(4, 2, 8, 8) + 5  # nothing that its averages, 0 and 1, know of
    found = answer(teacher.eval(), bright)
    expected = (bright - bright.mean((0, 2, 3), keepdim=True)) / bright.var(
        (0, 2, 3), correction=0, keepdim=True
    ).sqrt()
    assert torch.allclose(found, expected.softmax(1), atol=1e-3)
    assert torch.equal(teacher[0].running_mean, torch.zeros(2)) and teacher[0].momentum == 0.1
    assert not found.requires_grad


def test_entropy_of_an_undecided_teacher_is_the_logarithm_of_the_number_of_classes():
    assert entropy(torch.full((1, 3, 1, 1), 1 / 3)).item() == pytest.approx(math.log(3))
    assert entropy(probability(0.0, 0.8)).flatten().tolist() == pytest.approx([0, 0.5004024])


def test_the_teacher_is_certain_below_three_quarters_of_the_largest_entropy_and_later_nearly_always():
    # entropy / ln 2 of 0.8: 0.722, of 0.78: 0.760, of 0.5: 1; the threshold at the start is 0.75 + 0.25 / e^5 = 0.752
    mean = probability(0.8, 0.78, 0.5)
    assert certain(mean, 0.0, Consistency()).flatten().tolist() == [True, False, False]
    assert certain(mean, 1.0, Consistency()).flatten().tolist() == [True, True, False]


def test_the_threshold_of_certainty_grows_with_the_number_of_classes():
    # entropy 0.898, threshold 0.752 ln 3 = 0.826 at the start and ln 3 = 1.099 at the end; ln 2 would refuse both
    mean = torch.tensor([0.6, 0.3, 0.1]).view(1, 3, 1, 1)
    assert [certain(mean, done, Consistency()).item() for done in (0.0, 1.0)] == [False, True]


def test_pixels_outside_the_mask_add_nothing():
    error = squared_error(torch.zeros(1, 2, 1, 2), probability(0.9, 0.1))  # 0.4^2 everywhere
    error[..., 1] = 9
    mask = torch.tensor([[[[True, False]]]])
    assert masked_mean(error, mask).item() == pytest.approx((0.16 + 0.16) / (2 * 1))
    assert masked_mean(error, ~mask & mask).item() == 0


def test_the_student_is_ambiguous_above_three_quarters_of_the_largest_entropy_and_later_above_0_95():
    # entropy / ln 2 of 0.8: 0.722, of 0.78: 0.760, of 0.6: 0.971
    logits = probability(0.8, 0.78, 0.6).log().requires_grad_()
    assert ambiguous(logits, 0.0, Consistency()).flatten().tolist() == [False, True, True]
    assert ambiguous(logits, 1.0, Consistency()).flatten().tolist() == [False, False, True]
    assert rising(0.75, 0.95, 0.5) == pytest.approx(0.75 + 0.2 * math.exp(-1.25))


def test_each_slice_is_mixed_with_the_one_before_it():
    values, share = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.25, 0.5, 1.0])
    assert mix(values, share).tolist() == [0.25 * 1 + 0.75 * 4, 0.5 * 2 + 0.5 * 1, 4]


def test_the_shares_of_a_mixture_come_from_a_beta_distribution_and_the_seed():
    drawn = shares(4000, 0.2, torch.Generator().manual_seed(1))
    assert drawn.shape == (4000, 1, 1, 1)
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.02)
    assert drawn.var().item() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)
    assert torch.equal(drawn, shares(4000, 0.2, torch.Generator().manual_seed(1)))


def test_the_noise_on_patches_is_in_standard_deviations_of_each():
    # Half of the voxels are at -0.05 or -0.25, half at +: these are the patches' standard deviations. A slice has none.
    patches = torch.tensor([-1.0, 1.0]).repeat(5000) * torch.tensor([0.05, 0.25]).view(2, 1, 1, 1, 1)
    assert deviations(patches).flatten().tolist() == pytest.approx([0.05, 0.25], rel=1e-3)
    for images, units in ((patches, (0.05, 0.25)), (patches[:, 0], (1.0, 1.0))):
        target = taught(lesson(Slope(1.0), 0.5, images), Consistency(noise=0.1, noise_limit=0.2))
        noise = (target[:, 1] / target[:, 0]).log() - images[:, 0]
        for own, unit in zip(noise, units, strict=True):
            assert own.abs().max().item() == pytest.approx(0.2 * unit, rel=1e-3)
            assert own.std().item() == pytest.approx(0.0959 * unit, rel=0.03)  # 0.1, but for what is cut off


def test_the_mean_teachers_student_is_drawn_to_the_teacher_everywhere():
    images, teacher = torch.rand(1, 1, 1, 2), Passes(probability(0.9, 0.7))
    seen, loss = mean_teacher.task(Consistency(), lesson(teacher, 0.5, images))
    # both classes of a pixel have the same error: (0.9 - 0.5)^2 and (0.7 - 0.4)^2
    assert loss(probability(0.5, 0.4).log()).item() == pytest.approx((0.16 + 0.09) / 2)
    assert torch.equal(seen, images) and not teacher.left


def test_the_uncertainty_aware_student_is_drawn_to_the_teacher_where_its_mean_answer_is_certain():
    # The threshold is 0.75 + 0.25 exp(-1.25) = 0.822 of ln 2. The means of the further passes and their entropies in
    # ln 2: (0.9 + 0.6) / 2 = 0.75, 0.811; (0.9 + 0.5) / 2 = 0.7, 0.881, though 0.469 and 1 are 0.734 on average; 0.2,
    # 0.722. So the first pixel and the last count, by the first pass: (0.9 - 0.5)^2 and (0.2 - 0.5)^2.
    further = probability(0.9, 0.9, 0.2), probability(0.6, 0.5, 0.2)
    images, teacher = torch.rand(1, 1, 1, 3), Passes(probability(0.9, 0.7, 0.2), *further)
    seen, loss = ua_mt.task(Consistency(passes=2), lesson(teacher, 0.5, images))
    assert loss(probability(0.5, 0.5, 0.5).log()).item() == pytest.approx((0.16 + 0.09) / 2)
    assert torch.equal(seen, images) and not teacher.left


def test_the_ambiguity_aware_student_is_drawn_to_the_teacher_where_it_is_ambiguous_itself():
    # The threshold is 0.75 + 0.2 exp(-1.25) = 0.807 of ln 2. The student's 0.78 has 0.760, its 0.6 has 0.971.
    images, teacher = torch.rand(1, 1, 1, 2), Passes(probability(0.3, 0.9))
    seen, loss = ac_mt.task(Consistency(), lesson(teacher, 0.5, images))
    assert loss(probability(0.78, 0.6).log()).item() == pytest.approx((0.9 - 0.6) ** 2)
    assert torch.equal(seen, images) and not teacher.left


def test_the_students_answer_to_a_mixture_is_drawn_to_the_same_mixture_of_the_teachers_answers(monkeypatch):
    asked = []
    share = torch.tensor([0.25, 0.5]).view(2, 1, 1, 1)
    monkeypatch.setattr(ict, "shares", lambda count, alpha, generator: asked.append((count, alpha)) or share)
    # Slices ln 3 and 0, of which the teacher believes 3/4 and 1/2.
    images = torch.tensor([math.log(3), 0.0]).view(2, 1, 1, 1)
    seen, loss = ict.task(Consistency(mixing=0.3), lesson(Slope(1.0), 0.5, images))
    assert asked == [(2, 0.3)]
    assert seen.flatten().tolist() == pytest.approx([0.25 * math.log(3), 0.5 * math.log(3)])
    # mixed answers 0.25 3/4 + 0.75 1/2 = 9/16 and 0.5 1/2 + 0.5 3/4 = 5/8; the student answers 1/2: 1/16 and 1/8 off
    assert loss(torch.zeros(2, 2, 1, 1)).item() == pytest.approx((1 / 256 + 1 / 64) / 2)
