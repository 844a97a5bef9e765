"""One case of a cohort, and its row in cohort.csv."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError
from .files import require

if TYPE_CHECKING:
    from .cohort import Cohort

FILE_NAME = "cohort.csv"
LABELS_FOLDER = "labels"  # of results
COLUMNS = (
    "case",
    "image",
    "label",
    "annotated_slices",
    "axis",
    "first_slice",
    "last_slice",
    "group",
    "reaches_first",
    "reaches_last",
    "other_slices",
)
# What no file system, Windows included, takes in a file name; the case names the files of the results.
FORBIDDEN = set('/\\<>:"|?*')
LONGEST = 200  # bytes of a name: file systems take 255, and the results' names are longer


@dataclass
class Case:
    """One row of cohort.csv.

    Slice numbers count from 0 along ``axis``: 0, 1, 2 for i, j, k; None: that of largest spacing.
    ``annotated_slices`` None means every labeled slice. ``first_slice`` and ``last_slice`` are the ends of
    the structure where marked; ``reaches_first`` and ``reaches_last`` say that it fills the volume to there.
    ``other_slices`` are (axis, number) of slices drawn across the other two axes; all of such a slice is known. Where
    there are some, no slice is annotated but those that are listed.
    """

    name: str
    image: Path
    label: Path | None = None
    annotated_slices: tuple[int, ...] | None = None
    axis: int | None = None
    first_slice: int | None = None
    last_slice: int | None = None
    group: str = ""
    reaches_first: bool = False
    reaches_last: bool = False
    other_slices: tuple[tuple[int, int], ...] = ()
    cohort: Cohort | None = field(default=None, repr=False, compare=False)  # whose labels its values belong to

    def __post_init__(self):
        if self.other_slices and self.annotated_slices is None:
            self.annotated_slices = ()


@dataclass(frozen=True)
class CaseFailure:
    """A case that could not be worked on, with the words of the InputError that says why."""

    case: str
    code: str
    message: str
    advice: str

    @classmethod
    def of(cls, case: str, error: InputError) -> CaseFailure:
        """The failure of ``case`` that ``error`` tells of."""
        return cls(case, error.code, error.message, error.advice)


def cell(row: dict[str, str], column: str) -> str:
    """The text in a cell, empty if the column is missing."""
    return (row.get(column) or "").strip()


def read_row(row: dict[str, str], folder: Path) -> Case:
    """The case in a row of cohort.csv in ``folder``.

    Raises InputError ("bad_case_name", "bad_cohort", "missing_file").
    """
    name = cell(row, "case")
    check_case_name(name)
    if any(row.get(None, ())):  # what a reader of CSV files keeps of cells beyond the header's
        raise InputError(
            "bad_cohort",
            f"Case {name}: its row of {FILE_NAME} has more cells than the header.",
            "Put what contains a comma in quotes, and ';' between slices.",
        )
    image = cell(row, "image")
    if not image:
        raise InputError("missing_file", f"Case {name} has no image.", f"Fill the column image of {FILE_NAME}.")
    label = cell(row, "label")
    case = Case(
        name=name,
        image=folder / image,
        label=folder / label if label else None,
        annotated_slices=_slice_list(row, name),
        axis=_number(row, "axis", name),
        first_slice=_number(row, "first_slice", name),
        last_slice=_number(row, "last_slice", name),
        group=cell(row, "group"),
        reaches_first=_flag(row, "reaches_first", name),
        reaches_last=_flag(row, "reaches_last", name),
        other_slices=_other_slices(row, name),
    )
    if case.axis not in (None, 0, 1, 2):
        raise _bad_cell(name, "axis", str(case.axis), "0, 1 or 2 for the image's i, j, k")
    for path in (case.image, case.label):
        if path is not None:
            require(path, f"Case {name}")
    return case


def check_case_name(name: str) -> None:
    """Raises InputError ("bad_case_name") unless ``name`` can name a file everywhere."""
    allowed = name.strip() and name.strip(". ") == name and ".." not in name
    if not allowed or FORBIDDEN & set(name) or not name.isprintable():
        raise InputError(
            "bad_case_name",
            f"The case name {name!r} cannot be a file name.",
            "Use letters, digits, spaces, '-', '_' and single dots.",
        )
    if len(os.fsencode(name)) > LONGEST:
        raise InputError(
            "bad_case_name",
            f"The case name {name!r} is too long for the names of the results.",
            f"Use at most {LONGEST // 4} letters, whatever their script.",
        )


def _bad_cell(name: str, column: str, text: str, wanted: str) -> InputError:
    return InputError(
        "bad_cohort",
        f"Case {name}: {column} is {text!r} in {FILE_NAME}.",
        f"Write {wanted}, or leave it empty.",
    )


def _number(row: dict[str, str], column: str, name: str) -> int | None:
    text = cell(row, column)
    if text and not (text.isascii() and text.isdigit()):
        raise _bad_cell(name, column, text, "a whole number, counted from 0")
    return int(text) if text else None


def _slice_list(row: dict[str, str], name: str) -> tuple[int, ...] | None:
    parts = [part.strip() for part in cell(row, "annotated_slices").split(";") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise _bad_cell(name, "annotated_slices", ";".join(parts), "slice numbers, counted from 0, separated by ';'")
    return tuple(sorted({int(part) for part in parts})) or None


def _other_slices(row: dict[str, str], name: str) -> tuple[tuple[int, int], ...]:
    parts = [part.strip() for part in cell(row, "other_slices").split(";") if part.strip()]
    if not all(re.fullmatch("[012]:[0-9]+", part) for part in parts):
        wanted = "axis:number, both counted from 0, separated by ';', such as 0:12;1:30"
        raise _bad_cell(name, "other_slices", ";".join(parts), wanted)
    return tuple(sorted({(int(part[0]), int(part[2:])) for part in parts}))


def _flag(row: dict[str, str], column: str, name: str) -> bool:
    text = cell(row, column).lower()
    if text not in ("", "true", "false"):
        raise _bad_cell(name, column, text, "true or false")
    return text == "true"


def write_row(case: Case, folder: Path) -> dict[str, str]:
    """The row of cohort.csv in ``folder`` for a case: the inverse of ``read_row``."""

    def number(value: int | None) -> str:
        return "" if value is None else str(value)

    return {
        "case": case.name,
        "image": _relative(case.image, folder),
        "label": _relative(case.label, folder) if case.label is not None else "",
        "annotated_slices": ";".join(map(str, case.annotated_slices or ())),
        "axis": number(case.axis),
        "first_slice": number(case.first_slice),
        "last_slice": number(case.last_slice),
        "group": case.group,
        "reaches_first": "true" if case.reaches_first else "",
        "reaches_last": "true" if case.reaches_last else "",
        "other_slices": ";".join(f"{axis}:{number}" for axis, number in case.other_slices),
    }


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return Path(path).absolute().as_posix()
