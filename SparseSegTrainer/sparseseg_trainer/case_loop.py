"""One case after the other: a case that fails is listed and does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import asdict
from typing import TypeVar

from .case import Case, CaseFailure
from .errors import InputError, out_of_memory
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
        except Exception as raised:
            error = _failure(case, raised)
            if error.code in FATAL:
                raise
            failed.append(CaseFailure.of(case.name, error))
            reporter.warn(str(error))
    reporter.progress(stage, 1.0)
    return results


@contextmanager
def kept(results: Sized, write: Callable[[], dict]) -> Iterator[None]:
    """Within it what is finished is kept where the job ends early, cancelled for instance: ``write`` is called then.

    Unless there is no result: an earlier cohort in its place is better than an empty one.
    """
    try:
        yield
    except BaseException:
        if results:
            write()
        raise


def _failure(case: Case, error: Exception) -> InputError:
    """What the user is told of a case that failed with ``error``, which is raised again if it is a bug."""
    if isinstance(error, InputError):
        return error
    if not out_of_memory(error):
        raise error
    return InputError(
        "out_of_memory",
        f"Case {case.name}: the memory of the computer or of its GPU was not enough for this volume.",
        "Close other programs, choose the device 'cpu', or crop the volume, then run it again.",
    )


def some_left(results: list[Result], failed: list[CaseFailure]) -> list[Result]:
    """``results``, of the cases that can be used. Raises InputError ("no_case") if there is none."""
    if not results:
        raise no_case(failed)
    return results


def no_case(failed: list[CaseFailure]) -> InputError:
    """The error to raise where no case is left: the job then returns no list of those that ``failed``."""
    message = f"No case of the cohort can be used. {reasons(failed)}".strip()
    return InputError("no_case", message, "Correct the cohort.")


def reasons(failed: list[CaseFailure]) -> str:
    """Why cases failed, in a sentence for each of the first three."""
    return " ".join(failure.message for failure in failed[:3])


def summary_of(done: int, failed: list[CaseFailure], **fields) -> dict:
    """What a job returns: how many cases came through, which failed and why, and further ``fields``."""
    return {"cases": done, "failed": [asdict(failure) for failure in failed], **fields}
