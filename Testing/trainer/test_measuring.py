"""By what the slices of a cohort are brought to one scale: the spacing in their files, or their field of view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantoms import GEOMETRY, Warnings, bordered_cohort, ellipsoid_volume

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.cohort_grid import choose_grid
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import segment
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training import measured_case
from sparseseg_trainer.training.measuring import measure
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_image, write_image


def field_of_view(folder, size_by="auto", reporter=None):
    return measure(read_cohort(folder), 0, size_by, "whole", [], reporter or Reporter())[1].field_of_view


WRONG = (0.5, 1.0, 2.0) * 4


def test_spacings_by_which_structures_grow_with_the_field_of_view_are_not_believed_and_the_user_is_told(tmp_path):
    folder, reporter = bordered_cohort(tmp_path, WRONG), Warnings()
    assert field_of_view(folder, reporter=reporter) == pytest.approx(0.9 * (28 * 32) ** 0.5)
    assert len(reporter.messages) == 1 and "size_by" in reporter.messages[0]


def test_who_trusts_the_spacing_is_obeyed(tmp_path):
    reporter = Warnings()
    assert field_of_view(bordered_cohort(tmp_path, WRONG), "spacing", reporter) is None
    assert not reporter.messages


def test_true_spacings_are_believed_whatever_the_fields_of_view(tmp_path):
    assert field_of_view(bordered_cohort(tmp_path, (1.0,) * 12, borders=(0, 10, 30))) is None


def test_where_the_fields_of_view_are_alike_no_label_is_read(tmp_path, monkeypatch):
    folder = bordered_cohort(tmp_path, (1.0,) * 12)
    monkeypatch.setattr(measured_case, "read_drawn_slices", lambda *arguments: pytest.fail("a label was read"))
    assert field_of_view(folder) is None


def test_a_few_cases_are_too_few_to_doubt_the_spacing(tmp_path):
    assert field_of_view(bordered_cohort(tmp_path, WRONG[:9])) is None


def test_a_label_that_cannot_be_read_is_left_out_of_the_decision(tmp_path):
    folder = bordered_cohort(tmp_path, WRONG)
    (folder / "labels/case4.nrrd").write_bytes(b"not a label")
    assert field_of_view(folder) is None  # one too few is left


@pytest.mark.parametrize(("name", "doubted"), [("promise12", True), ("left_atrium", False), ("hippocampus", False)])
def test_of_the_real_cohorts_the_one_whose_spacing_was_lost_is_doubted(data_dir, tmp_path, name, doubted):
    sparsify(data_dir / name, tmp_path / "sparse")
    assert bool(field_of_view(tmp_path / "sparse")) == doubted


@given(
    size=st.tuples(st.integers(20, 300), st.integers(20, 300)),
    factor=st.floats(0.1, 10),
    pixels=st.integers(2000, 9000),
)
def test_on_a_grid_by_field_of_view_the_size_of_a_slice_does_not_depend_on_its_spacing(size, factor, pixels):
    grid = choose_grid([size, (100, 120)], [(0.5, 0.6), (1.0, 1.0)], pixels, field_of_view=110.0)
    rows, columns = grid.size(*size, (0.5, 0.6))
    again = grid.size(*size, (0.5 * factor, 0.6 * factor))
    assert again == pytest.approx((rows, columns), abs=1)  # rounding
    sides = rows * grid.spacing[0], columns * grid.spacing[1]
    assert (sides[0] * sides[1]) ** 0.5 == pytest.approx(110, rel=0.1)


def test_a_model_by_field_of_view_segments_a_volume_alike_whatever_spacing_its_file_has(tmp_path):
    folder = bordered_cohort(tmp_path, (1.0, 2.0))
    settings = TrainSettings("central_only", "fast", width=4, baseline_epochs=2, steps=20, pixels=0)
    train(folder, tmp_path / "model", replace(settings, size_by="field_of_view"))
    image, _ = ellipsoid_volume(5)
    for name, factor in (("true", 1.0), ("wrong", 3.0)):
        spacing = (*(factor * side for side in GEOMETRY.spacing[:2]), GEOMETRY.spacing[2])
        write_image(tmp_path / f"{name}.nrrd", image, replace(GEOMETRY, spacing=spacing))
    segment([tmp_path / "true.nrrd", tmp_path / "wrong.nrrd"], tmp_path / "model", tmp_path / "out")
    labels = [read_image(tmp_path / f"out/labels/{name}.nrrd").array for name in ("true", "wrong")]
    assert labels[0].any() and np.array_equal(*labels)
    assert "whatever the spacing in the file" in (tmp_path / "model/README.md").read_text()
