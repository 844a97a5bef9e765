"""The command line: help, mistakes, exit status, events for programs, no colors when piped."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.console import ConsoleReporter
from sparseseg_trainer.errors import Cancelled
from sparseseg_trainer.reporting import JsonReporter, control_c
from sparseseg_trainer.volumes import read_geometry, read_label

SPARSESEG = Path(sys.executable).with_name("sparseseg")


def sparseseg(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([SPARSESEG, *map(str, arguments)], capture_output=True, encoding="utf-8", timeout=300)


def test_help_is_there_at_once_and_names_every_command():
    start = time.monotonic()
    shown = sparseseg("--help").stdout
    assert time.monotonic() - start < 2  # importing PyTorch alone takes longer
    for command in ("propagate", "train", "segment", "evaluate", "suggest", "export", "cohort", "benchmark"):
        assert command in shown


@pytest.mark.parametrize(
    "command", ["propagate", "train", "segment", "evaluate", "suggest", "export", "cohort sparsify", "benchmark"]
)
def test_every_command_has_help(command):
    result = sparseseg(*command.split(), "--help")
    assert result.returncode == 0
    assert "--out" in result.stdout


def test_a_command_that_does_not_exist_ends_with_status_2():
    assert sparseseg("paint").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["propagate", "--out", "x"], "not clear what to propagate"),
        (["propagate", "--image", "i.nrrd", "--out", "x"], "not clear what to propagate"),
        (["propagate", "cohort", "--slice", "4", "--out", "x"], "not clear what to propagate"),
        (["propagate", "cohort", "--first", "0", "--out", "x"], "not clear what to propagate"),
        (["propagate", "cohort", "--axis", "0", "--out", "x"], "not clear what to propagate"),
        (["train", "nowhere", "--out", "x", "--set", "sed=1"], "Did you mean 'seed'?"),
        (["train", "nowhere", "--out", "x", "--set", "seed"], "--set NAME=VALUE"),
        (["train", "nowhere", "--out", "x", "--preset", "slow"], "fast, balanced, paper"),
        (["export", "label.nrrd", "--out", "x.dcm"], "--series"),
        (["cohort", "sparsify", "nowhere", "--out", "x"], "cohort.csv"),
    ],
)
def test_a_mistake_gets_one_sentence_and_status_2(arguments, sentence):
    result = sparseseg(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr
    assert result.stdout == ""


def test_what_is_there_already_is_replaced_only_on_request(tiny_cohort, tmp_path):
    cohort, labels, label = tmp_path / "own", tmp_path / "drawn", tmp_path / "corrected.nrrd"
    report = tmp_path / "measured"
    files = [cohort / "cohort.csv", labels / "labels/case0.nrrd", label, report / "report.html"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("work of hours")
    case = read_cohort(tiny_cohort).cases[0]
    for command, out in [
        (["cohort", "sparsify", tiny_cohort], cohort),
        (["propagate", tiny_cohort], cohort),
        (["propagate", tiny_cohort], labels),
        (["segment", tiny_cohort, "--model", "model"], cohort),
        (["propagate", "--image", case.image, "--label", case.label], label),
        (["export", case.label], label),
        (["suggest", tiny_cohort, "--budget", "1"], label),
        (["evaluate", tiny_cohort, "--reference", tiny_cohort], report),
    ]:
        result = sparseseg(*command, "--out", out)
        assert result.returncode == 2, command
        assert "already" in result.stderr
        assert "--replace" in result.stderr
    assert {file.read_text() for file in files} == {"work of hours"}
    assert sparseseg("export", case.label, "--out", label, "--replace").returncode == 0
    assert read_label(label, read_geometry(case.image, case.name)).any()


def test_events_for_programs_are_json_lines_with_the_error_among_them():
    result = sparseseg("train", "nowhere", "--out", "x", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 2
    assert events[-1]["event"] == "error"
    assert events[-1].keys() == {"event", "code", "message", "advice"}


def test_a_cohort_is_made_sparse(dense_cohort, tmp_path):
    result = sparseseg("cohort", "sparsify", dense_cohort, "--out", tmp_path / "out", "--extents")
    assert result.returncode == 0
    assert "cases: 3" in result.stdout
    assert read_cohort(tmp_path / "out").cases[0].annotated_slices == (7,)


def test_one_bad_case_of_three_gives_status_1_and_is_named(dense_cohort, tmp_path):
    (dense_cohort / "images" / "case1.nrrd").unlink()
    result = sparseseg("cohort", "sparsify", dense_cohort, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "Failed: Case case1" in result.stderr
    assert "cases: 2" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_one_volume_is_propagated_from_a_slice_by_its_file_names(tiny_cohort, tmp_path):
    case = read_cohort(tiny_cohort).cases[0]
    files = ["--image", case.image, "--label", case.label, "--out", tmp_path / "out.nii.gz"]
    result = sparseseg("propagate", *files, "--slice", 7, "--last", 10, "--quality", "instant")
    assert result.returncode == 0
    label = read_label(tmp_path / "out.nii.gz", read_geometry(case.image))
    assert np.array_equal(label[7], read_label(case.label, read_geometry(case.image))[7])
    assert label[4].any()
    assert not label[11:].any()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_control_c_ends_a_command_with_one_sentence_and_status_130(tiny_cohort, tmp_path):
    command = [SPARSESEG, "train", tiny_cohort, "--out", tmp_path / "model", "--set", "epochs=500"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8")
    while not process.stderr.readline().startswith("prepare"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 130
    assert log.strip().splitlines()[-1].startswith("The job was cancelled.")
    assert "Traceback" not in log


@pytest.mark.parametrize("as_json", [True, False])
def test_an_interrupt_that_a_library_swallows_still_ends_the_job(as_json):
    before, cancel = signal.getsignal(signal.SIGINT), threading.Event()
    reporter = JsonReporter(io.StringIO(), cancel) if as_json else ConsoleReporter(cancel)
    with control_c(cancel), contextlib.nullcontext() if as_json else reporter:
        reporter.progress("prepare", 0.5)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Cancelled):
            reporter.progress("prepare", 0.6)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_in_a_destructor_shows_no_traceback(monkeypatch):
    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    shown, cancel = [], threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    with control_c(cancel):
        Interrupted()
    assert cancel.is_set() and not shown


def test_what_one_command_writes_the_next_one_reads(tiny_cohort, dense_cohort, tmp_path):
    steps = ("epochs=1", "semi_epochs=1", "K1=0", "K2=1", "steps=2", "orthogonal_epochs=1")
    options = [word for step in steps for word in ("--set", step)]
    taught = ("--pseudo-labels", tmp_path / "model/pseudo_labels", "--pseudo-cohort", tiny_cohort)
    commands = (
        ("propagate", tiny_cohort, "--out", tmp_path / "propagated", "--quality", "instant"),
        ("train", tiny_cohort, "--out", tmp_path / "model", "--preset", "fast", "--seed", 1, *options),
        ("segment", tmp_path / "propagated", "--model", tmp_path / "model", "--out", tmp_path / "segmented"),
        ("evaluate", tmp_path / "segmented", "--reference", dense_cohort, "--out", tmp_path / "report", *taught),
    )
    for command in commands:
        result = sparseseg(*command, "--json")
        last = json.loads(result.stdout.splitlines()[-1])
        assert (result.returncode, last["event"], last["final"]) == (0, "result", True)
        assert last["failed"] == []
    assert last["cases"] == 3
    assert "Pseudo labels: case0" in Path(last["report"]).read_text("utf-8")
