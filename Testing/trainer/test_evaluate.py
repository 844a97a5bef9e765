"""The evaluation job: matching, failures that still count, tables, the report in one file."""

from __future__ import annotations

import base64
import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import GEOMETRY
from phantoms import Stopped, Warnings
from scipy.stats import ttest_rel

from sparseseg_trainer.cohort import Case, read_cohort, write_cohort
from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.evaluate import EvaluateSettings, evaluate
from sparseseg_trainer.labels import Label
from sparseseg_trainer.metrics import diagonal
from sparseseg_trainer.volumes import Geometry, read_geometry, read_label, write_image, write_label


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """One slice a picture: drawing eight takes a second, and shows no more here."""
    pictures = pytest.importorskip("sparseseg_trainer.pictures", exc_type=ImportError)
    monkeypatch.setattr(pictures, "SLICES", 1)


def predict(reference, out, change, geometry=None, skip=()):
    """A folder of predictions: the reference's labels after ``change(array, case number)``."""
    cases = []
    for number, case in enumerate(read_cohort(reference).cases):
        if case.name in skip:
            continue
        grid = read_geometry(case.image)
        array = change(read_label(case.label, grid), number)
        path = out / "labels" / f"{case.name}.nrrd"
        write_label(path, array, geometry or grid)
        cases.append(replace(case, label=path))
    write_cohort(out, cases, read_cohort(reference).labels)
    return out


def shifted(array, number):
    return np.roll(array, number, 2)


