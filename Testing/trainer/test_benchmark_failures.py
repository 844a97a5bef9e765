"""A cell of a benchmark that fails: it stops no other, and why is known until it is run again."""

from __future__ import annotations

import subprocess

import pytest
import torch
from phantoms import refusal

from sparseseg_trainer.benchmark import runner
from sparseseg_trainer.benchmark.benchmark import benchmark
from sparseseg_trainer.benchmark.failures import failure_of, keep_failure, read_failure
from sparseseg_trainer.benchmark.runner import Task, run_tasks
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.jobs import CANCELLED_ERROR
from sparseseg_trainer.reporting import Reporter


def run(*tasks, reporter=None):
    """(names of the tasks that came through, failures) of one after the other."""
    done = []
    failed = run_tasks(list(tasks), ("cpu",), 1, lambda task, result: done.append(task.name), reporter or Reporter())
    return done, failed


def task(folder, name):
    return Task(name, folder / name, {"kind": "none"})


def test_a_cell_whose_log_file_or_process_cannot_be_made_stops_no_other(tmp_path, monkeypatch):
    def start(command, **options):
        if command[-1].endswith("process"):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(command, **options)

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    (tmp_path / "log/stderr.txt").mkdir(parents=True)
    (tmp_path / "folder").touch()
    done, failed = run(*(task(tmp_path, name) for name in ("log", "process", "folder", "last")))
    assert done == []
    failed = {failure.case: failure for failure in failed}
    codes = {name: failure.code for name, failure in failed.items()}
    assert codes == dict.fromkeys(("log", "process", "folder"), "cell_not_run") | {"last": "bad_job"}
    assert "process: It could not be run: BlockingIOError: [Errno 11] Resource temp" in failed["process"].message
    kept = {name: read_failure(tmp_path / name) for name in failed}
    assert kept == failed | {"folder": None}  # which is a file


def test_a_failure_is_forgotten_when_the_cell_is_run_again_and_not_made_by_a_cancel(tmp_path, monkeypatch):
    keep_failure(tmp_path / "a", failure_of("a", InputError("code", "Message.", "Advice.")))
    monkeypatch.setattr(runner, "_run_process", lambda *_: {})
    assert run(task(tmp_path, "a")) == (["a"], [])
    assert read_failure(tmp_path / "a") is None

    def cancelled(*_):
        raise InputError(*CANCELLED_ERROR)

    monkeypatch.setattr(runner, "_run_process", cancelled)
    assert [failure.code for failure in run(task(tmp_path, "a"))[1]] == ["cancelled"]

    class Cancel(Reporter):
        def progress(self, stage, fraction, message="", seconds_left=None):
            raise Cancelled

    with pytest.raises(Cancelled):
        run(task(tmp_path, "b"), task(tmp_path, "c"), reporter=Cancel())
    assert not list(tmp_path.glob("*/failure.json"))


@pytest.mark.parametrize("device", ["cuda:2", "cuda:x", "cuda:", "cpu:0", "gpu"])
def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(tmp_path, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert refusal(benchmark, tmp_path / "plan.toml", tmp_path, None, ("cuda:1", device)).code == "bad_device"
