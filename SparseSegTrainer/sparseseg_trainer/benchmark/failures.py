"""Why a cell could not be done, kept in its folder until it is run again."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from ..case import CaseFailure
from ..errors import InputError
from ..files import write_text

FILE_NAME = "failure.json"


def failure_of(name: str, error: Exception) -> CaseFailure:
    """The failure of the cell called ``name``, in the words of ``error`` where it was made for a user."""
    if not isinstance(error, InputError):
        reason = f"It could not be run: {type(error).__name__}: {error}."
        error = InputError("cell_not_run", reason, "Correct that, then start it again: what is done is not repeated.")
    return CaseFailure(name, error.code, f"{name}: {error.message}", error.advice)


def keep_failure(folder: Path, failure: CaseFailure) -> None:
    """Writes it into the cell's ``folder``, if that can be written at all: the others go on without."""
    with contextlib.suppress(InputError):
        write_text(folder / FILE_NAME, json.dumps(asdict(failure), indent=2, ensure_ascii=False) + "\n")


def read_failure(folder: Path) -> CaseFailure | None:
    """What was kept in the cell's ``folder``; None if it has not failed since it was last started."""
    file = folder / FILE_NAME
    return CaseFailure(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def forget_failure(folder: Path) -> None:
    """For a cell that is run again."""
    (folder / FILE_NAME).unlink(missing_ok=True)
