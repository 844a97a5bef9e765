"""A scene on slicer-core with a real volume and something drawn; without slicer-core, tests are skipped."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

# In Slicer, the folder of a module is on the path already.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "SparseSeg"))

if importlib.util.find_spec("slicer") is None:

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makemodule(module_path, parent):
        yield
        pytest.skip("slicer-core is not installed: pip install '.[headless]'", allow_module_level=True)


@pytest.fixture(autouse=True)
def the_folders_of_jobs(tmp_path, monkeypatch):
    """What jobs leave on purpose, such as logs after an error, goes with the other files of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def a_scene():
    """The empty scene."""
    import slicer

    from SparseSegLib.headless import startHeadless

    startHeadless()
    slicer.mrmlScene.Clear(False)
    return slicer.mrmlScene


@pytest.fixture
def an_oblique_volume(a_scene):
    """A prostate T2 series, 384 x 384 x 19 voxels of 0.5 x 0.5 x 3 mm, oblique."""
    import slicer
    from scenes import data

    return slicer.util.loadVolume(sorted(data("dicom/ProstateX-0000_T2").iterdir())[0], {"name": "T2"})


@pytest.fixture
def a_drawing(an_oblique_volume):
    """'Gland' and 'Lesion' drawn on slice 9, and a finished 'Bladder' that overlaps what they become."""
    from scenes import draw

    boxes = {
        "Gland": np.s_[9:10, 100:180, 100:200],
        "Lesion": np.s_[9:10, 180:200, 120:160],
        "Bladder": np.s_[3:16, 60:140, 150:250],
    }
    return draw(an_oblique_volume, boxes)


@pytest.fixture
def a_result():
    """A label (k, j, i) on the oblique volume's grid, as the trainer could return it for Gland and Lesion."""
    label = np.zeros((19, 384, 384), np.uint8)
    label[4:15, 90:180, 100:200] = 1
    label[6:13, 180:205, 120:160] = 2
    label[9] = 0
    label[9, 100:180, 100:200] = 1
    label[9, 180:200, 120:160] = 2
    return label


@pytest.fixture
def a_trainer_that(tmp_path, monkeypatch):
    """A function that makes jobs run a piece of Python, whose last argument is the folder, as the trainer."""
    if sys.platform == "win32":
        pytest.skip("scripts with #! do not run on Windows")
    from SparseSegLib import jobClient

    def does(code: str) -> None:
        script = tmp_path / "trainer"
        script.write_text(f"#!{sys.executable}\n{code}")
        script.chmod(0o755)
        monkeypatch.setattr(jobClient, "pythonExecutable", lambda: str(script))

    return does


@pytest.fixture
def a_window(tmp_path):
    """The window over an empty scene, with settings of its own; an error in a slot or an observer fails the test."""
    pytest.importorskip("PySide6", reason="PySide6-Essentials is not installed: pip install '.[test]'")
    from windows import newWindow, slicer_host

    with slicer_host.raisingErrors():
        window = newWindow(tmp_path)
        yield window
        window.cleanup()
