"""A benchmark's tables and charts, against numbers worked out by hand."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from browser import NEEDS_CHROMIUM, clicked

from sparseseg_trainer.benchmark.cell import slice_dice
from sparseseg_trainer.benchmark.plan import Method, Plan, TablePlan
from sparseseg_trainer.benchmark.report import Section, benchmark_page, write_figures
from sparseseg_trainer.benchmark.results import Row, mean_of_seeds, read_rows
from sparseseg_trainer.benchmark.tables import make_tables, to_csv, to_latex, to_markdown, write_tables
from sparseseg_trainer.labels import default_label
from sparseseg_trainer.metrics import Scores
from sparseseg_trainer.pictures import Picture
from sparseseg_trainer.scores import CaseScores, from_csv
from sparseseg_trainer.scores import to_csv as scores_to_csv

OURS = (0.85, 0.75, 0.9)
# Differences 0.2, 0.25, 0.3: t = 0.25 / (0.05 / sqrt(3)) = 8.660; with two degrees of freedom p = 1 - t / sqrt(2 + t^2)
WORSE, P_WORSE = (0.65, 0.5, 0.6), 1 - 8.660254 / np.sqrt(77)
# Differences 0.1, 0.2, 0.3: t = 3.4641, p = 0.0742
SIMILAR, P_SIMILAR = (0.75, 0.55, 0.6), 1 - 3.464102 / np.sqrt(14)


def scores(dice: float, assd: float = 1.0, failed: bool = False) -> Scores:
    return Scores(dice, dice / (2 - dice), 0.5, assd, 2.0, 0.1, 10.0, 11.0, failed, 3.0, 1.5, assd, 0.9, dice / 2)


def row(name, values, assd=(2.0, 3.0, 4.0), **changes) -> Row:
    cases = [CaseScores(f"case{n}", {1: scores(d, a)}) for n, (d, a) in enumerate(zip(values, assd, strict=False))]
    return replace(Row(name, [None] * 2, [None] * 2, cases), **changes)


@pytest.fixture
def table():
    plan = Plan("Table 1", compare="Ours", methods=tuple(map(Method, ("A & B", "C_1", "Ours", "not run"))))
    plan = replace(plan, tables=(TablePlan(metrics=("dice", "assd")),))
    rows = [row("A & B", WORSE), row("C_1", SIMILAR, assd=(5.0, 6.0, 7.5)), row("Ours", OURS)]
    [table] = make_tables(plan, "prostate", rows)
    return table


def test_a_table_says_mean_spread_and_star_as_the_papers_do(table):
    assert to_markdown(table).splitlines() == [
        "**Table 1: prostate**",
        "",
        "| Method | Dice (%) | ASSD (mm) | Cases | Failed | Trainings |",
        "| --- | --- | --- | --- | --- | --- |",
        "| A & B | 58.3\\* ± 7.6 | 3.00 ± 1.00 | 3 | 0 | 2 |",
        "| C_1 | 63.3 ± 10.4 | 6.17\\* ± 1.26 | 3 | 0 | 2 |",
        "| **Ours** | 83.3 ± 7.6 | 3.00 ± 1.00 | 3 | 0 | 2 |",
        "",
        "Mean ± standard deviation over the cases. \\*: p < 0.05 against Ours, paired two-tailed t-test over the "
        "cases.",
    ]


def test_the_p_values_are_those_of_the_paired_two_tailed_t_test(table):
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["method"] for row in rows] == ["A & B", "C_1", "Ours"]
    assert [float(row["dice_p"] or "nan") for row in rows] == pytest.approx(
        [P_WORSE, P_SIMILAR, np.nan], nan_ok=True, rel=1e-4
    )
    assert float(rows[0]["dice_mean"]) == pytest.approx(0.583333, abs=1e-6)
    assert float(rows[0]["dice_sd"]) == pytest.approx(np.std(WORSE, ddof=1), rel=1e-4)
    assert rows[0]["assd_mm_p"] == ""  # no difference at all


def test_latex_needs_nothing_escaped_by_hand(table):
    lines = to_latex(table).splitlines()
    assert "A \\& B & 58.3$^{*}$ $\\pm$ 7.6 & 3.00 $\\pm$ 1.00 & 3 & 0 & 2 \\\\" in lines
    assert any(line.startswith("\\textbf{Ours} & 83.3 ") for line in lines)
    assert any(line.startswith("C\\_1 & ") for line in lines)
    assert lines.count("\\toprule") == lines.count("\\bottomrule") == 1
    columns = next(line for line in lines if "tabular}{" in line)
    assert columns == "\\begin{tabular}{lrrrrr}"


def test_a_table_is_written_in_three_formats(table, tmp_path):
    write_tables([[table]], tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".md", ".tex"]


def test_data_sets_whose_names_differ_in_signs_alone_have_tables_of_their_own(table, tmp_path):
    write_tables([[replace(table, title="Dice: T2+")], [replace(table, title="Dice: T2-")]], tmp_path)
    titles = {path.name: path.read_text(encoding="utf-8").split("**")[1] for path in tmp_path.glob("*.md")}
    assert titles == {"table1-Dice_T2.md": "Dice: T2+", "table1-Dice_T2-2.md": "Dice: T2-"}


def test_a_row_that_is_not_finished_is_compared_on_the_cases_that_both_have():
    whole = row("Ours", (*OURS, 0.2), assd=(2, 3, 4, 9))
    part = row("A", WORSE, cells=[None] * 3)
    assert part.against(whole)["dice"]["p"] == pytest.approx(P_WORSE, rel=1e-4)
    plan = Plan(compare="Ours", methods=(Method("A"), Method("Ours")))
    [table] = make_tables(plan, "d", [part, whole])
    assert [table.cells(line)[-3:] for line in table.lines] == [["3", "0", "2 of 3"], ["4", "0", "2"]]


def test_a_row_of_which_no_training_is_done_says_so_and_is_compared_with_nothing():
    nothing = Row("Ours", [None] * 3, [], [])
    plan = Plan(compare="Ours", methods=(Method("A"), Method("Ours")), tables=(TablePlan(metrics=("dice", "hvsmr")),))
    [table] = make_tables(plan, "d", [row("A", WORSE), nothing])
    assert to_markdown(table).splitlines()[4:] == [
        "| A | 58.3 ± 7.6 | 0.292 ± 0.038 | 3 | 0 | 2 |",
        "| **Ours** | - | - | 0 | 0 | 0 of 3 |",
        "",
        "Mean ± standard deviation over the cases.",
    ]
    assert "\\textbf{Ours} & - & - & 0 & 0 & 0 of 3 \\\\" in to_latex(table)
    last = list(csv.DictReader(io.StringIO(to_csv(table))))[1]
    assert (last["method"], last["trainings_done"], last["trainings"], last["dice_mean"]) == ("Ours", "0", "3", "")
    [stars] = make_tables(replace(plan, compare="A"), "d", [row("A", WORSE), nothing])
    assert stars.cells(stars.lines[1]) == ["Ours", "-", "-", "0", "0", "0 of 3"]


def test_seeds_are_averaged_case_by_case_before_the_test_and_a_failure_stays_one():
    first = [CaseScores("b", {1: scores(0.8)}), CaseScores("a", {1: scores(0.6), 2: scores(0.2)})]
    second = [CaseScores("b", {1: scores(0.4, assd=3, failed=True)}), CaseScores("a", {1: scores(0.8), 2: scores(0.4)})]
    a, b = mean_of_seeds(first + second)
    assert (a.name, b.name) == ("a", "b")
    assert a.value("dice") == pytest.approx((0.7 + 0.3) / 2)
    assert b.value("dice") == pytest.approx(0.6) and b.value("assd") == 2
    assert b.is_failed() and not a.is_failed()


def test_a_row_has_each_case_once_with_the_mean_over_the_seeds_that_are_done(tmp_path):
    cells = []
    for seed, dice in enumerate((0.5, 0.7, 0.9)):
        folder = tmp_path / str(seed)
        (folder / "evaluated").mkdir(parents=True)
        text = scores_to_csv([CaseScores("case", {1: scores(dice)})], [default_label(1)])
        (folder / "evaluated/metrics.csv").write_text(text, encoding="utf-8")
        done = seed != 2
        cells.append(SimpleNamespace(row="Ours", is_done=lambda out, done=done: done, folder=lambda out, f=folder: f))
    [found] = read_rows(cells, tmp_path)
    assert (found.name, len(found.cells), len(found.done)) == ("Ours", 3, 2)
    [case] = found.cases
    assert case.name == "case" and case.value("dice") == pytest.approx(0.6)


def test_scores_come_back_from_their_csv():
    cases = [
        CaseScores("a, b", {1: scores(0.5), 7: scores(0.25, failed=True)}),
        CaseScores("c", {1: scores(1), 7: scores(0)}),
    ]
    assert from_csv(scores_to_csv(cases, [default_label(1), default_label(7)])) == [
        CaseScores(
            case.name, {label: replace(one, iou=float(f"{one.iou:.6g}")) for label, one in case.by_label.items()}
        )
        for case in cases
    ]


def test_dice_of_a_slice_is_the_mean_of_its_labels_over_the_extent_of_the_reference():
    reference, prediction = np.zeros((2, 6, 2, 4), int)
    reference[1:5, 0] = 1  # 4 voxels on slices 1 to 4
    prediction[1:3, 0] = 1  # right
    prediction[3, 0, :2] = 1  # half: 2 * 2 / (2 + 4)
    prediction[4, 0], prediction[4, 1] = 1, 2  # right, and a label that is not there
    prediction[5] = 1  # beyond the reference: not asked for
    found = slice_dice(prediction, reference)
    assert [position for position, _ in found] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [dice for _, dice in found] == pytest.approx([1, 1, 2 / 3, 0.5])
    assert slice_dice(prediction, np.zeros_like(reference)) == []


def test_the_profile_is_the_mean_over_cases_of_the_mean_over_slices(tmp_path):
    charts = pytest.importorskip("sparseseg_trainer.benchmark.charts", exc_type=ImportError)
    file = tmp_path / "positions.csv"
    file.write_text("case,position,dice\na,0.00,0.2\na,0.05,0.4\nb,0.09,0.9\nb,0.50,0.5\nb,1.00,0.1\n")
    found = charts.profile([file])
    expected = [0.6, *[np.nan] * 4, 0.5, *[np.nan] * 3, 0.1]  # (0.3 + 0.9) / 2 at the beginning
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_curve_has_a_point_for_each_value_of_its_setting_and_bars_a_star(monkeypatch):
    charts = pytest.importorskip("sparseseg_trainer.benchmark.charts", exc_type=ImportError)
    drawn = []
    monkeypatch.setattr(charts, "png_of", lambda figure: drawn.append(figure.axes[0]) or b"")

    def cell(value):
        return type("Cell", (), {"settings": {"alpha_f": value}})()

    rows = [row("high", WORSE, done=[cell(9.0)]), row("low", OURS, done=[cell(0.1)])]
    charts.curve([*rows, row("without", OURS, done=[cell(None)])], "alpha_f", "dice")
    line = drawn[0].lines[0]
    assert line.get_xdata().tolist() == [0.1, 9.0]
    assert line.get_ydata() == pytest.approx([np.mean(OURS), np.mean(WORSE)])
    charts.bars([*rows, row("similar", SIMILAR)], "dice", rows[1])
    assert [text.get_text() for text in drawn[1].texts] == ["*"]
    assert [patch.get_height() for patch in drawn[1].patches] == pytest.approx(
        [np.mean(v) for v in (WORSE, OURS, SIMILAR)]
    )
    assert charts.curve(rows[:0], "alpha_f", "dice") is None


@NEEDS_CHROMIUM
def test_a_reader_sorts_the_report_by_clicks_in_a_browser(tmp_path):
    charts = pytest.importorskip("sparseseg_trainer.benchmark.charts", exc_type=ImportError)
    rows = [row("b", OURS), row("c", (0.08, 0.09, 0.1)), row("a", (1.0, 1.0, 1.0))]  # as texts, 9.0 is above 83.3
    rows.append(Row("d", [None], [], []))
    for case in (case for row in rows for case in row.cases):
        case.by_label[2] = case.by_label[1]  # a second label: its name stands above the headings
    plan = Plan("Title", methods=tuple(Method(row.name) for row in rows), tables=(TablePlan(per_label=True),))
    labels = [default_label(1), default_label(2)]
    picture = Picture("Dice", "", (), charts.bars(rows[:3], "dice", None))
    section = Section("data", [], make_tables(plan, "data", rows, labels), [picture])
    said = clicked(benchmark_page(plan, [section], [], [], tmp_path), tmp_path)
    assert said == ["b,c,a,d", "d,c,b,a", "a,b,c,d", "descending", "a,b,c,d", "", "800"]


def test_every_picture_is_a_file_named_as_it_is_headed(tmp_path):
    headings = ["Slices: data, case 1", "Dice by alpha_f: data", "dice by alpha_f: Data", "a/b, c*: Dice"]
    write_figures([Picture(heading, "", (), heading.encode()) for heading in headings], tmp_path / "figures")
    names = ["Slices-data-case_1.png", "Dice_by_alpha_f-data.png", "dice_by_alpha_f-Data-2.png", "a_b-c-Dice.png"]
    found = {path.name: path.read_text() for path in (tmp_path / "figures").iterdir()}
    assert found == dict(zip(names, headings, strict=True))
