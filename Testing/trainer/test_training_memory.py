"""What a training does when the memory is not enough, with errors raised by hand."""

from __future__ import annotations

import pytest
import torch
from phantoms import short_of_memory
from test_training import TINY

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.training import pseudo_labels, registering, supervised
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.loop import Run
from sparseseg_trainer.training.memory import needed_bytes
from sparseseg_trainer.training.pseudo_labels import predicted
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.supervised import new_network
from sparseseg_trainer.training.train import train


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("mean_teacher", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 bytes.")),
        ("central_only", RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")),
        ("central_only", RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")),
    ],
)
def test_an_out_of_memory_error_halves_the_batch_and_goes_on(tiny_cohort, tmp_path, monkeypatch, method, error):
    sizes = short_of_memory(monkeypatch, supervised, "augment", 2, error)
    train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY, method=method))
    assert sizes[0] == 4 and sizes[-1] == 2


def test_where_registration_needs_too_much_memory_its_own_batch_is_halved(tiny_cohort, tmp_path, monkeypatch):
    sizes = short_of_memory(monkeypatch, registering, "registration_loss", 2)
    settings = TrainSettings(**TINY, registration="tuned", registration_epochs=1, registration_batch=8)
    train(tiny_cohort, tmp_path / "model", settings)
    assert sizes == [8, 4, 2, 2]


def test_where_the_memory_is_not_enough_to_measure_the_network_fewer_slices_are_looked_at(
    dense_cohort, tmp_path, monkeypatch
):
    sizes = short_of_memory(monkeypatch, pseudo_labels, "probabilities", 10)
    train(dense_cohort, tmp_path / "model", TrainSettings(**TINY, method="full"))
    assert sizes[0] == 16 and max(sizes[1:]) == 8


def test_a_network_predicts_where_it_is_though_the_training_has_moved(tiny_cohort, tmp_path):
    settings = resolve(TrainSettings(**TINY))
    data = prepare(read_cohort(tiny_cohort), tmp_path, settings.pixels, Reporter())
    moved = Run(data, settings, torch.device("meta"), tmp_path, Reporter(), [])
    assert predicted(moved, new_network(moved), torch.arange(3)).shape == data.labels[:3].shape


@pytest.mark.parametrize(
    ("settings", "counts", "classes"),
    [({}, [120, 120], 30), ({}, [2, 238], 1), ({"overview_epochs": 1}, [120, 120], 1), ({"batch": 64}, [120, 120], 1)],
)
def test_more_labels_longer_volumes_an_overview_and_larger_batches_need_more_memory(settings, counts, classes):
    def needed(settings, counts, classes):
        resolved = resolve(TrainSettings(preset="fast", **settings))
        return needed_bytes(resolved, counts, (112, 160), classes, torch.device("cpu"))

    assert needed(settings, counts, classes) > needed({}, [120, 120], 1)


def test_cuts_deeper_than_the_longest_volume_is_long_count():
    few, many = (
        [resolve(TrainSettings(orthogonal_epochs=n)), [20, 20], (112, 160), 1, torch.device("cpu")] for n in (0, 1)
    )
    assert needed_bytes(*many) > needed_bytes(*few)


def test_a_patch_is_no_deeper_than_the_longest_volume_however_many_there_are():
    settings = resolve(TrainSettings(method="ua_mt", dimensions=3))
    one, many = (needed_bytes(settings, [12] * n, (112, 160), 1, torch.device("cpu")) for n in (1, 20))
    assert many - one == 2 * 12 * 19 * 112 * 160  # slices and labels


def test_other_errors_of_the_training_are_not_taken_for_a_lack_of_memory(tiny_cohort, tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(supervised, "augment", broken)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        train(tiny_cohort, tmp_path / "model", TrainSettings(**TINY, method="central_only"))
