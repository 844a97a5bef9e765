"""The choice of the device, and seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparseseg_trainer.devices import choose_device, seed_everything
from sparseseg_trainer.errors import InputError


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
