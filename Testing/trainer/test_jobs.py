"""Job folders as the Slicer module uses them: real processes, JSON stream, exit status, cancelling."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.jobs import exit_status, read_job, run_job, supervise
from sparseseg_trainer.reporting import JsonReporter, Reporter, json_values

# Jobs that misbehave as libraries do, run by the real machinery in a process of their own.
MISBEHAVING = """
import ctypes, os, sys, time
from dataclasses import dataclass
from pathlib import Path
from sparseseg_trainer import __main__, jobs

@dataclass
class Settings:
    seconds: float = 0.0

def noisy(settings, reporter):
    print("printed by Python")
    os.write(1, b"written to the descriptor without an end of line")
    ctypes.CDLL(None).printf(b"printed by C")
    ctypes.CDLL(None).fflush(None)
    os.system("echo printed by a child process")
    reporter.metric("loss", 1, float("nan"))
    reporter.warn("a line\\nand another, \\u00e9")
    return {"cases": 1, "failed": [], "mean": float("inf"), "out": Path("x")}

def stuck(settings, reporter):
    reporter.progress("stuck", 0.5)
    time.sleep(settings.seconds)
    return {"cases": 1, "failed": []}

def broken(settings, reporter):
    return {}["nothing"]

def hungry(settings, reporter):
    import numpy
    numpy.ones(1 << 55)

for name in ("noisy", "stuck", "broken", "hungry"):
    jobs.KINDS[name] = jobs.Kind(f"__main__:{name}", "__main__:Settings", ())
sys.exit(__main__.main(Path(sys.argv[1])))
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


def start(folder: Path, **job) -> subprocess.Popen:
    """The process of a job that is to run in ``folder``."""
    (folder / "job.json").write_text(json.dumps({"schema": 1, **job}))
    known = job["kind"] in ("propagate", "train", "segment", "evaluate", "paint")
    code = ["-m", "sparseseg_trainer"] if known else ["-c", MISBEHAVING]
    return subprocess.Popen(
        [sys.executable, *code, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen) -> tuple[int, list[dict], str]:
    """Exit status, events and log; fails unless every line of the stream is JSON."""
    output, log = process.communicate(timeout=120)
    assert "NaN" not in output
    return process.returncode, [json.loads(line) for line in output.splitlines()], log


def cancel_when_it_reports(process: subprocess.Popen, folder: Path, event: str) -> tuple[float, dict]:
    """Cancel after the first ``event``; the seconds until the process was gone, and the last event."""
    while json.loads(process.stdout.readline())["event"] != event:
        pass
    (folder / "cancel").touch()
    asked = time.monotonic()
    output, _ = process.communicate(timeout=60)
    return time.monotonic() - asked, json.loads(output.splitlines()[-1])


def test_the_stream_is_json_even_when_libraries_print(folder):
    status, events, log = finish(start(folder, kind="noisy"))
    assert status == 0
    assert [event["event"] for event in events] == ["progress", "metric", "warning", "result"]
    assert events[1]["value"] is None
    for who in ("Python", "C", "a child process"):
        assert f"printed by {who}" in log
    assert "written to the descriptor" in log


def test_the_result_file_says_what_the_last_event_says(folder):
    _, events, _ = finish(start(folder, kind="noisy"))
    result = json.loads((folder / "result.json").read_text())
    assert result == {
        "schema": 1,
        "kind": "noisy",
        "exit_status": 0,
        "cases": 1,
        "failed": [],
        "mean": None,
        "out": "x",
    }
    assert events[-1].items() >= {"final": True, "exit_status": 0, "mean": None}.items()


def test_a_job_that_does_not_listen_is_ended_within_two_seconds(folder):
    process = start(folder, kind="stuck", settings={"seconds": 60})
    process.stdout.readline()
    seconds, last = cancel_when_it_reports(process, folder, "progress")
    assert seconds < 2
    assert process.returncode == 130
    assert last["code"] == "cancelled"
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize(
    ("kind", "settings", "event"),
    [
        ("propagate", {"quality": "refined"}, "result"),  # the instant one: it is refined from now on
        ("train", {"preset": "fast", "epochs": 500, "semi_epochs": 500, "steps": 4}, "metric"),
    ],
)
def test_a_real_job_stops_within_two_seconds_of_being_cancelled(folder, tiny_cohort, kind, settings, event):
    process = start(folder, kind=kind, cohort=str(tiny_cohort), out="out", settings=settings)
    seconds, last = cancel_when_it_reports(process, folder, event)
    assert seconds < 2
    assert process.returncode == 130
    assert last["code"] == "cancelled"
    assert not (folder / "result.json").exists()
    kept = {"propagate": "labels/*.nrrd", "train": "checkpoint/*.safetensors"}[kind]
    assert list((folder / "out").glob(kept))


def test_what_an_earlier_run_left_does_not_disturb_the_next(folder):
    for name in ("result.json", "log.txt"):
        (folder / name).write_text("old")
    status, _, _ = finish(start(folder, kind="noisy"))
    assert status == 0
    assert json.loads((folder / "result.json").read_text())["cases"] == 1
    assert not (folder / "log.txt").exists()


def test_a_cancel_before_the_start_stops_that_run_and_not_the_next(folder):
    (folder / "cancel").touch()
    status, events, _ = finish(start(folder, kind="stuck", settings={"seconds": 20.0}))
    assert status == 130
    assert events[-1]["code"] == "cancelled"
    assert not (folder / "cancel").exists()


def test_a_bug_gives_a_sentence_and_leaves_the_traceback_to_the_log(folder):
    status, events, log = finish(start(folder, kind="broken"))
    assert status == 3
    assert events[-1]["code"] == "internal"
    assert "Traceback" not in json.dumps(events)
    assert "Traceback" in log
    assert "Traceback" in (folder / "log.txt").read_text()
    assert not (folder / "result.json").exists()


def test_too_little_memory_is_told_as_such(folder):
    status, events, _ = finish(start(folder, kind="hungry"))
    assert status == 3
    assert events[-1]["code"] == "out_of_memory"


def test_a_job_stops_when_its_listener_has_gone():
    class Gone:
        def write(self, text):
            raise BrokenPipeError

    def work():
        for step in range(10):
            reporter.progress(f"step {step}", 0)
            steps.append(step)
        return {"failed": []}

    steps, reporter = [], JsonReporter(Gone())
    assert supervise(work, reporter) == 130
    assert steps == [0]


@pytest.mark.parametrize(
    "text",
    [None, "not json", "[]", "{}", '{"schema": 2, "kind": "train"}'],
    ids=["missing", "not JSON", "a list", "no schema", "a newer schema"],
)
def test_a_job_file_that_cannot_be_understood_is_refused(folder, text):
    if text is not None:
        (folder / "job.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_job(folder)
    assert caught.value.code == "bad_job"


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ({"kind": "paint"}, "bad_job"),
        ({}, "bad_job"),
        ({"kind": ["train"]}, "bad_job"),
        ({"kind": "suggest"}, "bad_job"),
        ({"kind": "propagate", "cohort": "c"}, "bad_job"),
        ({"kind": "propagate", "cohort": "c", "out": 3}, "bad_job"),
        ({"kind": "propagate", "cohort": "c", "out": "o", "colour": "red"}, "bad_job"),
        ({"kind": "train", "cohort": "c", "out": "o", "resume": "yes"}, "bad_job"),
        ({"kind": "segment", "inputs": [], "model": "m", "out": "o"}, "bad_job"),
        ({"kind": "train", "cohort": "c", "out": "o", "settings": {"sed": 1}}, "unknown_setting"),
        ({"kind": "train", "cohort": "c", "out": "o", "settings": {"seed": "1"}}, "bad_setting"),
        ({"kind": "train", "cohort": "c", "out": "o"}, "no_cohort"),
    ],
)
def test_a_job_that_does_not_fit_its_kind_is_refused(folder, job, code):
    with pytest.raises(InputError) as caught:
        run_job(job, folder, Reporter())
    assert caught.value.code == code


