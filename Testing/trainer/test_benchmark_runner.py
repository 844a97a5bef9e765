"""Cells run at once: how many, on which devices, with how many threads."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest

from sparseseg_trainer.benchmark import runner
from sparseseg_trainer.benchmark.runner import Task, run_tasks
from sparseseg_trainer.reporting import Reporter


@pytest.fixture
def eight_cores(monkeypatch):
    """A computer with eight cores whose user has set nothing."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


class Processes:
    """Stands for the cells' processes: each waits until ``together`` of them are there."""

    def __init__(self, together: int):
        self.meeting, self.seen = threading.Barrier(together, timeout=20), []

    def __call__(self, task, environment, running):
        self.seen.append(environment)
        self.meeting.wait()
        return {"task": task.name}


def run(monkeypatch, tmp_path, count, devices, at_a_time):
    """What the processes of ``count`` tasks were given, and the names of the tasks that came through."""
    processes, done = Processes(at_a_time), []
    monkeypatch.setattr(runner, "_run_process", processes)
    tasks = [Task(f"cell {number}", tmp_path / str(number), {"kind": "none"}) for number in range(count)]
    failed = run_tasks(tasks, devices, at_a_time, lambda task, result: done.append(result["task"]), Reporter())
    assert not failed and sorted(done) == [task.name for task in tasks]
    return processes.seen


def test_two_cells_run_at_once_each_on_a_device_of_its_own(eight_cores, monkeypatch, tmp_path):
    seen = run(monkeypatch, tmp_path, 6, ("cuda:0", "cuda:1"), 2)
    devices = [environment["CUDA_VISIBLE_DEVICES"] for environment in seen]
    assert [sorted(devices[first : first + 2]) for first in (0, 2, 4)] == [["0", "1"]] * 3
    assert {environment["OMP_NUM_THREADS"] for environment in seen} == {"4"}


def test_where_more_cells_run_than_there_are_devices_these_take_turns(eight_cores, monkeypatch, tmp_path):
    seen = run(monkeypatch, tmp_path, 3, ("cuda:0", "cuda:1"), 3)
    assert Counter(environment["CUDA_VISIBLE_DEVICES"] for environment in seen) == {"0": 2, "1": 1}
    assert {environment["OMP_NUM_THREADS"] for environment in seen} == {"2"}


def test_no_more_cells_run_at_once_than_asked_for(eight_cores, monkeypatch, tmp_path):
    now, most = [], []

    def process(task, environment, running):
        now.append(task)
        most.append(len(now))
        threading.Event().wait(0.05)
        now.remove(task)
        return {}

    monkeypatch.setattr(runner, "_run_process", process)
    tasks = [Task(str(number), tmp_path / str(number), {"kind": "none"}) for number in range(6)]
    run_tasks(tasks, ("cpu",), 2, lambda task, result: None, Reporter())
    assert len(most) == 6 and max(most) == 2


@pytest.mark.parametrize(
    ("device", "visible", "given"),
    [
        ("cpu", "3,5", ""),
        ("auto", "3,5", "3,5"),
        ("cuda", "3,5", "3,5"),
        ("auto", None, None),
        ("cuda:1", None, "1"),
        ("cuda:1", "3,5", "5"),  # the second of those that the user lets it see
    ],
)
def test_a_cell_sees_the_device_that_it_is_given_and_no_other(eight_cores, monkeypatch, device, visible, given):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert runner._environment(device, 1).get("CUDA_VISIBLE_DEVICES") == given


@pytest.mark.parametrize(("at_a_time", "threads"), [(1, "8"), (3, "2"), (20, "1")])
def test_cells_share_the_cores_unless_the_user_has_said_how_many_threads(eight_cores, monkeypatch, at_a_time, threads):
    assert runner._environment("cpu", at_a_time)["OMP_NUM_THREADS"] == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert runner._environment("cpu", at_a_time)["OMP_NUM_THREADS"] == "5"
