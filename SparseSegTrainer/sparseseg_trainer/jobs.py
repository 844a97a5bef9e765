"""The kinds of job, and how one is read, run and brought to an end with an exit status."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import Cancelled, InputError, out_of_memory
from .reporting import Reporter
from .settings import from_dict

SCHEMA = 1
FINE, SOME_FAILED, BAD_INPUT, INTERNAL, CANCELLED = 0, 1, 2, 3, 130  # exit statuses
REFUSED_PATHS = (errno.EACCES, errno.ENAMETOOLONG)  # even looking whether there is such a file raises these

# How often a thread of PyTorch's (libgomp's) looks for work before it sleeps. By itself it does so a hundred times as
# long, and on a shared core uses up the time of the thread that all wait for: docs/benchmarks.md, "On a busy computer".
LOOKS = "4000"

CANCELLED_ERROR = (
    "cancelled",
    "The job was cancelled.",
    'What is finished is kept; a training goes on from there with --resume, or "resume": true in its job.',
)


@dataclass(frozen=True)
class Kind:
    """A function of this package by name (imported when it runs: PyTorch takes seconds) and what it takes."""

    function: str
    settings: str
    paths: tuple[str, ...]
    switches: tuple[str, ...] = ()
    optional_paths: tuple[str, ...] = ()


KINDS = {
    "propagate": Kind(".propagate:propagate", ".propagate:PropagateSettings", ("cohort", "out")),
    "train": Kind(".training.train:train", ".training.settings:TrainSettings", ("cohort", "out"), ("resume",)),
    "estimate": Kind(".training.estimate:estimate", ".training.settings:TrainSettings", ("cohort",)),
    "segment": Kind(".segment:segment", ".segment:SegmentSettings", ("inputs", "model", "out")),
    "evaluate": Kind(".evaluate:evaluate", ".evaluate:EvaluateSettings", ("predictions", "reference", "out")),
    "export": Kind(".export:export", ".export:ExportSettings", ("label", "out"), optional_paths=("series",)),
    "suggest": Kind(".suggest:suggest", ".suggest:SuggestSettings", ("cohort",), optional_paths=("model", "out")),
    "cell": Kind(".benchmark.cell:run_cell", ".training.settings:TrainSettings", ("cohort", "test", "out")),
}


def read_job(folder: Path) -> dict:
    """The job of ``folder/job.json``. Raises InputError ("bad_job")."""
    path = folder / "job.json"
    if folder.is_file():
        raise InputError("bad_job", f"{folder} is a file.", "Give the folder that holds job.json, not a file.")
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad_job(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise _bad_job(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(job, dict) or job.get("schema") != SCHEMA:
        raise _bad_job(f'{path} does not say "schema": {SCHEMA}, the only version this program knows.')
    return job


def run_job(job: dict, folder: Path, reporter: Reporter) -> dict:
    """Run ``job``, whose relative paths start at ``folder``, and return the summary of its function.

    Raises InputError for a job that does not fit its kind, and whatever the function raises.
    """
    kind = _kind(job.get("kind"))
    known = {"schema", "kind", "settings", *kind.paths, *kind.optional_paths, *kind.switches}
    for name in job.keys() - known:
        raise _bad_job(f"A job of kind '{job['kind']}' has no '{name}'; it has {', '.join(sorted(known))}.")
    given = [name for name in kind.optional_paths if job.get(name) is not None]
    arguments = {name: _paths(folder, name, job.get(name)) for name in (*kind.paths, *given)}
    for name in job.keys() & set(kind.switches):
        if not isinstance(job[name], bool):
            raise _bad_job(f"'{name}' is {job[name]!r}; it has to be true or false.")
        arguments[name] = job[name]
    reporter.progress("start", 0)
    settings = from_dict(_named(kind.settings), job.get("settings", {}))
    return _named(kind.function)(**arguments, settings=settings, reporter=reporter)


def supervise(work: Callable[[], dict], reporter: Reporter, log: Path | None = None) -> int:
    """The exit status of ``work()``, whose summary is reported as the final result.

    What stops it is reported as an error, never raised; the traceback of an unexpected error goes to standard
    error and into the file ``log``.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", LOOKS)  # read when PyTorch is imported
    try:
        summary = work()
    except (Cancelled, KeyboardInterrupt):
        reporter.error(*CANCELLED_ERROR)
        return CANCELLED
    except InputError as error:
        reporter.error(error.code, error.message, error.advice)
        return BAD_INPUT
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REFUSED_PATHS:
            advice = "Check its name and who may open its folder, or choose another."
            reporter.error("no_access", f"{error.filename} cannot be used: {error.strerror}.", advice)
            return BAD_INPUT
        traceback.print_exc()
        if log:
            with contextlib.suppress(OSError):
                log.write_text(traceback.format_exc(), encoding="utf-8")
        reporter.error(*_unexpected(error, log))
        return INTERNAL
    status = exit_status(summary)
    reporter.result(final=True, exit_status=status, **summary)
    return status


def exit_status(summary: dict) -> int:
    """Whether all cases, some or none came through; ``summary`` counts the former in "cases"."""
    if not summary.get("failed"):
        return FINE
    return SOME_FAILED if summary.get("cases", 1) else BAD_INPUT


def _unexpected(error: Exception, log: Path | None) -> tuple[str, str, str]:
    """Code, message and advice for an error that is not the user's."""
    if out_of_memory(error):
        return (
            "out_of_memory",
            "The memory of the computer or of its GPU was not enough for this job.",
            "Close other programs, choose the device 'cpu', or use fewer or smaller volumes.",
        )
    if isinstance(error, ModuleNotFoundError):
        return (
            "missing_package",
            f"The Python package '{error.name}' is not installed.",
            "In Slicer, click Propagate in the module SparseSeg, which installs it after asking; elsewhere, run "
            "pip install '.[cli,report]' in the folder of SparseSeg.",
        )
    text = str(error).strip().split("\n")[0]
    where = f"the file {log}" if log else "the lines above"
    return (
        "internal",
        f"Something went wrong that should not have: {type(error).__name__}: {text}.",
        f"Please report it as a bug of SparseSeg, with {where}.",
    )


def _kind(name) -> Kind:
    if not isinstance(name, str) or name not in KINDS:
        raise _bad_job(f"There is no job of kind {name!r}; the kinds are {', '.join(KINDS)}.")
    return KINDS[name]


def _paths(folder: Path, name: str, value) -> Path | list[Path]:
    """``value``, a path or a list of paths, from ``folder``."""
    if isinstance(value, list) and value and name == "inputs":
        return [_paths(folder, "each of the inputs", item) for item in value]
    if not isinstance(value, str) or not value:
        raise _bad_job(f"'{name}' is missing or not a path.")
    return folder / value


def _named(path: str):
    """The object that "module:name" names; modules of this package begin with a dot."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module, __package__), name)


def _bad_job(message: str) -> InputError:
    return InputError("bad_job", message, "Correct the job and start it again.")
