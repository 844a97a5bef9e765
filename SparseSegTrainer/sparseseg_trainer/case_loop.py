"""One case after the other: a case that fails is listed and does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

from .case import Case, CaseFailure
from .errors import InputError
from .reporting import Reporter, TimeLeft

Result = TypeVar("Result")
# A full disk fails every case alike: stop at once.
FATAL = ("no_space",)


def run_cases(
    cases: Sequence[Case], failed: list[CaseFailure], work: Callable[[Case], Result], stage: str, reporter: Reporter
) -> list[Result]:
    """The results of ``work`` for the cases that came through; the others join ``failed``.

    Raises ``Cancelled``, and InputError if no further case can succeed.
    """
    results, left = [], TimeLeft()
    for index, case in enumerate(cases):
        reporter.progress(stage, index / len(cases), case.name, left(index / len(cases)))
        try:
            results.append(work(case))
        except InputError as error:
            if error.code in FATAL:
                raise
            failed.append(CaseFailure.of(case.name, error))
            reporter.warn(str(error))
    reporter.progress(stage, 1.0)
    return results


def some_left(results: list[Result]) -> list[Result]:
    """``results``, of the cases that can be used. Raises InputError ("no_case") if there is none."""
    if not results:
        raise no_case()
    return results


def no_case() -> InputError:
    """The error to raise where no case is left."""
    return InputError("no_case", "No case of the cohort can be used.", "See the list of failed cases.")


def summary_of(done: int, failed: list[CaseFailure], **fields) -> dict:
    """What a job returns: how many cases came through, which failed and why, and further ``fields``."""
    return {"cases": done, "failed": [asdict(failure) for failure in failed], **fields}