def rows(out):
    with open(out / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_perfect_prediction_scores_one_and_zero(dense_cohort, tmp_path):
    summary = evaluate(predict(dense_cohort, tmp_path / "a", lambda array, _: array), dense_cohort, tmp_path / "out")
    assert summary["mean"] == {"dice": 1, "iou": 1, "boundary_iou": 1, "assd": 0, "hd95": 0, "ravd": 0}
    assert (summary["cases"], summary["failed"]) == (3, [])


def test_the_tables_hold_every_case_and_their_mean_and_spread(dense_cohort, tmp_path):
    evaluate(predict(dense_cohort, tmp_path / "a", shifted), dense_cohort, tmp_path / "out")
    table = rows(tmp_path / "out")
    assert [row["case"] for row in table] == ["case0", "case1", "case2"]
    assert table[1]["name"] == "structure"
    dice = [float(row["dice"]) for row in table]
    assert dice[0] == 1 > dice[1] > dice[2] > 0.5
    [row] = json.loads((tmp_path / "out/metrics.json").read_text())["rows"]
    assert (row["n"], row["failed"]) == (3, 0)
    assert row["dice"]["mean"] == pytest.approx(np.mean(dice), abs=1e-5)
    assert row["dice"]["sd"] == pytest.approx(np.std(dice, ddof=1), abs=1e-5)


def test_distances_and_volumes_are_in_mm_and_ml(dense_cohort, tmp_path):
    # One row (0.9 mm) to the side: no point of a surface lies further from the other one.
    evaluate(predict(dense_cohort, tmp_path / "a", lambda a, _: np.roll(a, 1, 1)), dense_cohort, tmp_path / "out")
    row, case = rows(tmp_path / "out")[0], read_cohort(dense_cohort).cases[0]
    assert float(row["hd95_mm"]) == pytest.approx(0.9)
    voxels = int(read_label(case.label, GEOMETRY).sum())
    assert float(row["reference_ml"]) == pytest.approx(voxels * 0.9 * 0.9 * 3.0 / 1000, rel=1e-5)


def test_a_case_without_prediction_counts_with_overlap_zero_and_is_named(dense_cohort, tmp_path):
    predictions = predict(dense_cohort, tmp_path / "a", lambda array, _: array, skip=["case1"])
    summary = evaluate(predictions, dense_cohort, tmp_path / "out")
    assert summary["cases"] == 2
    [failure] = summary["failed"]
    assert (failure["case"], failure["code"]) == ("case1", "missing_prediction")
    assert summary["mean"]["dice"] == pytest.approx(2 / 3)
    row = rows(tmp_path / "out")[1]
    assert (float(row["dice"]), row["failed"]) == (0, "true")
    assert float(row["hd95_mm"]) == pytest.approx(diagonal((14, 32, 28), (3.0, 0.9, 0.9)), rel=1e-5)
    assert failure["message"] in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_a_prediction_on_another_grid_fails_with_a_sentence_and_the_others_are_scored(dense_cohort, tmp_path):
    predictions = predict(dense_cohort, tmp_path / "a", lambda array, _: array)
    path = read_cohort(predictions).cases[2].label
    write_label(path, read_label(path, GEOMETRY), replace(GEOMETRY, origin=(0.0, 0.0, 0.0)))
    summary = evaluate(predictions, dense_cohort, tmp_path / "out")
    [failure] = summary["failed"]
    assert failure["code"] == "other_grid"
    assert "case2" in failure["message"]
    assert [float(row["dice"]) for row in rows(tmp_path / "out")] == [1, 1, 0]


def test_a_reference_with_undrawn_slices_is_not_scored(dense_cohort, tiny_cohort, tmp_path):
    cohort = read_cohort(dense_cohort)
    cohort.cases[0] = read_cohort(tiny_cohort).cases[0]
    write_cohort(tmp_path / "mixed", cohort.cases, cohort.labels)
    predictions = predict(dense_cohort, tmp_path / "a", lambda array, _: array)
    summary = evaluate(predictions, tmp_path / "mixed", tmp_path / "out")
    assert [(failure["case"], failure["code"]) for failure in summary["failed"]] == [("case0", "sparse_reference")]
    assert [row["case"] for row in rows(tmp_path / "out")] == ["case1", "case2"]


def test_a_reference_without_any_dense_label_is_refused(dense_cohort, tiny_cohort, tmp_path):
    with pytest.raises(InputError, match="case0") as caught:
        evaluate(dense_cohort, tiny_cohort, tmp_path / "out")
    assert caught.value.code == "no_reference"
    assert not (tmp_path / "out").exists()


def test_an_empty_prediction_is_a_failed_score_but_a_finished_comparison(dense_cohort, tmp_path):
    predictions = predict(dense_cohort, tmp_path / "a", lambda array, number: array * (number > 0))
    summary = evaluate(predictions, dense_cohort, tmp_path / "out")
    assert (summary["cases"], summary["failed"]) == (3, [])
    assert [row["failed"] for row in rows(tmp_path / "out")] == ["true", "", ""]
    assert "3 cases, 1 of them failed" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_several_labels_are_scored_apart_and_averaged(tmp_path):
    # Slices along the first axis of the file, flipped in plane: what NIfTI of other programs looks like.
    grid = Geometry((9, 30, 20), (4.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    array = np.zeros(grid.shape, np.uint8)
    array[4:12, 5:15, 2:6], array[4:12, 15:25, 2:6] = 1, 7
    case = Case("one", tmp_path / "ref/one.nrrd", tmp_path / "ref/one_label.nrrd")
    write_image(case.image, array.astype(np.float32), grid)
    write_label(case.label, array, grid)
    labels = [Label(1, "front", (1, 0, 0)), Label(7, "back", (0, 1, 0))]
    write_cohort(tmp_path / "ref", [case], labels)
    half = lambda array, _: np.where((array == 7) & (np.arange(30)[:, None] >= 20), 0, array)  # noqa: E731
    summary = evaluate(predict(tmp_path / "ref", tmp_path / "a", half), tmp_path / "ref", tmp_path / "out")
    table = rows(tmp_path / "out")
    assert [row["label"] for row in table] == ["1", "7", "mean"]
    assert [float(row["dice"]) for row in table] == pytest.approx([1, 2 / 3, 5 / 6], rel=1e-5)
    assert [float(row["ravd"]) for row in table] == [0, 0.5, 0.25]
    assert summary["mean"]["dice"] == pytest.approx(5 / 6)


def test_another_method_is_compared_by_a_paired_t_test(dense_cohort, tmp_path):
    a = predict(dense_cohort, tmp_path / "a", lambda array, number: np.roll(array, 1 + number, 2))
    b = predict(dense_cohort, tmp_path / "b", lambda array, number: np.roll(array, 3 - number // 2, 2))
    evaluate(a, dense_cohort, tmp_path / "out", EvaluateSettings(compare=str(b)))
    evaluate(b, dense_cohort, tmp_path / "out_b")
    content = json.loads((tmp_path / "out/metrics.json").read_text())
    dice = [[float(row["dice"]) for row in rows(tmp_path / name)] for name in ("out", "out_b")]
    assert content["rows"][0]["dice"]["p"] == pytest.approx(ttest_rel(*dice).pvalue, rel=1e-3)
    assert content["rows"][0]["ravd"]["p"] is None  # the volumes are the same
    assert content["compared_rows"][0]["dice"]["mean"] == pytest.approx(np.mean(dice[1]), rel=1e-4)


def test_the_report_is_one_page_that_loads_nothing(dense_cohort, tmp_path):
    a = predict(dense_cohort, tmp_path / "a", shifted)
    pseudo = tmp_path / "pseudo"
    for case in read_cohort(dense_cohort).cases[:2]:
        label = read_label(case.label, GEOMETRY)
        certain = label & np.roll(label, 2, 2)
        write_label(pseudo / f"{case.name}.nrrd", np.where(certain, 1, 101 * label), GEOMETRY)
    settings = EvaluateSettings(pseudo_labels=str(pseudo))
    page = tmp_path / "out/report.html"
    assert evaluate(a, dense_cohort, tmp_path / "out", settings)["report"] == str(page)
    parser = Sources()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.headings == ["Worst: case2", "Median: case1", "Best: case0"] + [
        f"Pseudo labels: case{number}" for number in range(2)
    ]
    assert all(source.startswith("data:image/png;base64,") for source in parser.sources)
    assert len(set(parser.sources)) == 5
    assert base64.b64decode(parser.sources[0].split(",")[1]).startswith(b"\x89PNG")
    assert not re.search(r"https?://|url\(|@import", parser.text)


class Sources(HTMLParser):
    """What a page refers to, its third-level headings, and its text with style and script."""

    def __init__(self):
        super().__init__()
        self.sources, self.headings, self.text, self.tag = [], [], "", ""

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data
        if self.tag == "h3" and data.strip():
            self.headings.append(data)


def test_names_are_written_as_text_into_the_page(dense_cohort, tmp_path):
    predictions = predict(dense_cohort, tmp_path / "a", shifted)
    cohort = read_cohort(dense_cohort)
    write_cohort(dense_cohort, cohort.cases, [Label(1, "<b>left & right</b>", (1, 0, 0))])
    evaluate(predictions, dense_cohort, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;left &amp; right&lt;/b&gt;" in page
    assert "<b>" not in page


def test_without_matplotlib_the_tables_are_written_and_a_warning_says_what_is_missing(dense_cohort, tmp_path):
    predictions = predict(dense_cohort, tmp_path / "a", shifted)
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from sparseseg_trainer.evaluate import evaluate; from sparseseg_trainer.reporting import Reporter\n"
        "reporter = Reporter(); reporter.warn = print; evaluate(*sys.argv[1:], reporter=reporter)"
    )
    command = [sys.executable, "-c", script, predictions, dense_cohort, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "matplotlib is missing" in done.stdout
    assert "pip install" in done.stdout
    assert len(rows(tmp_path / "out")) == 3
    assert "<img" not in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_predictions_that_the_reference_does_not_know_are_mentioned(dense_cohort, tmp_path):
    predictions = predict(dense_cohort, tmp_path / "a", shifted)
    cohort = read_cohort(dense_cohort)
    write_cohort(tmp_path / "two", cohort.cases[:2], cohort.labels)
    reporter = Warnings()
    evaluate(predictions, tmp_path / "two", tmp_path / "out", reporter=reporter)
    assert any("case2" in text for text in reporter.messages)


def test_a_cancelled_evaluation_writes_nothing(dense_cohort, tmp_path):
    with pytest.raises(Cancelled):
        evaluate(dense_cohort, dense_cohort, tmp_path / "out", reporter=Stopped())
    assert not (tmp_path / "out").exists()


def test_a_real_cohort_compared_with_itself_is_perfect_in_every_structure(data_dir, tmp_path):
    cohort = read_cohort(data_dir / "hippocampus")
    write_cohort(
        tmp_path / "ref",
        cohort.cases[:3],
        [Label(1, "anterior", (1, 0, 0)), Label(2, "posterior", (0, 1, 0))],
    )
    summary = evaluate(tmp_path / "ref", tmp_path / "ref", tmp_path / "out")
    assert (summary["mean"]["dice"], summary["mean"]["hd95"], summary["failed"]) == (1, 0, [])
    assert len(rows(tmp_path / "out")) == 9
