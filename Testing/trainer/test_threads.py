"""How the threads of a job wait for one another, on computers that do something else too."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sparseseg_trainer.jobs import supervise
from sparseseg_trainer.reporting import Reporter


@pytest.mark.parametrize(("own", "expected"), [({}, "4000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)])
def test_threads_of_a_job_soon_sleep_where_they_wait_unless_the_user_says_otherwise(monkeypatch, own, expected):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # as it was, afterwards
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    seen = []
    supervise(lambda: seen.append(os.environ.get("GOMP_SPINCOUNT")) or {"cases": 0, "failed": []}, Reporter())
    assert seen == [expected]


def test_a_job_is_set_up_before_pytorch_reads_how_threads_wait():
    code = "import sys, sparseseg_trainer.cli, sparseseg_trainer.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
