"""The choice of the device, number formats, and seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparseseg_trainer import devices
from sparseseg_trainer.devices import choose_device, seed_everything, side_by_side
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.prediction import probabilities
from sparseseg_trainer.segmentation_network import SegmentationNetwork
from sparseseg_trainer.volume_networks import RESIDUAL, VNet


def test_auto_takes_the_gpu_where_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(InputError) as caught:
        choose_device("tpu")
    assert caught.value.code == "bad_device"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_plain_words():
    with pytest.raises(InputError, match="finds no GPU") as caught:
        choose_device("cuda")
    assert caught.value.code == "no_gpu"


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_one_seed_draws_the_same_numbers_again(seed):
    def draw():
        seed_everything(seed)
        return torch.rand(3).tolist(), np.random.rand(3).tolist()

    assert draw() == draw()


@pytest.mark.parametrize("threads", [1, 3])
def test_work_side_by_side_comes_back_in_order_without_gradients_and_leaves_the_number_of_threads(threads, set_threads):
    weight = torch.ones(4, requires_grad=True)
    set_threads(threads)
    found = side_by_side(lambda number: (number * weight, torch.get_num_threads()), range(7), torch.device("cpu"))
    assert torch.get_num_threads() == threads
    assert [int(value[0]) for value, _ in found] == list(range(7))
    assert not any(value.requires_grad for value, _ in found) and {alone for _, alone in found} == {1}


def test_an_error_in_work_side_by_side_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [1, 0], torch.device("cpu"))


@pytest.mark.parametrize("able", [True, False])
def test_networks_use_short_numbers_where_the_processor_has_them_and_convolutions_see_enough_voxels(monkeypatch, able):
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: able)
    short = {}
    for name, sides, least in (("slices", 2, 0), ("volumes", 3, 3), ("small volumes", 3, 2), ("others", 3, 0)):
        with devices.fast_numbers(torch.zeros(1, 1, *[4] * sides), least):
            convolution = torch.nn.functional.conv2d if sides == 2 else torch.nn.functional.conv3d
            found = convolution(torch.ones(1, 1, *[4] * sides), torch.ones(1, 1, *[1] * sides))
        short[name] = found.dtype == torch.bfloat16
    assert short == {"slices": able, "volumes": able, "small volumes": False, "others": False}


def test_short_numbers_change_what_a_network_answers_by_little(monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SegmentationNetwork(NetworkShape(0, 2, 8, 4, 2)).eval()
        images = torch.rand(2, 1, 96, 64)
    answers = []
    for able in (True, False):
        monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda able=able: able)
        answers.append(probabilities(network, images))
    assert not torch.equal(*answers)
    assert torch.allclose(*answers, atol=0.02)


@pytest.mark.parametrize("side", [24, 16])  # 3 and 1 voxels at the deepest level
def test_short_numbers_change_what_a_network_of_volumes_learns_by_little(monkeypatch, side):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VNet(NetworkShape(0, 1, 8, 4, 1, "vnet", (side,) * 3), RESIDUAL)
        images = torch.rand(2, 1, side, side, side)
    gradients = []
    for able in (True, False):
        monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda able=able: able)
        loss = network(images)[:, 1].sigmoid().square().mean()
        found = torch.autograd.grad(loss, list(network.parameters()))
        gradients.append(torch.cat([own.flatten() for own in found]))
    short, full = gradients
    assert torch.equal(short, full) == (side == 16)
    assert (short - full).norm() < 0.1 * full.norm()