@pytest.mark.parametrize("out", ["sparse", "sparse.sparseseg"])
def test_a_model_never_goes_into_the_folder_of_its_cohort(tiny_cohort, out):
    (tiny_cohort / "README.md").write_text("Where these volumes come from.")
    settings = {"preset": "fast", "method": "central_only", "baseline_epochs": 1, "steps": 1, "width": 4}
    job = {"kind": "train", "cohort": tiny_cohort.name, "out": out, "settings": settings}
    with pytest.raises(InputError) as caught:
        run_job(job, tiny_cohort.parent, Reporter())
    assert caught.value.code == "same_folder" and str(tiny_cohort) in caught.value.message
    assert (tiny_cohort / "README.md").read_text() == "Where these volumes come from."


def test_a_refused_job_ends_with_status_2_and_says_what_to_do(folder):
    status, events, log = finish(start(folder, kind="paint"))
    assert status == 2
    assert events[-1]["event"] == "error"
    assert "propagate" in events[-1]["message"] and events[-1]["advice"]
    assert "Traceback" not in log


def test_a_job_file_in_place_of_its_folder_is_refused_in_a_sentence(folder):
    (folder / "job.json").write_text("{}")
    command = [sys.executable, "-m", "sparseseg_trainer", str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 2
    [event] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["event"], event["code"]) == ("error", "bad_job")
    assert "is a file" in event["message"] and "folder" in event["advice"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("summary", "status"),
    [
        ({"cases": 2, "failed": []}, 0),
        ({"cases": 2, "failed": [{"case": "a"}]}, 1),
        ({"cases": 0, "failed": [{"case": "a"}]}, 2),
    ],
)
def test_the_exit_status_says_whether_all_some_or_no_cases_came_through(summary, status):
    assert exit_status(summary) == status


def test_progress_of_one_stage_is_written_at_most_ten_times_a_second(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        reporter = JsonReporter(stream)
        for step in range(1001):
            reporter.progress("train", step / 1000)
    events = [json.loads(line) for line in (tmp_path / "stream").read_text().splitlines()]
    assert len(events) < 100
    assert (events[0]["fraction"], events[-1]["fraction"]) == (0, 1)


def test_values_that_json_does_not_know_are_made_ones_that_it_does():
    import numpy as np

    values = {"a": np.float32(0.5), "b": np.array([1, np.nan]), 3: (Path("x"), float("-inf")), "n": None}
    assert json_values(values) == {"a": 0.5, "b": [1, None], "3": ["x", None], "n": None}


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENAMETOOLONG])
def test_a_path_that_the_system_lets_nobody_look_at_is_said_in_a_sentence(code, capsys):
    def work():
        raise OSError(code, os.strerror(code), "closed/image.nrrd")

    assert supervise(work, JsonReporter(sys.stdout)) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["message"] == f"closed/image.nrrd cannot be used: {os.strerror(code)}."
    assert not said.err
