"""A benchmark's tables with columns of every label, as zheng2020's Table 1 has them."""

from __future__ import annotations

import csv
import io

import pytest

from sparseseg_trainer.benchmark.benchmark import benchmark
from sparseseg_trainer.benchmark.plan import Method, Plan, TablePlan
from sparseseg_trainer.benchmark.report import Section, benchmark_page
from sparseseg_trainer.benchmark.results import Row
from sparseseg_trainer.benchmark.tables import make_tables, to_csv, to_latex, to_markdown
from sparseseg_trainer.labels import Label, write_labels
from sparseseg_trainer.metrics import Scores
from sparseseg_trainer.scores import CaseScores

LABELS = [Label(1, "Pool", (1, 0, 0)), Label(4, "Wall & valve", (0, 1, 0))]
PLAN = Plan(
    "Table 1",
    compare="Ours",
    methods=(Method("DVN"), Method("Ours")),
    tables=(TablePlan(metrics=("dice", "adb", "hvsmr"), per_label=True),),
)


def scores(dice: float, adb: float) -> Scores:
    return Scores(dice, 0, 0, 0, 0, 0, 0, 0, hausdorff=0, slice_assd=0, adb=adb, rand=0, hvsmr=dice / 2 - adb / 4)


def row(name: str, *cases: tuple[float, float]) -> Row:
    """``cases``: Dice of both labels; ADB is 1 mm in the first and 2 mm in the second."""
    by_label = [{1: scores(pool, 1), 4: scores(wall, 2)} for pool, wall in cases]
    return Row(name, [None], [None], [CaseScores(f"case{n}", one) for n, one in enumerate(by_label)])


# The paired differences of the first label, 0.2, 0.25 and 0.3, are significant (p = 0.013), those of the second,
# 0.1, 0.2 and 0.3, are not (p = 0.074), and those of the mean, 0.15, 0.225 and 0.3, are (p = 0.036).
ROWS = [row("DVN", (0.65, 0.75), (0.5, 0.55), (0.6, 0.6)), row("Ours", (0.85, 0.85), (0.75, 0.75), (0.9, 0.9))]


@pytest.fixture
def table():
    [table] = make_tables(PLAN, "heart", ROWS, LABELS)
    return table


def test_every_label_has_its_columns_and_its_own_test_before_those_of_all_labels(table):
    heading, _, first, second, _, note = to_markdown(table).splitlines()[2:]
    assert heading.split(" | ")[1:7] == [
        "Pool: Dice (%)",
        "Pool: ADB (mm)",
        "Wall & valve: Dice (%)",
        "Wall & valve: ADB (mm)",
        "all labels: Dice (%)",
        "all labels: ADB (mm)",
    ]
    assert heading.split(" | ")[7] == "all labels: HVSMR score"  # which is a sum over the labels
    assert first.split(" | ")[1:7:2] == ["58.3\\* ± 7.6", "63.3 ± 10.4", "60.8\\* ± 8.8"]
    assert first.split(" | ")[2:8:2] == ["1.00 ± 0.00", "2.00 ± 0.00", "1.50 ± 0.00"]
    assert first.split(" | ")[7] == "-0.142\\* ± 0.088"
    assert second.startswith("| **Ours** | 83.3 ± 7.6 |")
    assert "All labels: the mean over the labels of each case (HVSMR score: the sum)." in note


def test_the_csv_has_every_metric_of_every_label_and_the_mean_under_its_usual_names(table):
    first = next(csv.DictReader(io.StringIO(to_csv(table))))
    means = [float(first[f"{label}dice_mean"]) for label in ("Pool ", "Wall & valve ", "")]
    assert means == pytest.approx([0.58333, 0.63333, 0.60833], abs=1e-5)
    assert [float(first[f"{label}dice_p"]) < 0.05 for label in ("Pool ", "Wall & valve ", "")] == [True, False, True]
    assert first["Wall & valve adb_mm_mean"] == "2"
    assert float(first["Wall & valve hvsmr_mean"]) == pytest.approx(0.63333 / 2 - 0.5, abs=1e-5)


def test_latex_puts_the_label_above_its_columns(table):
    lines = to_latex(table).splitlines()
    place = lines.index("\\toprule")
    groups = ["", "\\multicolumn{2}{c}{Pool}", "\\multicolumn{2}{c}{Wall \\& valve}", "\\multicolumn{3}{c}{all labels}"]
    assert lines[place + 1] == " & ".join([*groups, "", "", ""]) + " \\\\"
    assert lines[place + 2] == "\\cmidrule(lr){2-3} \\cmidrule(lr){4-5} \\cmidrule(lr){6-8}"
    headings = ["Method", *["Dice (\\%)", "ADB (mm)"] * 3, "HVSMR score", "Cases", "Failed", "Trainings"]
    assert lines[place + 3] == " & ".join(headings) + " \\\\"
    assert "\\begin{tabular}{lrrrrrrrrrr}" in lines


def test_the_report_has_the_same_columns(table, tmp_path):
    page = benchmark_page(PLAN, [Section("heart", [], [table], [])], [], [], tmp_path)
    spans = ["1 class=group>", "2 class=group>Pool", "2 class=group>Wall &amp; valve", "3 class=group>all labels"]
    assert "".join(f"<th colspan={span}</th>" for span in spans) in page
    counts = [page.count(f"<button>{heading}</button>") for heading in ("Dice (%)", "ADB (mm)", "HVSMR score")]
    assert counts == [3, 3, 1]
    assert ">63.3 ± 10.4<" in page


def test_a_row_without_a_finished_training_and_data_of_one_label_are_shown_too():
    [table] = make_tables(PLAN, "heart", [Row("DVN", [None], [], []), ROWS[1]], LABELS)
    assert table.cells(table.lines[0]) == ["DVN", *["-"] * 7, "0", "0", "0 of 1"]
    [single] = make_tables(PLAN, "atrium", ROWS, LABELS[:1])
    assert single.headings()[1:4] == ["Dice (%)", "ADB (mm)", "HVSMR score"]


def test_a_plan_asks_for_it_and_the_labels_are_those_of_the_data(dense_cohort, tmp_path):
    write_labels(dense_cohort, LABELS)
    (tmp_path / "plan.toml").write_text("""
[[data]]
name = "heart"
cohort = "dense"
split = "held_out"
parts = 2
[[methods]]
name = "FS"
method = "full"
[[tables]]
metrics = ["dice"]
per_label = true
""")
    benchmark(tmp_path / "plan.toml", tmp_path / "out", run=False)
    [table] = (tmp_path / "out/tables").glob("*.md")
    heading, _, line = table.read_text(encoding="utf-8").splitlines()[2:5]
    assert heading.startswith("| Method | Pool: Dice (%) | Wall & valve: Dice (%) | all labels: Dice (%) | Cases |")
    assert line == "| FS | - | - | - | 0 | 0 | 0 of 1 |"
