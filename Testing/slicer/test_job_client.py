"""The trainer's process as the Slicer side sees it: started, followed, stopped, and its errors told."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

pytest.importorskip("slicer")

from sparseseg_trainer.errors import Cancelled, InputError
from SparseSegLib import jobClient
from SparseSegLib.jobClient import JobClient

TALKATIVE = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(json.dumps({"event": "progress", "child": child.pid}), flush=True)
print("a library prints", flush=True)
print("to standard error", file=sys.stderr, flush=True)
time.sleep(60)
"""


@pytest.fixture
def a_stubborn_job(tmp_path, a_trainer_that):
    """A client whose process starts a child, prints what is not JSON, and ignores the cancel file."""
    a_trainer_that(TALKATIVE)
    client = JobClient(tmp_path)
    client.start()
    yield client
    client.kill()


def nextEvents(client) -> list[dict]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        events = client.poll()
        if events:
            return events
        time.sleep(0.02)
    raise AssertionError("no event arrived")


def isAlive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def test_an_error_of_the_job_reaches_the_caller_with_message_and_advice(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"schema": 1, "kind": "knit"}))
    client = JobClient(tmp_path)
    client.start()
    client.wait()
    with pytest.raises(InputError) as error:
        client.result()
    assert error.value.code == "bad_job"
    assert "knit" in error.value.message
    assert error.value.advice


def test_a_process_that_dies_is_told_with_its_last_words(tmp_path, a_trainer_that):
    a_trainer_that("raise SystemExit('the disk is on fire')")
    client = JobClient(tmp_path)
    client.start()
    client.wait()
    with pytest.raises(InputError, match="the disk is on fire"):
        client.result()


def test_polling_never_blocks_and_passes_over_what_is_not_an_event(a_stubborn_job):
    [event] = nextEvents(a_stubborn_job)
    started = time.monotonic()
    assert event["event"] == "progress"
    assert a_stubborn_job.poll() == []
    assert time.monotonic() - started < 0.1
    assert not a_stubborn_job.isFinished()


def test_a_job_that_ignores_cancel_is_ended_with_all_its_children(a_stubborn_job, monkeypatch):
    monkeypatch.setattr(jobClient, "GRACE", 0.2)
    [event] = nextEvents(a_stubborn_job)
    a_stubborn_job.cancel()
    a_stubborn_job.wait()
    with pytest.raises(Cancelled):
        a_stubborn_job.result()
    assert not isAlive(event["child"])
