"""What a running job shows in a terminal: a bar with the time left for each stage, results, errors."""

from __future__ import annotations

import threading
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from .reporting import Reporter


class ConsoleReporter(Reporter):
    """Results on standard output; bars, warnings, errors on standard error, plain where that is no terminal.

    A context manager: the bars are shown while it is open. ``cancel`` is set by whoever wants the job to stop.
    """

    def __init__(self, cancel: threading.Event | None = None):
        self._cancel = cancel
        self._output, self._console = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", style="cyan"),
            TextColumn("{task.fields[message]}", style="dim", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._stage, self._task = None, None

    def __enter__(self) -> ConsoleReporter:
        self._bars.start()
        return self

    def __exit__(self, *_) -> None:
        self._bars.stop()

    def progress(self, stage: str, fraction: float, message: str = "", seconds_left: float | None = None) -> None:
        self.check_cancelled()
        if stage != self._stage:
            self._begin(stage)
        left = f"{_duration(seconds_left)} left" if seconds_left is not None and fraction < 1 else ""
        self._bars.update(self._task, completed=fraction, message=message, left=left)

    def _begin(self, stage: str) -> None:
        self._end_stage()
        self._stage = stage
        self._task = self._bars.add_task(stage, total=1, message="", left="")
        if not self._console.is_terminal:
            self._say(f"{stage} ...")

    def _end_stage(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=1, message="", left="")

    def result(self, final: bool = False, exit_status: int = 0, failed=(), **fields) -> None:
        if final:  # nothing is drawn over what is printed from here on
            self._end_stage()
            self._bars.stop()
        for failure in failed:
            self._say(f"Failed: {failure['message']} {failure['advice']}", "red")
        for name, value in fields.items():
            self._show(name.replace("_", " "), value)

    def _show(self, name: str, value) -> None:
        """Print one field of a result, those of a table one by one; other lists are for programs."""
        if isinstance(value, dict):
            for key, item in value.items():
                self._show(f"{name} {key}", item)
        elif isinstance(value, float):
            self._output.print(Text(f"{name}: {value:.4g}"))
        elif isinstance(value, (str, int, Path)):
            self._output.print(Text(f"{name}: {value}"))
        elif isinstance(value, list):
            for number, line in enumerate(value, 1):
                if isinstance(line, dict):
                    cells = ", ".join(f"{key} {item}" for key, item in line.items())
                    self._output.print(Text(f"{name} {number}: {cells}"))

    def warn(self, message: str) -> None:
        self._say(f"Note: {message}", "yellow")

    def error(self, code: str, message: str, advice: str) -> None:
        self._say(f"{message} {advice}", "red")

    def _say(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
