"""A benchmark really run: killed, resumed, with one training that fails, and its report."""

from __future__ import annotations

import base64
import csv
import os
import re
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import pytest
from browser import NEEDS_CHROMIUM, clicked
from phantoms import write_phantoms

from sparseseg_trainer.benchmark import pictures
from sparseseg_trainer.benchmark.benchmark import benchmark
from sparseseg_trainer.benchmark.runner import GRACE
from sparseseg_trainer.errors import Cancelled
from sparseseg_trainer.labels import default_label
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.scores import ALL_METRICS

PLAN = """
title = "Small < & >"
compare = "FS"
preset = "fast"
[settings]
width = 4
batch = 4
steps = 2
epochs = 2
baseline_epochs = 2
semi_epochs = 1
K1 = 0
K2 = 1
orthogonal_epochs = 0
[[data]]
name = "phantoms"
cohort = "dense"
split = "held_out"
parts = 2
[[methods]]
name = "FS"
method = "full"
[[methods]]
name = "Ours"
method = "collaborative"
settings = { pseudo_labels = true, alpha_f = 3 }
[[methods]]
name = "Too large"
method = "central_only"
settings = { batch = 1000000, width = 256 }
[[figures]]
kind = "slices"
[[figures]]
kind = "positions"
[[figures]]
kind = "pseudo_labels"
[[figures]]
kind = "bars"
[[figures]]
kind = "curve"
setting = "alpha_f"
"""


class Log(Reporter):
    """Keeps what is told; cancels when the first training is done, if asked to."""

    def __init__(self):
        self.cells, self.warnings, self.stages = [], [], []

    def progress(self, stage, fraction, message="", seconds_left=None):
        self.stages.append((stage, fraction, message))

    def result(self, **fields):
        self.cells.append(fields["cell"])

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A plan whose benchmark was killed as soon as its first training was done, and the folder of its results."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_phantoms(folder / "dense", 3, default_label(1))
    (folder / "plan.toml").write_text(PLAN)
    command = [Path(sys.executable).with_name("sparseseg"), "benchmark", folder / "plan.toml", "--out", folder / "out"]
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    while not done(folder / "out"):
        assert process.poll() is None, (folder / "log.txt").read_text()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return folder


def done(out):
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}


@pytest.fixture(scope="module")
def finished(killed):
    """The benchmark started again: (folder, summary, what it told, what was done before)."""
    before, log = done(killed / "out"), Log()
    patch = pytest.MonkeyPatch()
    patch.setattr(pictures, "SLICES", 2)
    summary = benchmark(killed / "plan.toml", killed / "out", devices=("cpu",), at_a_time=2, reporter=log)
    patch.undo()
    return killed, summary, log, before


def test_a_killed_benchmark_goes_on_where_it_was_and_a_training_that_fails_stops_no_other(finished):
    folder, summary, log, before = finished
    assert len(before) == 1
    assert log.cells == ["phantoms, every 2. held out, Ours, seed 0"]
    assert done(folder / "out").items() >= before.items() and len(done(folder / "out")) == 2
    assert summary["cases"] == 2 and summary["trainings"] == "2 of 3 done"
    [failure] = summary["failed"]
    assert failure["message"].startswith("phantoms, every 2. held out, Too large, seed 0: The training needs about")
    assert any("Too large" in warning for warning in log.warnings)


def test_every_score_and_table_is_there(finished):
    folder = finished[0]
    with open(folder / "out/cases.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["case"]) for row in rows] == [(m, c) for m in ("FS", "Ours") for c in ("case0", "case2")]
    [table] = (folder / "out/tables").glob("*.md")
    lines = table.read_text(encoding="utf-8").splitlines()[4:]
    assert [line.split(" | ")[0] for line in lines[:3]] == ["| **FS**", "| Ours", "| Too large"]
    assert [line.split(" | ")[-1] for line in lines[:3]] == ["1 |", "1 |", "0 of 1 |"]


def test_what_is_done_is_not_done_again_and_the_report_alone_trains_nothing(finished):
    folder = finished[0]
    before, log = done(folder / "out"), Log()
    summary = benchmark(folder / "plan.toml", folder / "out", run=False, reporter=log)
    assert (summary["cases"], summary["failed"], log.cells) == (2, [], [])
    assert done(folder / "out") == before
    page = (folder / "out/report.html").read_text(encoding="utf-8")
    assert "2 of 3 trainings are done, 1 failed." in page
    assert "Too large, seed 0: The training needs about" in page.split("<h2>Trainings that failed</h2>")[1]


def test_a_cancelled_benchmark_stops_its_trainings_at_once(killed, tmp_path):
    class Cancel(Log):
        def progress(self, stage, fraction, message="", seconds_left=None):
            if stage == "cells" and ": " in message:  # a training has said something
                self.start = time.monotonic()
                raise Cancelled

    log = Cancel()
    with pytest.raises(Cancelled):
        benchmark(killed / "plan.toml", tmp_path / "out", reporter=log)
    assert time.monotonic() - log.start < GRACE + 3
    assert done(tmp_path / "out") == {}
    [folder] = (tmp_path / "out/cells").iterdir()
    assert not (folder / "cancel").exists()


def test_the_report_has_every_figure_and_loads_nothing(finished):
    page = (finished[0] / "out/report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|src='(?!data:)|href", page)
    assert "Small &lt; &amp; &gt;" in page and "Too large" not in page.split("<h2>All trainings")[1]
    assert all(f">{heading}<" in page.split("<h2>All cases")[1] for heading in ALL_METRICS.values())
    kinds = (
        "Slices: phantoms",
        "Dice by the slice's position",
        "phantoms, Ours, Pseudo labels",
        "Dice: ",
        "Dice by alpha_f",
    )
    headings = [unescape(heading) for heading in re.findall(r"<h3>(.*?)</h3>", page)]
    assert [sum(heading.startswith(kind) for heading in headings) for kind in kinds] == [1, 1, 1, 1, 1]
    assert page.count("<img") == 5
    figures = {path.name: path.read_bytes() for path in (finished[0] / "out/figures").iterdir()}
    assert {name.partition("-")[0] for name in figures} == {
        "Slices",
        "Dice_by_the_slice_s_position",
        "phantoms",
        "Dice",
        "Dice_by_alpha_f",
    }
    shown = re.findall(r"src='data:image/png;base64,(.*?)'", page)
    assert sorted(map(base64.b64decode, shown)) == sorted(figures.values())


@NEEDS_CHROMIUM
def test_the_report_is_sorted_by_clicks_and_shows_its_figures_in_a_browser(finished, tmp_path):
    page = (finished[0] / "out/report.html").read_text(encoding="utf-8")
    plan, up, down, how, by_name, _, widths = clicked(page, tmp_path)
    assert plan == by_name == "FS,Ours,Too large" and how == "descending"
    assert up.startswith("Too large,") and down.endswith(",Too large")  # nothing is known of it
    assert len(widths.split(",")) == 5 and all(int(width) > 100 for width in widths.split(","))
