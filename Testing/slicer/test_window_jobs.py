"""Jobs in the window: progress, cancel, force, and what goes wrong, each told in one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from drawing import drawSlice, propagate, result, startDrawing, startPropagation  # noqa: E402
from test_job_client import TALKATIVE, isAlive  # noqa: E402
from windows import click, panelOf, phantom, waitFor  # noqa: E402

DRAWN = 7
FAILS = """
import json
print(json.dumps({"event": "error", "code": "bad", "message": "The label is torn.", "advice": "Mend it."}), flush=True)
raise SystemExit("what the program said")
"""


@pytest.fixture
def a_drawing_window(a_window):
    """The window with an ellipsoid drawn on one slice."""
    volumeNode, label = phantom("Ann")
    startDrawing(a_window, volumeNode, DRAWN)
    drawSlice(a_window, {"Ellipsoid": label > 0}, DRAWN)
    return a_window


def message(window) -> str:
    return window.jobRunner.ui.messageLabel.text


def onlyDrawn(window) -> bool:
    """Whether the segment holds what was drawn and nothing else."""
    return list(np.flatnonzero(result(window, "Ellipsoid").any(axis=(1, 2)))) == [DRAWN]


def folderOf(window):
    return window.jobRunner.job.client.folder


def test_cancel_stops_the_real_trainer_and_leaves_the_drawing_and_no_files(a_drawing_window):
    startPropagation(a_drawing_window)
    folder, runner = folderOf(a_drawing_window), a_drawing_window.jobRunner
    propagateButton = panelOf(a_drawing_window, "PropagatePanel").ui.propagateButton
    waitFor(lambda: not propagateButton.enabled)
    assert "running" in propagateButton.toolTip
    click(runner.ui.cancelButton)
    waitFor(lambda: not runner.isRunning())
    assert message(a_drawing_window) == "Cancelled."
    assert onlyDrawn(a_drawing_window)
    assert not folder.exists()
    waitFor(lambda: propagateButton.enabled)


def test_a_job_that_does_not_stop_is_ended_by_force_with_all_its_children(
    a_drawing_window, a_trainer_that, monkeypatch
):
    monkeypatch.setattr("SparseSegLib.jobRunner.PATIENCE", 0.2)
    monkeypatch.setattr("SparseSegLib.jobClient.GRACE", 60)
    a_trainer_that(TALKATIVE)
    startPropagation(a_drawing_window)
    runner, children = a_drawing_window.jobRunner, []
    runner.job.onEvent = lambda event: children.append(event["child"])
    runner._showEvent = lambda event: None
    waitFor(lambda: children)
    click(runner.ui.cancelButton)
    assert not runner.ui.cancelButton.enabled
    waitFor(lambda: runner.ui.cancelButton.text == "Force stop")
    click(runner.ui.cancelButton)
    waitFor(lambda: not runner.isRunning())
    assert message(a_drawing_window) == "Cancelled."
    assert not isAlive(children[0])


def test_an_error_is_told_in_its_sentence_and_the_rest_is_under_details(a_drawing_window, a_trainer_that):
    a_trainer_that(FAILS)
    assert propagate(a_drawing_window) == "The label is torn. Mend it."
    ui = a_drawing_window.jobRunner.ui
    assert not ui.log.visible
    click(ui.detailsButton)
    assert ui.log.visible
    assert "what the program said" in ui.log.plainText
    assert onlyDrawn(a_drawing_window)


def test_a_trainer_that_is_killed_is_told_and_another_can_be_started(a_drawing_window):
    startPropagation(a_drawing_window)
    folder = folderOf(a_drawing_window)
    os.kill(a_drawing_window.jobRunner.job.client._process.pid, signal.SIGKILL)
    waitFor(lambda: not a_drawing_window.jobRunner.isRunning())
    assert "ended unexpectedly, with status -9" in message(a_drawing_window)
    assert str(folder / "stderr.txt") in message(a_drawing_window)
    assert not (folder / "cohort").exists()
    assert onlyDrawn(a_drawing_window)
    startPropagation(a_drawing_window)
    assert a_drawing_window.jobRunner.isRunning()


@pytest.fixture
def a_small_disk(tmp_path, monkeypatch):
    """A function that mounts a real disk of a size for the folders of jobs."""
    mounted = []

    def ofSize(size: str):
        folder = tmp_path / "disk"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a small disk can only be mounted as root on Linux")
        mounted.append(folder)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        return folder

    yield ofSize
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_the_start_is_told_and_nothing_is_left_on_it(a_drawing_window, a_small_disk):
    disk = a_small_disk("8k")
    startPropagation(a_drawing_window)
    assert not a_drawing_window.jobRunner.isRunning()
    assert "no space is left on the disk" in message(a_drawing_window)
    assert not list(disk.iterdir())
    assert onlyDrawn(a_drawing_window)


def test_a_disk_that_fills_while_the_trainer_works_is_told(a_drawing_window, a_small_disk):
    disk = a_small_disk("4m")
    startPropagation(a_drawing_window)
    with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))
    waitFor(lambda: not a_drawing_window.jobRunner.isRunning(), 120)
    assert "no space is left on the disk" in message(a_drawing_window)
    assert onlyDrawn(a_drawing_window)
    assert [path.name for path in disk.iterdir()] == ["filler"]
