"""The Python on docs/scripts.md runs as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

for package in ("slicer", "PySide6"):
    pytest.importorskip(package, reason="slicer-core and PySide6-Essentials are needed: pip install '.[test]'")

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / folder) for folder in ("SparseSeg", "Testing/trainer", "Testing/slicer_host")]

import slicer_host  # noqa: E402
from phantoms import GEOMETRY, ellipsoid_volume, write_phantoms, write_series  # noqa: E402

from sparseseg_trainer import refinement  # noqa: E402
from sparseseg_trainer.cohort import read_cohort  # noqa: E402
from sparseseg_trainer.labels import Label  # noqa: E402
from sparseseg_trainer.sparsify import sparsify  # noqa: E402
from sparseseg_trainer.training import presets  # noqa: E402
from sparseseg_trainer.volumes import read_geometry, read_label, write_image, write_label  # noqa: E402

BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/scripts.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
LABELS = [Label(1, "structure", (0.9, 0.6, 0.0))]


@pytest.fixture
def what_the_page_names(tmp_path, monkeypatch):
    """A current folder with the files that the page names, and presets and results that take seconds."""
    monkeypatch.chdir(tmp_path)
    write_phantoms(tmp_path / "reference", 2, LABELS[0])
    sparsify(tmp_path / "reference", tmp_path / "cohort")
    image, label = ellipsoid_volume(0)
    write_image(tmp_path / "volume.nrrd", image, GEOMETRY)
    write_label(tmp_path / "drawn.seg.nrrd", np.where(np.arange(14)[:, None, None] == 7, label, 0), GEOMETRY, LABELS)
    write_series(tmp_path / "series", image)
    write_label(tmp_path / "segmentation.seg.nrrd", label, read_geometry(tmp_path / "series"), LABELS)
    for name, value in {"steps": 2, "epochs": 1, "semi_epochs": 1, "K1": 0, "K2": 1}.items():
        monkeypatch.setitem(presets.FAST, name, value)
    monkeypatch.setattr(refinement, "ALONE", refinement.Lesson(3, 0.15, 0.15))
    return tmp_path


@pytest.fixture
def a_slicer():
    """Slicer as the host has it, with an empty scene."""
    slicer_host.start().mrmlScene.Clear(False)
    sys.modules.pop("SparseSeg", None)  # other tests may have imported it with other base classes


def test_the_scripts_page_runs_from_top_to_bottom(what_the_page_names, a_slicer, capsys):
    names = {}
    for block in BLOCKS:
        exec(compile(block, "scripts.md", "exec"), names)
    folder = what_the_page_names
    drawn = read_label(folder / "drawn.seg.nrrd", GEOMETRY)
    for name in ("whole.seg.nrrd", "whole.nii.gz"):
        whole = read_label(folder / name, GEOMETRY)
        assert np.array_equal(whole[7], drawn[7]) and whole[5].any()
    assert len(read_cohort(folder / "segmented").cases) == 2
    assert (folder / "report" / "report.html").is_file()
    assert names["labels"][0].name == "structure"
    assert len(names["found"].segmentIds) == 1
    assert [case.name for case in read_cohort(names["summary"]["out"]).cases] == [names["name"]] == ["volume"]
    assert "cohort.csv" in capsys.readouterr().out
