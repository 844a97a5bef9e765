"""What the cells found, put together: one row a method, one score a case."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean

from ..files import csv_text, write_text
from ..metrics import Scores
from ..scores import ALL_METRICS, MEAN, UNITS, CaseScores, from_csv, summarize
from .cells import Cell


@dataclass(frozen=True)
class Row:
    """A method on a data set. ``cases``: each test case of its ``done`` cells once, the mean over its seeds."""

    name: str
    cells: list[Cell]
    done: list[Cell]
    cases: list[CaseScores]

    def against(self, other: Row | None, label: int | str = MEAN) -> dict:
        """``summarize``'s figures of a label or of the labels' mean; "p" from the cases that ``other`` has too."""
        summary = summarize(self.cases, label)
        if other is None or other is self:
            return summary
        theirs = {case.name: case for case in other.cases}
        shared = [case for case in self.cases if case.name in theirs]
        tested = summarize(shared, label, [theirs[case.name] for case in shared])
        for metric in ALL_METRICS:
            summary[metric]["p"] = tested[metric]["p"]
        return summary

    def shown_cell(self) -> Cell:
        """The cell that pictures are taken from: the first that is done."""
        return self.done[0]


def read_rows(cells: list[Cell], out: Path) -> list[Row]:
    """The rows of one data set in the order of the plan; those of which no cell is done have no cases."""
    by_row: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_row[cell.row].append(cell)
    rows = []
    for name, members in by_row.items():
        done = [cell for cell in members if cell.is_done(out)]
        cases = mean_of_seeds([scores for cell in done for scores in read_scores(cell, out)])
        rows.append(Row(name, members, done, cases))
    return rows


def read_scores(cell: Cell, out: Path) -> list[CaseScores]:
    """The scores of the cell's test cases."""
    return from_csv((cell.folder(out) / "evaluated/metrics.csv").read_text(encoding="utf-8"))


def read_result(cell: Cell, out: Path) -> dict:
    """What the cell's job returned."""
    return json.loads((cell.folder(out) / "result.json").read_text(encoding="utf-8"))


def mean_of_seeds(scores: list[CaseScores]) -> list[CaseScores]:
    """One of each case, by name: the mean of those with its name, failed if one of them is."""
    by_case: dict[str, list[CaseScores]] = defaultdict(list)
    for case in scores:
        by_case[case.name].append(case)
    return [_mean(by_case[name]) for name in sorted(by_case)]


def _mean(same: list[CaseScores]) -> CaseScores:
    if len(same) == 1:
        return same[0]
    by_label = {}
    for label in same[0].by_label:
        parts = [case.by_label[label] for case in same]
        numbers = [field.name for field in fields(Scores) if field.name != "failed"]
        means = {name: fmean(getattr(part, name) for part in parts) for name in numbers}
        by_label[label] = Scores(**means, failed=any(part.failed for part in parts))
    return replace(same[0], by_label=by_label)


def write_cases(path: Path, cells: list[Cell], out: Path) -> None:
    """All scores of all cells that are done, as CSV: a row for each cell, case and label."""
    metrics = [UNITS.get(metric, metric) for metric in ALL_METRICS]
    rows = [["data", "fold", "row", "method", "scheme", "seed", "case", "label", *metrics, "failed"]]
    for cell in cells:
        if not cell.is_done(out):
            continue
        described = [cell.data.name, cell.fold.name, cell.row, cell.method.method, cell.scheme.name, cell.seed]
        for case in read_scores(cell, out):
            for label in [*case.by_label, *([MEAN] if len(case.by_label) > 1 else [])]:
                numbers = [f"{case.value(metric, label):.6g}" for metric in ALL_METRICS]
                failed = "true" if case.is_failed(label) else ""
                rows.append([*described, case.name, label, *numbers, failed])
    write_text(path, csv_text(rows))
