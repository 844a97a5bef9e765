"""Tables in the layout of the papers: mean ± standard deviation, and * where the difference is significant."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..files import csv_text, write_text
from ..labels import Label
from ..report import SIGNIFICANT
from ..scores import ALL_METRICS, MEAN, SUMMED, UNITS, rows_of
from .cells import slug, told_apart
from .plan import Plan, TablePlan
from .results import Row

NOT_MEASURED = "-"
PERCENT = ("dice", "iou", "boundary_iou", "rand")
COUNTS = ("Cases", "Failed", "Trainings")


@dataclass(frozen=True)
class Column:
    """A metric of the mean over the labels, or of one label. ``group``: its label's name, in tables of each label."""

    metric: str
    label: int | str = MEAN
    group: str = ""

    @property
    def heading(self) -> str:
        """The text above it, where its group stands above that."""
        return f"{ALL_METRICS[self.metric]} (%)" if self.metric in PERCENT else ALL_METRICS[self.metric]

    @property
    def full_heading(self) -> str:
        """The text above it, with its group."""
        return f"{self.group}: {self.heading}" if self.group else self.heading


@dataclass(frozen=True)
class Line:
    """A method in a table: ``figures`` holds {"mean", "sd", "p"} by label and metric; ``bold`` if others are tested
    against it. Of ``cells`` trainings ``done`` are; they measured ``cases``, of which ``failed`` failed."""

    name: str
    bold: bool
    figures: dict[int | str, dict[str, dict]]
    cases: int
    failed: int
    done: int
    cells: int

    def of(self, column: Column) -> dict:
        """The numbers in a column."""
        return self.figures[column.label][column.metric]

    def text(self, column: Column) -> str:
        """As the papers write it, "48.6* ± 16.9"; ratios that the papers give in percent are in percent."""
        numbers, metric = self.of(column), column.metric
        if math.isnan(numbers["mean"]):
            return NOT_MEASURED
        scale, digits = (100, 1) if metric in PERCENT else (1, 3 if metric == "hvsmr" else 2)
        spread = "" if numbers["sd"] is None else f" ± {numbers['sd'] * scale:.{digits}f}"
        return f"{numbers['mean'] * scale:.{digits}f}{_star(numbers.get('p'))}{spread}"


def _star(p: float | None) -> str:
    return "*" if p is not None and p < SIGNIFICANT else ""


@dataclass(frozen=True)
class Table:
    """A table of one data set; ``columns`` are those with metrics."""

    title: str
    columns: tuple[Column, ...]
    compare: str
    lines: list[Line]

    def headings(self) -> list[str]:
        """The texts above all columns, below those of ``groups``."""
        return ["Method", *(column.heading for column in self.columns), *COUNTS]

    def full_headings(self) -> list[str]:
        """The texts above all columns where there is no line for ``groups``."""
        return ["Method", *(column.full_heading for column in self.columns), *COUNTS]

    def groups(self) -> list[tuple[str, int]]:
        """The texts above the headings and how many columns each is above; none where no column is in a group."""
        if not any(column.group for column in self.columns):
            return []
        groups = [list(columns) for _, columns in groupby(self.columns, lambda column: column.label)]
        return [("", 1), *((columns[0].group, len(columns)) for columns in groups), ("", len(COUNTS))]

    def cells(self, line: Line) -> list[str]:
        """The texts of one line."""
        trainings = str(line.done) if line.done == line.cells else f"{line.done} of {line.cells}"
        return [line.name, *map(line.text, self.columns), str(line.cases), str(line.failed), trainings]

    def note(self) -> str:
        """What stands below the table."""
        spread = "Mean ± standard deviation over the cases."
        whole = [column for column in self.columns if column.group and column.label == MEAN]
        if whole:
            sums = [ALL_METRICS[column.metric] for column in whole if column.metric in SUMMED]
            summed = f" ({', '.join(sums)}: the sum)" if sums else ""
            spread += f" {whole[0].group.capitalize()}: the mean over the labels of each case{summed}."
        if not self.compare:
            return spread
        return f"{spread} *: p < {SIGNIFICANT} against {self.compare}, paired two-tailed t-test over the cases."


def make_tables(plan: Plan, data: str, rows: list[Row], labels: Iterable[Label] = ()) -> list[Table]:
    """The plan's tables for the data set called ``data``, which has these ``labels``, of the rows that there are."""
    known = {row.name: row for row in rows}
    return [_table(plan, wanted, data, known, _columns(wanted, list(labels))) for wanted in plan.tables]


