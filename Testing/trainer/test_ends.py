"""The ends of a structure: how a shape shrinks towards them, and how the image finds them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseseg_trainer.ends import Taper, likeliest_tapers, shrink_to, tapered, usual_tapers


def disk(radius: float, size: int = 32) -> torch.Tensor:
    row, column = np.mgrid[:size, :size] - size / 2
    inside = torch.from_numpy((row**2 + column**2 <= radius**2).astype(np.float32))
    return torch.stack([1 - inside, inside])


@given(st.floats(3, 14), st.floats(0.05, 1.2))
@settings(deadline=None, max_examples=30)
def test_a_shape_shrinks_to_about_the_wanted_area_and_never_grows(radius, share):
    before = disk(radius)
    wanted = before[1].sum().item() * share
    after = before.clone()
    shrink_to(after, wanted)
    assert (after[1] <= before[1] + 1e-6).all()
    assert torch.allclose(after.sum(0), torch.ones(32, 32))
    if share < 1:
        assert abs((after[1] > 0.45).sum().item() - wanted) <= 0.3 * before[1].sum().item() + 8


def test_the_area_falls_as_one_minus_a_power_of_t_towards_the_absent_slices():
    stack = disk(10).expand(11, -1, -1, -1)
    absent = torch.zeros(11, dtype=torch.bool)
    absent[10] = True
    areas = (tapered(stack, [0], usual_tapers([0], absent))[:, 1] > 0.45).sum((1, 2)).float()
    expected = areas[0] * (1 - (torch.arange(11) / 10) ** 2.5)
    # a shape shrinks by whole rings of pixels, the smallest of which holds a sixth of this disk
    assert torch.allclose(areas, expected, atol=areas[0].item() / 6)


def test_the_ends_are_found_where_the_image_no_longer_speaks_for_the_structure():
    carried = disk(10).expand(21, -1, -1, -1)  # drawn in slice 10, and travelled to both ends of the volume
    tapers = (Taper(4, 3.0), Taper(17, 1.5))
    truth = tapered(carried, [10], tapers)
    evidence = torch.where(truth[:, 1:] > 0.5, 2.0, -2.0)
    usual = usual_tapers([10], torch.arange(21).remainder(20) == 0)
    assert usual == (Taper(0), Taper(20))
    found = likeliest_tapers(carried, evidence, [10], usual, (False, False))
    assert all(abs(one.end - true.end) <= 1 for one, true in zip(found, tapers, strict=True))
    kept = likeliest_tapers(carried, evidence, [10], usual, (True, True))
    assert [one.end for one in kept] == [0, 20]
    assert likeliest_tapers(carried, evidence, [10], (Taper(None), Taper(None)), (False, False))[0].end is None
