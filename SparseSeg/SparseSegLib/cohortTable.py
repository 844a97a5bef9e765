"""What the table of cases shows: read from the cohort folder, from the results in it and from their evaluation."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sparseseg_trainer.case import Case
from sparseseg_trainer.cohort import read_cohort

from .cohortFolder import PROPAGATED as PROPAGATED_FOLDER
from .cohortFolder import caseNames, propagatedPath
from .segmenting import RESULTS, isReference

METRICS = "evaluation/metrics.csv"
FAILED, EMPTY, DRAWN, PROPAGATED, COMPLETE, SEGMENTED = (
    "failed",
    "empty",
    "drawn",
    "propagated",
    "complete",
    "segmented",
)


@dataclass(frozen=True)
class CaseRow:
    """One case. ``annotated`` is None if every slice is drawn. ``dice`` compares the latest result with the drawing.

    ``problem`` says why a case that has failed cannot be used, and what to do.
    """

    name: str
    state: str
    annotated: tuple[int, ...] | None = ()
    dice: float | None = None
    problem: str = ""


def readTable(folder: Path) -> list[CaseRow]:
    """The cases in the order of the table; none if there is no cohort yet. Raises InputError for a damaged table."""
    folder = Path(folder)
    results = latestResults(folder)
    tables = [folder / "cohort.csv", folder / "labels.json", folder / PROPAGATED_FOLDER]
    tables += [results / "cohort.csv", results / METRICS] if results else []
    return list(_read(folder, tuple(path.stat().st_mtime_ns for path in tables if path.exists())))


@lru_cache(4)
def _read(folder: Path, changed: tuple[int, ...]) -> list[CaseRow]:
    """The rows; read again when a table was ``changed``: the window asks often, and the folder may be far away."""
    names = caseNames(folder)
    if not names:
        return []
    cohort = read_cohort(folder)
    results = latestResults(folder)
    segmented, dice = set(caseNames(results)) if results else set(), _dice(results)
    failures = {failure.case.casefold(): f"{failure.message} {failure.advice}" for failure in cohort.failed}
    cases = {case.name: case for case in cohort.cases}
    rows = []
    for name in names:
        if name in cases:
            case = cases[name]
            rows.append(CaseRow(name, _state(folder, case, name in segmented), _annotated(case), dice.get(name)))
        else:
            rows.append(CaseRow(name, FAILED, problem=failures.get(name.casefold(), "")))
    return rows


def latestResults(folder: Path) -> Path | None:
    """The folder of the model that was applied last, if any was."""
    tables = sorted(Path(folder).glob(f"{RESULTS}/*/cohort.csv"), key=lambda path: path.stat().st_mtime)
    return tables[-1].parent if tables else None


def _state(folder: Path, case: Case, segmented: bool) -> str:
    if case.label is None:
        return SEGMENTED if segmented else EMPTY
    if isReference(case):
        return COMPLETE
    return PROPAGATED if propagatedPath(folder, case.name).is_file() else DRAWN


def _annotated(case: Case) -> tuple[int, ...] | None:
    return () if case.label is None else case.annotated_slices


def _dice(results: Path | None) -> dict[str, float]:
    """The Dice of each case against its complete drawing: the mean over its structures."""
    table = results / METRICS if results else None
    if table is None or not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # A case's mean over its structures comes last, where there are several.
    return {row["case"]: float(row["dice"]) for row in rows}
