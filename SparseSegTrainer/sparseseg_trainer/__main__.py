"""``python -m sparseseg_trainer JOB_FOLDER`` runs the job of that folder and streams JSON events."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

from .files import write_text
from .jobs import CANCELLED, CANCELLED_ERROR, SCHEMA, exit_status, read_job, run_job, supervise
from .reporting import JsonReporter, json_stdout, json_values

GRACE = 1.0  # seconds that a job has to stop by itself; with all around it that stays below two


def main(folder: Path) -> int:
    """Run the job and return the exit status. ``result.json`` comes last, and only if the job finished."""
    cancel, finished = threading.Event(), threading.Event()
    with json_stdout() as stream:
        reporter = JsonReporter(stream, cancel)
        for name in ("result.json", "log.txt"):
            remove(folder / name)
        watch = threading.Thread(target=watch_cancel, args=(folder, cancel, finished, reporter), daemon=True)
        watch.start()
        status = supervise(lambda: run_folder(folder, reporter), reporter, folder / "log.txt")
        finished.set()
        obey(folder)
    return status


def run_folder(folder: Path, reporter: JsonReporter) -> dict:
    """Run the folder's job and write its summary into ``result.json``."""
    job = read_job(folder)
    summary = run_job(job, folder, reporter)
    result = {"schema": SCHEMA, "kind": job["kind"], "exit_status": exit_status(summary), **summary}
    write_text(folder / "result.json", json.dumps(json_values(result), indent=2, default=str) + "\n")
    return summary


def watch_cancel(folder: Path, cancel: threading.Event, finished: threading.Event, reporter: JsonReporter) -> None:
    """Set ``cancel`` when the file appears; end the process if the job goes on ``GRACE`` seconds longer.

    Ending it is safe at any moment: every file is written whole or not at all.
    """
    while not (folder / "cancel").exists():
        time.sleep(0.1)
    cancel.set()
    if not finished.wait(GRACE):
        reporter.error(*CANCELLED_ERROR)
        obey(folder)
        os._exit(CANCELLED)


def obey(folder: Path) -> None:
    """Remove the ``cancel`` file once the job has ended: the next run of the folder is not to be cancelled by it.

    Removing it at the end, not at the start, a cancel that comes while the process is starting is not lost.
    """
    remove(folder / "cancel")


def remove(file: Path) -> None:
    """Remove the file, if it is there; its folder may be none, which ``read_job`` tells the user."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        file.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m sparseseg_trainer JOB_FOLDER")
    status = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(status)  # taking PyTorch down in order can last seconds, and all is written
