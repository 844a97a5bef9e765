"""``make`` sets up .venv, also after an attempt that stopped half-way."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def program(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_a_venv_that_was_left_without_pip_is_made_again(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    program(tmp_path / ".venv/bin/python", "test -x .venv/bin/pip")  # as ``python -m pip``, it fails without pip
    program(tmp_path / "python3", "touch .venv/bin/pip && chmod +x .venv/bin/pip")  # as ``python3 -m venv``
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["make", "install"], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".venv/installed").exists()
