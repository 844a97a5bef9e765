"""A benchmark from its plan to its tables, figures and report."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch

from ..case import CaseFailure
from ..case_loop import summary_of
from ..devices import choose_device
from ..errors import InputError
from ..files import write_text
from ..labels import read_labels
from ..reporting import Reporter
from ..web_page import REPORT, pictures_or_none
from .cells import Cell, cells_of
from .cohorts import DataFolder
from .failures import failure_of, keep_failure, read_failure
from .plan import Plan, read_plan
from .report import Section, benchmark_page, write_figures
from .results import Row, read_rows, write_cases
from .runner import Task, run_tasks
from .tables import make_tables, write_tables


def benchmark(
    plan: Path,
    out: Path,
    data: Path | None = None,
    devices: tuple[str, ...] = ("auto",),
    at_a_time: int = 1,
    run: bool = True,
    reporter: Reporter | None = None,
) -> dict:
    """Runs the cells of ``plan`` that are not done in the folder ``out``, ``at_a_time`` of them over ``devices``.

    ``data``: the folder of the data sets, if it is another than the plan's. Writes tables/, figures/, cases.csv and
    report.html of all cells that are done; without ``run`` nothing else. Returns {"cases": number of cells done,
    "failed": [...], "report": path, ...}. Raises InputError for a plan, data or a device that cannot be used, and
    ``Cancelled``.
    """
    reporter, out = reporter or Reporter(), Path(out).absolute()
    for device in devices:
        _check_device(device)
    if at_a_time < 1:
        raise InputError("bad_setting", f"{at_a_time} cells at a time cannot run.", "Take 1 or more.")
    read = read_plan(plan, data)
    folders, cells = [], []
    for number, one in enumerate(read.data):
        reporter.progress("data", number / len(read.data), one.name)
        folders.append(DataFolder.of(read, one, out))
        cells.append(cells_of(read, one, folders[-1].cases, folders[-1].fingerprint))
    failed: list[CaseFailure] = []
    if run:
        tasks = _tasks(folders, cells, out, failed, reporter)
        failed += run_tasks(tasks, devices, at_a_time, partial(_tell, reporter), reporter)
    every = [cell for some in cells for cell in some]
    sections = [_section(read, folder, some, out, reporter) for folder, some in zip(folders, cells, strict=True)]
    write_tables([section.tables for section in sections], out / "tables")
    write_cases(out / "cases.csv", every, out)
    write_figures([picture for section in sections for picture in section.pictures], out / "figures")
    write_text(out / REPORT, benchmark_page(read, sections, every, _failures(every, failed, out), out))
    reporter.progress("report", 1)
    done = sum(cell.is_done(out) for cell in every)
    return summary_of(done, failed, trainings=f"{done} of {len(every)} done", report=str(out / REPORT))


def _check_device(name: str) -> None:
    """Raises InputError ("bad_device", "no_gpu") for a device that is not there: its cells would fail or use no GPU."""
    kind, numbered, number = name.partition(":")
    choose_device(kind if kind == "cuda" else name)
    if numbered and not (number.isdecimal() and int(number) < torch.cuda.device_count()):
        raise InputError(
            "bad_device",
            f"There is no GPU '{name}' on this computer, which has {torch.cuda.device_count()}.",
            "Count from cuda:0, or choose auto, cpu or cuda.",
        )


def _tasks(
    folders: list[DataFolder], cells: list[list[Cell]], out: Path, failed: list[CaseFailure], reporter: Reporter
) -> list[Task]:
    """The cells that are not done, with their cohorts written; those for which that fails join ``failed``."""
    tasks = []
    for data, some in zip(folders, cells, strict=True):
        for cell in some:
            if cell.is_done(out):
                continue
            folder = cell.folder(out)
            try:
                cohorts = [data.training(cell.scheme, cell.fold, reporter), data.test(cell.fold)]
            except (InputError, OSError) as error:
                failed.append(failure_of(cell.name, error))
                keep_failure(folder, failed[-1])
                continue
            training, test = (os.path.relpath(cohort, folder) for cohort in cohorts)
            job = {"kind": "cell", "settings": cell.settings, "cohort": training, "test": test, "out": "."}
            tasks.append(Task(cell.name, folder, job))
    return tasks


def _failures(cells: list[Cell], failed: list[CaseFailure], out: Path) -> list[CaseFailure]:
    """Why those of ``cells`` that are not done failed, in an earlier run or in this one, in which ``failed`` did."""
    now = {failure.case: failure for failure in failed}
    left = [cell for cell in cells if not cell.is_done(out)]
    found = [now.get(cell.name) or read_failure(cell.folder(out)) for cell in left]
    return [failure for failure in found if failure]


def _tell(reporter: Reporter, task: Task, result: dict) -> None:
    reporter.result(cell=task.name, dice=result["mean"]["dice"], seconds=result["seconds"])


def _section(plan: Plan, data: DataFolder, cells: list[Cell], out: Path, reporter: Reporter) -> Section:
    """What the report says of what the cells of a data set found."""
    rows = read_rows(cells, out)
    tables = make_tables(plan, data.data.name, rows, read_labels(data.folder))
    shown = [row for row in rows if row.done]
    pictures = pictures_or_none(partial(_pictures, plan, data, shown, out, reporter), reporter)
    return Section(data.data.name, _notes(data, cells), tables, pictures)


def _notes(data: DataFolder, cells: list[Cell]) -> list[str]:
    notes = [f"{len(data.cases)} cases; split: {', '.join(dict.fromkeys(cell.fold.name for cell in cells))}."]
    for scheme in dict.fromkeys(cell.scheme for cell in cells):
        names = data.left_out(scheme)
        if names:
            notes.append(f"Not learned from with {scheme.name}, as nothing is labeled there: {', '.join(names)}.")
    return notes


def _pictures(plan: Plan, data: DataFolder, rows: list[Row], out: Path, reporter: Reporter) -> list:
    """The figures; needs matplotlib."""
    from .pictures import make_pictures

    return make_pictures(plan, data, rows, out, reporter)
