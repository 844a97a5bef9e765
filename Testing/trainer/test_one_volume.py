"""Propagation of one volume, given by the files of its image and its label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantoms import GEOMETRY, refusal

from sparseseg_trainer import propagate
from sparseseg_trainer.labels import Label, write_labels
from sparseseg_trainer.propagate import PropagateSettings, propagate_file
from sparseseg_trainer.volumes import read_image, read_label, read_label_names, write_image, write_label

INSTANT = PropagateSettings(quality="instant")


def test_one_file_is_propagated_with_probabilities_and_on_its_own_grid(files):
    out = files / "whole.seg.nrrd"
    settings = replace(INSTANT, probabilities=True)
    summary = propagate_file(files / "image.nrrd", files / "label.nrrd", out, [7], settings=settings)
    geometry = read_image(files / "image.nrrd").geometry
    label, share = read_label(out, geometry), read_image(files / "whole_probability_1.nrrd")
    assert share.geometry == geometry and ((share.array > 0.5) == (label > 0)).mean() > 0.97
    assert summary["cases"] == 1 and len(summary["confidence"]) == 14
    assert np.array_equal(label[7], read_label(files / "label.nrrd", geometry)[7])


def test_probabilities_are_named_after_the_whole_name_of_their_label(files):
    for name in ("whole.v1", "whole.v2"):
        settings = replace(INSTANT, probabilities=True)
        propagate_file(files / "image.nrrd", files / "label.nrrd", files / f"{name}.nii.gz", [7], settings=settings)
        assert (files / f"{name}_probability_1.nrrd").is_file()


def flat_and_drawn(folder: Path, size: tuple[int, int, int]) -> tuple[np.ndarray, int]:
    """Writes a constant image of ``size`` and a label drawn on its middle slice, which come back."""
    geometry, drawn = replace(GEOMETRY, size=size), size[2] // 2
    label = np.zeros(geometry.shape, np.uint8)
    label[drawn, : size[1] // 2, : size[0] // 2] = 1
    write_image(folder / "flat.nrrd", np.full(geometry.shape, 7, np.int16), geometry)
    write_label(folder / "drawn.nrrd", label, geometry)
    return label, drawn


@pytest.mark.parametrize("quality", ["instant", "refined"])
@pytest.mark.parametrize("size", [(28, 32, 14), (4, 4, 3), (2, 2, 2)])
def test_a_constant_volume_however_tiny_keeps_its_drawing_and_nothing_appears_beside_it(tmp_path, size, quality):
    label, drawn = flat_and_drawn(tmp_path, size)
    arguments = tmp_path / "flat.nrrd", tmp_path / "drawn.nrrd", tmp_path / "whole.nrrd"
    summary = propagate_file(*arguments, settings=PropagateSettings(quality=quality))
    result = read_label(tmp_path / "whole.nrrd", replace(GEOMETRY, size=size))
    assert np.array_equal(result[drawn], label[drawn])
    # No slice can tell where the structure is, but it is nowhere that the drawing did not show it.
    assert not (result.any(0) & ~label.any(0)).any()
    assert len(summary["confidence"]) == size[2] and summary["confidence"][drawn] == 1
    assert all(0 <= value <= 1 for value in summary["confidence"])


def test_a_tiny_volume_that_is_not_constant_is_propagated_too(tmp_path, short_lessons):
    label, drawn = flat_and_drawn(tmp_path, (3, 4, 5))
    noise = np.random.default_rng(0).normal(size=label.shape)
    write_image(tmp_path / "noise.nrrd", noise, replace(GEOMETRY, size=(3, 4, 5)))
    propagate_file(tmp_path / "noise.nrrd", tmp_path / "drawn.nrrd", tmp_path / "whole.nrrd")
    result = read_label(tmp_path / "whole.nrrd", replace(GEOMETRY, size=(3, 4, 5)))
    assert np.array_equal(result[drawn], label[drawn]) and not result[[0, -1]].any()


def test_the_names_of_labels_in_the_current_folder_are_not_those_of_the_volume(files, monkeypatch):
    write_labels(files, [Label(3, "somebody else's", (1.0, 0.0, 0.0))])
    monkeypatch.chdir(files)
    propagate_file(Path("image.nrrd"), Path("label.nrrd"), Path("whole.seg.nrrd"), [7], settings=INSTANT)
    [label] = read_label_names(files / "whole.seg.nrrd")
    assert label.value == 1 and label.name != "somebody else's"


def test_a_drawing_is_never_replaced_by_the_result(files):
    arguments = files / "image.nrrd", files / "label.nrrd", files / "label.nrrd"
    assert refusal(propagate_file, *arguments).code == "same_file"


@pytest.mark.parametrize("out", ["folder", "folder.nrrd", "result", "result.png"])
def test_a_result_that_could_not_be_written_is_refused_before_anything_is_computed(files, monkeypatch, out):
    for name in ("folder", "folder.nrrd"):
        (files / name).mkdir()
    monkeypatch.setattr(propagate, "load_case", lambda case: pytest.fail("the volume was read"))
    error = refusal(propagate_file, files / "image.nrrd", files / "label.nrrd", files / out, [7])
    assert error.code == "bad_suffix" and str(files / out) in error.message and ".seg.nrrd" in error.advice


def test_a_slice_that_is_not_drawn_is_refused(files, tmp_path):
    error = refusal(propagate_file, files / "image.nrrd", files / "label.nrrd", tmp_path / "x.nrrd", [0])
    assert error.code == "empty_label"


@pytest.mark.parametrize("ends", [{"first": 5}, {"last": 8}, {"first": 5, "last": 8}])
def test_ends_that_leave_out_what_is_drawn_are_refused_though_no_slice_is_given(files, tmp_path, ends):
    error = refusal(lambda: propagate_file(files / "image.nrrd", files / "label.nrrd", tmp_path / "x.nrrd", **ends))
    assert error.code == "bad_extent" and "annotated slice" in error.message
