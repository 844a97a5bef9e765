"""What the commands share: settings from options, the reporter that was asked for, the exit status."""

from __future__ import annotations

import json
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import typer

from .case import FILE_NAME, LABELS_FOLDER
from .console import ConsoleReporter
from .errors import InputError
from .jobs import run_job, supervise
from .reporting import JsonReporter, Reporter, control_c, json_stdout, json_values
from .web_page import REPORT


def run_as_job(kind: str, settings: dict, reporter: Reporter, **arguments: Any) -> dict:
    """Run the job that these command-line arguments describe."""
    job = {"kind": kind, "settings": settings, **json_values(arguments)}
    return run_job(job, Path.cwd(), reporter)


def finish(work: Callable[[Reporter], dict], as_json: bool) -> NoReturn:
    """Run ``work`` with the reporter that was asked for and leave with its exit status."""
    cancel = threading.Event()
    if as_json:
        with json_stdout() as stream, control_c(cancel):
            reporter = JsonReporter(stream, cancel)
            status = supervise(lambda: work(reporter), reporter)
    else:
        if not sys.warnoptions:  # what libraries warn of is not for users, unless python -W asks for it
            warnings.simplefilter("ignore")
        with control_c(cancel), ConsoleReporter(cancel) as reporter:
            status = supervise(lambda: work(reporter), reporter)
    raise typer.Exit(status)


def refuse_to_replace(out: Path, replace: bool) -> None:
    """Raises InputError ("results_exist") if ``out`` is a file, or a folder of results, and not to be replaced.

    Results are a cohort or labels: those of a job that was killed have no cohort.csv.
    """
    states = {
        "is there": out.is_file(),
        "holds a cohort or earlier results": (out / FILE_NAME).is_file(),
        "holds labels": any((out / LABELS_FOLDER).glob("*.nrrd")),
    }
    _refuse(out, states, replace)


def refuse_to_replace_report(out: Path, replace: bool) -> None:
    """Raises InputError ("results_exist") if ``out`` is a file, or a folder with a report, and not to be replaced."""
    _refuse(out, {"is there": out.is_file(), "holds a report": (out / REPORT).is_file()}, replace)


def _refuse(out: Path, states: dict[str, bool], replace: bool) -> None:
    for state, there in states.items():
        if there and not replace:
            advice = "Choose another name, or add --replace to write over it."
            raise InputError("results_exist", f"{out} {state} already.", advice)


def settings_of(more: list[str] | None, **given: Any) -> dict:
    """The settings that were ``given``, and those of --set, whose values are JSON or plain text."""
    settings = {name: value for name, value in given.items() if value is not None}
    for item in more or ():
        name, equals, text = item.partition("=")
        if not equals:
            raise InputError("usage", f"--set {item} has no value.", "Write --set NAME=VALUE.")
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    return settings
