"""The batch script that a Slicer user would write runs on slicer-core."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from scenes import data, draw, voxels  # noqa: E402

SCRIPT = Path(__file__).with_name("batch_example.py")


def test_the_batch_script_saves_propagated_segments_and_a_scene_and_reports_the_file_it_cannot_use(a_scene, tmp_path):
    path = data("spinal_cord/t2s.nii.gz")
    volumeNode = slicer.util.loadVolume(path)
    cord = slicer.util.loadVolume(data("spinal_cord/t2s_gmseg_manual.nii.gz"))
    drawing = draw(volumeNode, {"Gray matter": np.s_[0:0]})
    middle = slicer.util.arrayFromVolume(cord).astype(np.uint8)
    index = len(middle) // 2
    middle[np.arange(len(middle)) != index] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(middle, drawing, "Gray matter", volumeNode)
    drawn = tmp_path / "drawn.seg.nrrd"
    slicer.util.saveNode(drawing, str(drawn))
    missing = tmp_path / "missing.nrrd"

    run = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "out", missing, drawn, path, drawn],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2] / "SparseSeg")},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert run.returncode == 1, run.stderr
    assert "t2s: Gray matter:" in run.stdout
    assert "missing.nrrd" in run.stdout
    result = slicer.util.loadSegmentation(tmp_path / "out" / "t2s.seg.nrrd")
    propagated = voxels(result, "Gray matter", volumeNode)
    assert np.array_equal(propagated[index], middle[index] > 0)
    assert propagated.any(axis=(1, 2)).sum() > 5
    assert any(name.endswith(".mrml") for name in zipfile.ZipFile(tmp_path / "out" / "scene.mrb").namelist())