def _columns(wanted: TablePlan, labels: list[Label]) -> tuple[Column, ...]:
    """What is a sum over the labels stands among all of them only, as in zheng2020's Table 1."""
    if not wanted.per_label or len(labels) < 2:
        return tuple(map(Column, wanted.metrics))
    pairs = [(part, metric) for part in rows_of(labels) for metric in wanted.metrics]
    return tuple(
        Column(metric, part["label"], part["name"])
        for part, metric in pairs
        if part["label"] == MEAN or metric not in SUMMED
    )


def _table(plan: Plan, wanted: TablePlan, data: str, rows: dict[str, Row], columns: tuple[Column, ...]) -> Table:
    compare = wanted.compare or plan.compare
    lines = []
    for name in plan.row_names(wanted.methods):
        if name in rows:
            row, other = rows[name], rows.get(compare)
            figures = {label: row.against(other, label) for label in dict.fromkeys([*_labels(columns), MEAN])}
            counts = (figures[MEAN]["n"], figures[MEAN]["failed"], len(row.done), len(row.cells))
            lines.append(Line(name, name == compare, figures, *counts))
    # A table without the method to compare with has its stars all the same: that may be in another table.
    compare = compare if compare in rows and rows[compare].cases else ""
    return Table(f"{wanted.title or plan.title}: {data}", columns, compare, lines)


def _labels(columns: Iterable[Column]) -> dict[int | str, str]:
    """The labels of the columns and their names, in order."""
    return {column.label: column.group for column in columns}


def write_tables(by_data: list[list[Table]], folder: Path) -> None:
    """Every table of every data set as NAME.md, NAME.csv and NAME.tex."""
    numbered = [(number, table) for tables in by_data for number, table in enumerate(tables, 1)]
    names = told_apart(slug(f"table{number}", table.title) for number, table in numbered)
    for (_, table), name in zip(numbered, names, strict=True):
        write_text(folder / f"{name}.md", to_markdown(table))
        write_text(folder / f"{name}.csv", to_csv(table))
        write_text(folder / f"{name}.tex", to_latex(table))


def to_markdown(table: Table) -> str:
    """The table with its title and note."""
    lines = [f"**{table.title}**", "", _pipes(table.full_headings()), _pipes(["---"] * len(table.headings()))]
    for line in table.lines:
        cells = [cell.replace("|", "\\|").replace("*", "\\*") for cell in table.cells(line)]
        lines.append(_pipes([f"**{cells[0]}**", *cells[1:]] if line.bold else cells))
    return "\n".join([*lines, "", table.note().replace("*", "\\*")]) + "\n"


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def to_csv(table: Table) -> str:
    """Numbers as measured (ratios from 0 to 1): mean, standard deviation and p of every metric, for every label."""
    parts = [(metric, part) for metric in ALL_METRICS for part in ("mean", "sd", "p")]
    names = {label: "" if label == MEAN else f"{name} " for label, name in _labels(table.columns).items()}
    columns = [f"{name}{UNITS.get(metric, metric)}_{part}" for name in names.values() for metric, part in parts]
    rows = [["method", "cases", "failed", "trainings_done", "trainings", *columns]]
    for line in table.lines:
        numbers = [line.figures[label][metric].get(part) for label in names for metric, part in parts]
        texts = ["" if number is None or math.isnan(number) else f"{number:.6g}" for number in numbers]
        rows.append([line.name, line.cases, line.failed, line.done, line.cells, *texts])
    return csv_text(rows)


def to_latex(table: Table) -> str:
    """A table environment; needs the package booktabs."""
    rows = [*_groups(table), _ampersands(map(_escaped, table.headings())), "\\midrule"]
    for line in table.lines:
        name, *cells = map(_escaped, table.cells(line))
        rows.append(_ampersands([f"\\textbf{{{name}}}" if line.bold else name, *cells]))
    return "\n".join(
        [
            "\\begin{table}",
            f"\\caption{{{_escaped(table.title)}. {_escaped(table.note())}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(table.headings()) - 1)}}}",
            "\\toprule",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def _groups(table: Table) -> list[str]:
    """The line of the groups' names above the headings and the rules below them; nothing in a table without."""
    names, rules, first = [], [], 1
    for name, count in table.groups():
        if name:
            names.append(f"\\multicolumn{{{count}}}{{c}}{{{_escaped(name)}}}")
            rules.append(f"\\cmidrule(lr){{{first}-{first + count - 1}}}")
        else:
            names += [""] * count
        first += count
    return [_ampersands(names), " ".join(rules)] if names else []


def _ampersands(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


LATEX = {
    "\\": "\\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "*": "$^{*}$",
    "<": "$<$",
    ">": "$>$",
}


def _escaped(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
