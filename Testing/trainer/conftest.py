"""What the trainer's tests share: where the real volumes are, and a small cohort that needs none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from phantoms import GEOMETRY, TINY_VIEWS, Warnings, ellipsoid_volume, write_phantoms

from sparseseg_trainer import refinement, together
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.labels import Label
from sparseseg_trainer.refinement import Lesson
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.loop import Run
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.volumes import write_image, write_label

STRUCTURE = Label(1, "structure", (0.9, 0.6, 0.0))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real volumes; the test skips where it is missing."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real volumes are not here: {folder} is missing")
    return folder


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of PyTorch's threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def short_lessons(monkeypatch):
    """Refined results after a few steps, for tests of what does not depend on how much is learned."""
    monkeypatch.setattr(together, "lesson", lambda volumes: Lesson(3, 0.5, 0.25))
    monkeypatch.setattr(refinement, "ALONE", Lesson(3, 0.15, 0.15))


@pytest.fixture
def dense_cohort(tmp_path) -> Path:
    """Three small volumes (14 slices of 32 x 28) with the structure drawn on every slice that it reaches."""
    folder = tmp_path / "dense"
    write_phantoms(folder, 3, STRUCTURE)
    return folder


@pytest.fixture
def tiny_cohort(dense_cohort, tmp_path) -> Path:
    """The cohort of ``dense_cohort`` with the central slice drawn only."""
    sparsify(dense_cohort, tmp_path / "sparse")
    return tmp_path / "sparse"


@pytest.fixture
def files(tmp_path) -> Path:
    """A folder with an image, a label of value 1, and ``many`` with the values 7 and 9."""
    image, label = ellipsoid_volume(0)
    write_image(tmp_path / "image.nrrd", image, GEOMETRY)
    write_label(tmp_path / "label.nrrd", label, GEOMETRY)
    write_label(tmp_path / "many.nrrd", label * 7 + (label & (image > 550)) * 2, GEOMETRY)
    return tmp_path


@pytest.fixture
def views_run(tiny_cohort, tmp_path) -> Run:
    """A training that has not begun, of slices of 32 x 32 pixels; its labels are made up by the tests."""
    settings = resolve(TrainSettings(**TINY_VIEWS))
    data = prepare(read_cohort(tiny_cohort), tmp_path / "data", settings.pixels, Reporter())
    return Run(data, settings, torch.device("cpu"), tmp_path, Warnings(), [])
