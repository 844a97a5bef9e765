"""Tables in the layout of the papers: mean ± standard deviation, and * where the difference is significant."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from ..files import write_text
from ..report import SIGNIFICANT
from ..scores import ALL_METRICS, UNITS
from .cells import slug
from .plan import Plan, TablePlan
from .results import Row

NOT_MEASURED = "-"
PERCENT = ("dice", "iou", "boundary_iou", "rand")


@dataclass(frozen=True)
class Line:
    """A method in a table: ``figures`` holds {"mean", "sd", "p"} of each metric; ``bold`` if others are tested against
    it. Of ``cells`` trainings ``done`` are; they measured ``cases``, of which ``failed`` failed."""

    name: str
    bold: bool
    figures: dict[str, dict]
    cases: int
    failed: int
    done: int
    cells: int

    def text(self, metric: str) -> str:
        """As the papers write it, "48.6* ± 16.9"; ratios that the papers give in percent are in percent."""
        numbers = self.figures[metric]
        if math.isnan(numbers["mean"]):
            return NOT_MEASURED
        scale, digits = (100, 1) if metric in PERCENT else (1, 3 if metric == "hvsmr" else 2)
        spread = "" if numbers["sd"] is None else f" ± {numbers['sd'] * scale:.{digits}f}"
        return f"{numbers['mean'] * scale:.{digits}f}{self.star(metric)}{spread}"

    def star(self, metric: str) -> str:
        p = self.figures[metric].get("p")
        return "*" if p is not None and p < SIGNIFICANT else ""


@dataclass(frozen=True)
class Table:
    """A table of one data set; ``metrics`` are its columns."""

    title: str
    metrics: tuple[str, ...]
    compare: str
    lines: list[Line]

    def headings(self) -> list[str]:
        """The texts above the columns."""
        metrics = [
            f"{ALL_METRICS[metric]} (%)" if metric in PERCENT else ALL_METRICS[metric] for metric in self.metrics
        ]
        return ["Method", *metrics, "Cases", "Failed", "Trainings"]

    def cells(self, line: Line) -> list[str]:
        """The texts of one line."""
        trainings = str(line.done) if line.done == line.cells else f"{line.done} of {line.cells}"
        return [line.name, *map(line.text, self.metrics), str(line.cases), str(line.failed), trainings]

    def note(self) -> str:
        """What stands below the table."""
        spread = "Mean ± standard deviation over the cases."
        if not self.compare:
            return spread
        return f"{spread} *: p < {SIGNIFICANT} against {self.compare}, paired two-tailed t-test over the cases."


def make_tables(plan: Plan, data: str, rows: list[Row]) -> list[Table]:
    """The plan's tables for the data set called ``data``, of the rows that there are."""
    return [_table(plan, wanted, data, {row.name: row for row in rows}) for wanted in plan.tables]


def _table(plan: Plan, wanted: TablePlan, data: str, rows: dict[str, Row]) -> Table:
    compare = wanted.compare or plan.compare
    lines = []
    for name in plan.row_names(wanted.methods):
        if name in rows:
            row, other = rows[name], rows.get(compare)
            summary = row.against(other)
            figures = {metric: summary[metric] for metric in ALL_METRICS}
            counts = (summary["n"], summary["failed"], len(row.done), len(row.cells))
            lines.append(Line(name, name == compare, figures, *counts))
    # A table without the method to compare with has its stars all the same: that may be in another table.
    compare = compare if compare in rows and rows[compare].cases else ""
    return Table(f"{wanted.title or plan.title}: {data}", wanted.metrics, compare, lines)


def write_tables(tables: list[Table], folder: Path) -> None:
    """Every table as NAME.md, NAME.csv and NAME.tex."""
    for number, table in enumerate(tables, 1):
        name = slug(f"table{number}", table.title)
        write_text(folder / f"{name}.md", to_markdown(table))
        write_text(folder / f"{name}.csv", to_csv(table))
        write_text(folder / f"{name}.tex", to_latex(table))


def to_markdown(table: Table) -> str:
    """The table with its title and note."""
    lines = [f"**{table.title}**", "", _pipes(table.headings()), _pipes(["---"] * len(table.headings()))]
    for line in table.lines:
        cells = [cell.replace("|", "\\|").replace("*", "\\*") for cell in table.cells(line)]
        lines.append(_pipes([f"**{cells[0]}**", *cells[1:]] if line.bold else cells))
    return "\n".join([*lines, "", table.note().replace("*", "\\*")]) + "\n"


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def to_csv(table: Table) -> str:
    """Numbers as measured (ratios from 0 to 1): mean, standard deviation and p of every metric."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{UNITS.get(metric, metric)}_{part}" for metric in ALL_METRICS for part in ("mean", "sd", "p")]
    writer.writerow(["method", "cases", "failed", "trainings_done", "trainings", *columns])
    for line in table.lines:
        numbers = [line.figures[metric].get(part) for metric in ALL_METRICS for part in ("mean", "sd", "p")]
        texts = ["" if number is None or math.isnan(number) else f"{number:.6g}" for number in numbers]
        writer.writerow([line.name, line.cases, line.failed, line.done, line.cells, *texts])
    return text.getvalue()


def to_latex(table: Table) -> str:
    """A table environment; needs the package booktabs."""
    rows = [_ampersands(table.headings()), "\\midrule"]
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


def _ampersands(cells: list[str]) -> str:
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
