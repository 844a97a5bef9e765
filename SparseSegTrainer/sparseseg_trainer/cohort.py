"""Cohorts: a folder with cohort.csv, one case a row."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from .case import COLUMNS, FILE_NAME, LABELS_FOLDER, Case, CaseFailure, cell, read_row, write_row
from .errors import InputError
from .files import csv_text, require_other_files, write_text
from .labels import FILE_NAME as LABELS_FILE
from .labels import Label, default_label, read_labels, write_labels
from .reporting import Reporter
from .slices import slice_axis
from .sparse_volume import SparseVolume, label_values, load_case, read_drawn_slices
from .volumes import read_geometry, read_label_names

__all__ = [
    "Case",
    "CaseFailure",
    "Cohort",
    "SparseVolume",
    "label_path",
    "load_case",
    "read_cohort",
    "read_rows",
    "refuse_same_folder",
    "refuse_to_replace_inputs",
    "write_cohort",
    "write_rows",
]


@dataclass
class Cohort:
    """The cases that can be read, and those that ``failed`` already. Both come in the order of the file.

    ``folder`` is None where the cases are files of their own, which no labels.json belongs to.
    """

    folder: Path | None
    cases: list[Case]
    failed: list[CaseFailure] = field(default_factory=list)

    def __post_init__(self):
        for case in self.cases:
            case.cohort = self

    @cached_property
    def labels(self) -> list[Label]:
        """The labels in order of value: from labels.json, or else found by reading every label once."""
        if self.folder is not None and (self.folder / LABELS_FILE).is_file():
            return read_labels(self.folder)
        values, named = set(), {}
        for case in self.cases:
            try:
                values |= set(_drawn_values(case))
                named = {label.value: label for label in _names(case)} | named
            except InputError:
                continue  # said again, and heard, when the case itself is loaded
        return [named.get(value) or default_label(value) for value in sorted(values)]

    @property
    def files(self) -> list[Path]:
        """The images and labels of the cases."""
        return [path for case in self.cases for path in (case.image, case.label) if path is not None]

    def forget_other_slices(self, who: str, reporter: Reporter) -> None:
        """Leave out what is drawn across other axes than each case's own, and warn once: ``who`` does not use it."""
        if any(case.other_slices for case in self.cases):
            reporter.warn(f"{who} uses slices along each volume's own axis only: other_slices are left out.")
            self.cases = [replace(case, other_slices=()) for case in self.cases]

    @property
    def values(self) -> tuple[int, ...]:
        """The label values in files; class index c (1, 2, ...) has ``values[c - 1]``."""
        return tuple(label.value for label in self.labels)


def _drawn_values(case: Case) -> tuple[int, ...]:
    if case.label is None:
        return ()
    geometry = read_geometry(case.image, case.name)
    axis = slice_axis(geometry, case.axis)
    return label_values(read_drawn_slices(case, geometry, axis)[0])


def _names(case: Case) -> list[Label]:
    return read_label_names(case.label, case.name) if case.label is not None and case.label.is_file() else []


def read_cohort(folder: Path) -> Cohort:
    """Reads ``folder``/cohort.csv. Rows that cannot be used land in ``failed``, the others run.

    Raises InputError ("no_cohort", "bad_cohort", "bad_labels") if the file as a whole cannot be used.
    """
    folder = Path(folder)
    rows = read_rows(folder)
    # Names that differ in case only would share a file on Windows and macOS.
    counts = Counter(cell(row, "case").casefold() for row in rows)
    cases, failed = [], {}
    for row in rows:
        name = cell(row, "case")
        try:
            if counts[name.casefold()] > 1:
                raise InputError(
                    "duplicate_case",
                    f"Case {name}: {counts[name.casefold()]} rows of {FILE_NAME} have this name.",
                    "Give every case a name of its own; upper and lower case count as the same.",
                )
            cases.append(read_row(row, folder))
        except InputError as error:
            failed.setdefault(name.casefold() or id(row), CaseFailure.of(name, error))
    return Cohort(folder, cases, list(failed.values()))


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of ``folder``/cohort.csv as they stand there, to be changed and written again.

    Raises InputError ("no_cohort", "bad_cohort").
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise InputError(
            "no_cohort",
            f"The folder {path.parent} has no {FILE_NAME}.",
            "Write one with the columns case,image,label: one row a volume, paths relative to the folder.",
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("bad_cohort", f"{path} is not UTF-8 text.", "Save it as CSV UTF-8.") from error
    header = text.split("\n", 1)[0]
    # spreadsheets of many countries save with semicolons
    delimiter = max(",;", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = [name.lower() if name.lower() in COLUMNS else name for name in names]
    missing = [name for name in ("case", "image") if name not in reader.fieldnames]
    rows = list(reader) if not missing else []
    if not rows:
        problem = f"has no column {missing[0]}" if missing else "has no rows"
        raise InputError(
            "bad_cohort", f"{path} {problem}.", "Write one row a volume, with the columns case,image,label."
        )
    return rows


def write_rows(folder: Path, rows: Iterable[dict[str, str]]) -> None:
    """Writes ``rows`` as ``folder``/cohort.csv; columns of the user's own are kept.

    Raises InputError ("no_space", "cannot_write").
    """
    rows = list(rows)
    columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row if name is not None)])
    write_text(Path(folder) / FILE_NAME, csv_text([columns, *([row.get(name) for name in columns] for row in rows)]))


def refuse_same_folder(cohort: Path, out: Path) -> None:
    """Raises InputError ("same_folder") if results would go into the folder of the cohort and replace what is there."""
    if (out / FILE_NAME).is_file() and out.resolve() == cohort.resolve():
        raise InputError(
            "same_folder",
            f"The results would go into {out}, the folder of the cohort itself, and replace files of it.",
            "Choose another folder for the results.",
        )


def refuse_to_replace_inputs(cohort: Cohort, out: Path) -> None:
    """Raises InputError ("same_folder", "same_file") if results in ``out`` would replace files of the cohort itself.

    Results are cohort.csv and ``label_path`` of each case.
    """
    if cohort.folder is not None:
        refuse_same_folder(cohort.folder, out)
    require_other_files(cohort.files, (label_path(out, case) for case in cohort.cases))


def label_path(out: Path, case: Case) -> Path:
    """The file in the folder ``out`` of results that holds the label of the case."""
    return out / LABELS_FOLDER / f"{case.name}.nrrd"


def write_cohort(folder: Path, cases: Iterable[Case], labels: Iterable[Label]) -> None:
    """Writes cohort.csv, with paths relative to ``folder``, and labels.json.

    Raises InputError ("no_space", "cannot_write").
    """
    folder = Path(folder)
    rows = [write_row(case, folder) for case in cases]
    write_labels(folder, labels)
    write_rows(folder, rows)
