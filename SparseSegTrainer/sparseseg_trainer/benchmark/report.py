"""The benchmark's report: tables, figures, every training and every case on one page that loads nothing."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from html import escape
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from ..case import CaseFailure
from ..files import whole_file
from ..report import EXPLANATION
from ..scores import ALL_METRICS, METRICS
from ..web_page import failure_list, figure, page, sortable_table
from .cells import Cell, slug, told_apart
from .plan import Plan
from .results import read_result, read_scores
from .tables import Table

if TYPE_CHECKING:
    from ..pictures import Picture


@dataclass(frozen=True)
class Section:
    """What the report says of one data set; ``notes`` are sentences."""

    title: str
    notes: list[str]
    tables: list[Table]
    pictures: list[Picture]


def benchmark_page(plan: Plan, sections: list[Section], cells: list[Cell], failed: list[CaseFailure], out: Path) -> str:
    """The page as HTML; ``failed`` says which cells could not be done, and why."""
    done = [cell for cell in cells if cell.is_done(out)]
    results = [read_result(cell, out) for cell in done]
    machines = sorted({f"{result['device']}, PyTorch {result['torch']}" for result in results})
    cases = [asdict(CaseFailure(**failure)) for result in results for failure in result["failed"]]
    verdict = f"{len(done)} of {len(cells)} trainings are done"
    verdict += f", {len(failed)} failed." if failed else "."
    failures = f"<h2>Trainings that failed</h2>{failure_list([asdict(one) for one in failed])}" if failed else ""
    failures += f"<h2>Cases that failed</h2>{failure_list(cases)}" if cases else ""
    body = f"""<p>{verdict} {escape("; ".join(machines))}</p>
<p>Click a heading to sort a table by it.</p>
{failures}
{"".join(map(_section, sections))}
<h2>All trainings</h2>
{_trainings(done, results, out)}
<h2>All cases</h2>
{_cases(done, out)}
{EXPLANATION}
{FURTHER_EXPLANATION}"""
    return page(plan.title or "SparseSeg benchmark", body)


def write_figures(pictures: list[Picture], folder: Path) -> None:
    """Every picture as a PNG file that is named as it is headed; further ones of a name are numbered."""
    names = told_apart(slug(*re.split("[:,] ", picture.heading)) for picture in pictures)
    for picture, name in zip(pictures, names, strict=True):
        with whole_file(folder / f"{name}.png") as temporary:
            temporary.write_bytes(picture.png)


def _section(section: Section) -> str:
    notes = "".join(f"<p class='note'>{escape(note)}</p>" for note in section.notes)
    return f"<h2>{escape(section.title)}</h2>{notes}" + "".join(
        [*map(_table, section.tables), *map(figure, section.pictures)]
    )


def _table(table: Table) -> str:
    rows = []
    for line in table.lines:
        metrics = [(line.text(column), line.of(column)["mean"]) for column in table.columns]
        trainings = (table.cells(line)[-1], line.done)
        rows.append([line.name, *metrics, line.cases, line.failed, trainings])
    note = f"<p class='note'>{escape(table.note())}</p>"
    return f"<h3>{escape(table.title)}</h3>{sortable_table(table.headings(), rows, table.groups())}{note}"


def _trainings(done: list[Cell], results: list[dict], out: Path) -> str:
    rows = []
    for cell, result in zip(done, results, strict=True):
        described = [cell.data.name, cell.fold.name, cell.row, cell.method.method, cell.scheme.name, cell.seed]
        drawn = [len(cell.fold.training), len(cell.fold.test)]
        rows.append([*described, *drawn, *result["mean"].values(), (f"{result['seconds']:.0f}", result["seconds"])])
    headings = ["Data", "Split", "Method", "Key", "Scheme", "Seed", "Learned from", "Tested on"]
    return sortable_table([*headings, *METRICS.values(), "Seconds"], rows)


def _cases(done: list[Cell], out: Path) -> str:
    """Every metric that was measured; results of earlier versions lack some."""
    scored = [(cell, case) for cell in done for case in read_scores(cell, out)]
    metrics = [metric for metric in ALL_METRICS if not all(isnan(case.value(metric)) for _, case in scored)]
    rows = []
    for cell, case in scored:
        numbers = [case.value(metric) for metric in metrics]
        failed = "failed" if case.is_failed() else ""
        rows.append([case.name, cell.data.name, cell.row, cell.seed, *numbers, failed])
    headings = [ALL_METRICS[metric] for metric in metrics]
    return sortable_table(["Case", "Data", "Method", "Seed", *headings, "Failed"], rows)


FURTHER_EXPLANATION = """<dl>
<dt>Hausdorff</dt><dd>The largest distance from a point of one surface to the other surface; less is better.</dd>
<dt>2D ASSD</dt><dd>ASSD of the outlines in each slice that has both, averaged over these slices; less is better.</dd>
<dt>ADB</dt><dd>Average distance of the boundaries: the mean of both surfaces' mean distances; less is better.</dd>
<dt>Rand F-score</dt><dd>Whether connected parts are neither merged nor split, 0 to 1; more is better.</dd>
<dt>HVSMR score</dt><dd>Dice / 2 - ADB / 4 - Hausdorff / 30, summed over the labels; more is better.</dd>
</dl>"""
