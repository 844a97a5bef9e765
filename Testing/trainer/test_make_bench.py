"""``make bench`` goes on with the next plan where trainings of one failed, and says so at its end."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PLANS = sorted(plan.stem for plan in (BENCHMARKS / "plans").glob("*_quick.toml"))


def bench(monkeypatch, tmp_path, **statuses) -> tuple[list[str], int | str | None]:
    """Runs all plans, of which those named end with ``statuses``: those that were started, and how it ended."""
    started = []

    def run(command, check=False):
        plan = Path(command[command.index("benchmark") + 1]).stem
        started.append(plan)
        status = statuses.get(plan, 0)
        if check and status:
            raise subprocess.CalledProcessError(status, command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    options = ["--only", "plans", "--data", str(tmp_path), "--out", str(tmp_path / "bench")]
    monkeypatch.setattr(sys, "argv", ["run.py", *options])
    try:
        runpy.run_path(str(BENCHMARKS / "run.py"), run_name="__main__")
    except SystemExit as end:
        return started, end.code
    finally:
        sys.modules.pop("tables", None)
    return started, None


def test_a_plan_with_failures_stops_no_later_one_and_is_named_at_the_end(monkeypatch, tmp_path):
    started, end = bench(monkeypatch, tmp_path, **{PLANS[0]: 1, PLANS[2]: 2})  # some failed, all failed
    assert started == PLANS
    assert PLANS[0] in end and PLANS[2] in end and PLANS[1] not in end


def test_without_failures_it_ends_well(monkeypatch, tmp_path):
    assert bench(monkeypatch, tmp_path) == (PLANS, None)


@pytest.mark.parametrize("status", [3, 130, -9])
def test_a_mistake_in_the_program_or_a_cancel_stops_it(monkeypatch, tmp_path, status):
    with pytest.raises(subprocess.CalledProcessError):
        bench(monkeypatch, tmp_path, **{PLANS[0]: status})
