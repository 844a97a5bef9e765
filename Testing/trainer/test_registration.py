"""Registration of neighbouring slices: by the network that ships with the package, and by demons."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from phantoms import Stopped
from safetensors import safe_open

from sparseseg_trainer.demons import demons_fields
from sparseseg_trainer.devices import side_by_side
from sparseseg_trainer.errors import Cancelled
from sparseseg_trainer.registration import (
    SHIPPED_WEIGHTS,
    displacement_fields,
    registration_loss,
    shipped_network,
    smoothness,
    warp,
)
from sparseseg_trainer.reporting import Reporter

BOTH = pytest.mark.parametrize(
    "register",
    [partial(displacement_fields, shipped_network()), partial(demons_fields, reporter=Reporter())],
    ids=["network", "demons"],
)


def blob(row: float, column: float) -> torch.Tensor:
    """A bright disk on a dim gradient, (48, 48), its middle at (row, column)."""
    grid = torch.stack(torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij"))
    distance = ((grid - torch.tensor([row, column]).view(2, 1, 1)) ** 2).sum(0).sqrt()
    return 0.2 + 0.003 * grid[0] + 0.6 * torch.sigmoid(10 - distance)


def test_the_shipped_network_is_small_and_holds_numbers_only():
    assert SHIPPED_WEIGHTS.stat().st_size < 5e6
    with safe_open(SHIPPED_WEIGHTS, "pt") as file:
        assert all(torch.isfinite(file.get_tensor(name).float()).all() for name in file.keys())  # noqa: SIM118
    assert (SHIPPED_WEIGHTS.parent / "README.md").is_file()


def test_a_shifted_disk_is_pulled_back_by_about_its_shift():
    slices = torch.stack([blob(24, 24), blob(26, 23)])
    fields = displacement_fields(shipped_network(), slices, [(0, 1), (1, 0)])
    forward, backward = fields[0, 1], fields[1, 0]
    inside = slices[1] > 0.6
    # warp samples the moving slice at x + field(x): a disk that moved by (2, -1) is found at (-2, 1)
    assert torch.allclose(forward[:, inside].mean(1), torch.tensor([-2.0, 1.0]), atol=0.7)
    assert torch.allclose(backward[:, slices[0] > 0.6].mean(1), torch.tensor([2.0, -1.0]), atol=0.7)
    warped = warp(slices[:1, None], forward[None])
    assert (warped[0, 0] - slices[1]).square().mean() < 0.3 * (slices[0] - slices[1]).square().mean()


def test_demons_pull_a_shifted_disk_back():
    slices = torch.stack([blob(24, 24), blob(26, 23)])
    field = demons_fields(slices, [(0, 1)], Reporter())[0, 1]
    warped = warp(slices[:1, None], field[None])[0, 0]
    assert (warped - slices[1]).square().mean() < 0.3 * (slices[0] - slices[1]).square().mean()
    border, back = (slices[1] > 0.4) & (slices[1] < 0.7), torch.tensor([-2.0, 1.0])
    # inside it and along its border a disk shows no movement: only a part of the shift is found
    assert 0.5 < field[:, border].mean(1) @ back / back.square().sum() < 1.3


@BOTH
def test_equal_slices_hardly_move(register):
    slices = blob(24, 24).expand(2, -1, -1)
    field = register(slices, [(0, 1)])[0, 1]
    assert field.abs().mean() < 0.3


def test_demons_give_the_same_fields_on_one_thread_and_on_several(set_threads):
    slices, found = torch.stack([blob(20 + n, 24) for n in range(4)]), []
    for threads in (1, 3):
        set_threads(threads)
        found.append(demons_fields(slices, [(0, 1), (1, 2), (2, 3)], Reporter()))
    assert all(torch.equal(field, found[1][pair]) for pair, field in found[0].items())


def test_demons_stop_when_the_user_asks_for_it():
    with pytest.raises(Cancelled):
        demons_fields(torch.zeros(2, 48, 48), [(0, 1)], Stopped())


def test_smoothness_of_a_linear_field_is_its_squared_slope():
    field = torch.zeros(1, 2, 4, 4)
    field[0, 0] = 3 * torch.arange(4.0).view(4, 1)
    # along rows the row component rises by 3, the column component not at all; along columns nothing changes
    assert smoothness(field).item() == 4.5


def test_the_loss_of_equal_slices_under_no_displacement_is_nothing():
    image, field = blob(20, 20).view(1, 1, 48, 48), torch.zeros(1, 2, 48, 48)
    assert registration_loss(image, image, field, "mse", 1.0).item() < 1e-9
    assert abs(registration_loss(image, image, field, "ncc", 1.0).item()) < 0.05


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_loss_is_unlikeness_plus_the_weight_times_smoothness(weight):
    moving, fixed = torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 4, 4), 0.25)  # no displacement makes them alike
    field = torch.zeros(1, 2, 4, 4)
    field[0, 0] = 3 * torch.arange(4.0).view(4, 1)
    field[0, 1] = torch.arange(4.0)
    # Row component: 9 along rows; column component: 1 along columns; each is half of what there is
    expected = 0.25**2 + weight * (9 / 2 + 1 / 2)
    assert registration_loss(moving, fixed, field, "mse", weight).item() == pytest.approx(expected)
    alike = registration_loss(fixed, fixed, field, "ncc", weight) - registration_loss(fixed, fixed, field, "ncc", 0.0)
    assert alike.item() == pytest.approx(weight * 5)


def test_threads_that_warp_batches_of_different_sizes_do_not_disturb_each_other(set_threads):
    def warped(batch: int) -> int:
        return len(warp(torch.ones(batch, 1, 8, 8), torch.zeros(batch, 2, 8, 8)))

    set_threads(4)
    sizes = [5, 8, 3, 7] * 3000
    assert side_by_side(warped, sizes) == sizes
