"""The registration network that ships with the package."""

from __future__ import annotations

import torch
from safetensors import safe_open

from sparseseg_trainer.devices import side_by_side
from sparseseg_trainer.registration import (
    SHIPPED_WEIGHTS,
    displacement_fields,
    registration_loss,
    shipped_network,
    smoothness,
    warp,
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


def test_equal_slices_hardly_move():
    slices = blob(24, 24).expand(2, -1, -1)
    field = displacement_fields(shipped_network(), slices, [(0, 1)])[0, 1]
    assert field.abs().mean() < 0.3


def test_smoothness_of_a_linear_field_is_its_squared_slope():
    field = torch.zeros(1, 2, 4, 4)
    field[0, 0] = 3 * torch.arange(4.0).view(4, 1)
    # along rows the row component rises by 3, the column component not at all; along columns nothing changes
    assert smoothness(field).item() == 4.5


def test_the_loss_of_equal_slices_under_no_displacement_is_nothing():
    image, field = blob(20, 20).view(1, 1, 48, 48), torch.zeros(1, 2, 48, 48)
    assert registration_loss(image, image, field, "mse", 1.0).item() < 1e-9
    assert abs(registration_loss(image, image, field, "ncc", 1.0).item()) < 0.05


def test_threads_that_warp_batches_of_different_sizes_do_not_disturb_each_other():
    def warped(batch: int) -> int:
        return len(warp(torch.ones(batch, 1, 8, 8), torch.zeros(batch, 2, 8, 8)))

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        sizes = [5, 8, 3, 7] * 3000
        assert side_by_side(warped, sizes) == sizes
    finally:
        torch.set_num_threads(threads)
