"""A case of a cohort that cannot be used is listed with what is wrong, and the others come through."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bad_images import BAD_IMAGES, bad_image
from phantoms import GEOMETRY, SHAPE, ellipsoid_volume
from typer.testing import CliRunner

from sparseseg_trainer.cli import app
from sparseseg_trainer.cohort import Case, load_case, read_cohort, write_cohort
from sparseseg_trainer.volumes import write_image, write_label

IMAGE, LABEL = ellipsoid_volume(0)
BAD_LABELS = {
    "label on another grid": ("other_grid", LABEL, replace(GEOMETRY, spacing=(0.9, 0.9, 2.0))),
    "empty label": ("empty_label", np.zeros(SHAPE, np.uint8), GEOMETRY),
    "label empty where it is said to be drawn": ("empty_label", LABEL * (np.arange(14) != 7)[:, None, None], GEOMETRY),
}


def bad_case(kind: str, folder: Path) -> Case:
    """Case Ann, drawn on slice 7, whose image or label is bad in the way that ``kind`` says."""
    folder.mkdir()
    case = Case("Ann", folder / "image.nrrd", folder / "label.nrrd", (7,))
    if kind in BAD_LABELS:
        write_image(case.image, IMAGE, GEOMETRY)
        write_label(case.label, *BAD_LABELS[kind][1:])
        return case
    write_label(case.label, LABEL, GEOMETRY)
    return replace(case, image=bad_image(kind, folder))


@pytest.mark.parametrize("kind", [*BAD_LABELS, *BAD_IMAGES])
def test_a_bad_case_beside_a_good_one_is_listed_in_a_sentence_with_its_name_and_the_good_one_is_written(
    tiny_cohort, tmp_path, kind
):
    cohort, out = read_cohort(tiny_cohort), tmp_path / "out"
    write_cohort(tiny_cohort, [bad_case(kind, tmp_path / "Ann"), cohort.cases[0]], cohort.labels)
    arguments = ["propagate", str(tiny_cohort), "--out", str(out), "--quality", "instant"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    [failure] = json.loads((out / "report.json").read_text())["failed"]
    assert (failure["case"], failure["code"]) == (
        "Ann",
        BAD_LABELS[kind][0] if kind in BAD_LABELS else BAD_IMAGES[kind],
    )
    message = failure["message"]
    assert message.startswith("Case Ann: ") and message.endswith(".") and ". " not in message and "\n" not in message
    assert f"Failed: {message} {failure['advice']}" in result.stderr
    [written] = read_cohort(out).cases
    assert written.name == "case0" and len(load_case(written).annotated) > 3
