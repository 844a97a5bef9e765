"""A job of the trainer, run in a process of its own and followed by its event stream."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sparseseg_trainer.errors import Cancelled, InputError

from .translation import tr as _

GRACE = 5.0  # seconds after a cancel in which the job ends by itself; it promises two
POLL = 0.05  # seconds between looks at the stream while waiting


class JobClient:
    """Runs the job of a folder. Needs no Qt: call ``poll`` from a timer, or ``wait``.

    The process is started directly, not by ``slicer.util.launchConsoleProcess``: that one mixes standard
    error into the stream, where a library's progress bar would break a line of JSON.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._events: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self._process: subprocess.Popen | None = None
        self._reader: threading.Thread | None = None
        self._error: dict = {}
        self._cancelledAt: float | None = None

    def start(self) -> None:
        """Starts the process; a ``cancel`` that a killed run has left does not count."""
        (self.folder / "cancel").unlink(missing_ok=True)
        package = Path(importlib.util.find_spec("sparseseg_trainer").origin).parent
        paths = [str(package.parent), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONSAFEPATH": "1",  # no modules from the folder that Slicer happens to be in
        }
        windows = os.name == "nt"
        with (self.folder / "stderr.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [pythonExecutable(), "-m", "sparseseg_trainer", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                creationflags=subprocess.CREATE_NO_WINDOW if windows else 0,
                start_new_session=not windows,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def poll(self) -> list[dict]:
        """The events that have arrived since the last call; never blocks."""
        if self._cancelledAt and time.monotonic() > self._cancelledAt + GRACE:
            self.kill()
        events = []
        while not self._events.empty():
            events.append(self._events.get())
            if events[-1]["event"] == "error":
                self._error = events[-1]
        return events

    def isFinished(self) -> bool:
        """Whether the process has ended and all its events have been polled."""
        return self._process.poll() is not None and not self._reader.is_alive() and self._events.empty()

    def wait(self, onEvent: Callable[[dict], None] = lambda event: None) -> None:
        """Blocks until the job has ended, and passes its events to ``onEvent``; ends it if that raises."""
        try:
            while not self.isFinished():
                for event in self.poll():
                    onEvent(event)
                time.sleep(POLL)
        except BaseException:
            self.kill()
            raise

    def cancel(self) -> None:
        """Asks the job to stop; it does within two seconds, and ``poll`` ends it if it does not."""
        (self.folder / "cancel").touch()
        self._cancelledAt = self._cancelledAt or time.monotonic()

    def kill(self) -> None:
        """Ends the process and all that it has started, if it still runs."""
        if self._process is None or self._process.poll() is not None:
            return
        if os.name == "nt":  # PythonSlicer is a launcher: ending it alone would leave Python running
            taskkill = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(taskkill, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW)
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def result(self) -> dict:
        """The content of result.json once the job has ended.

        Raises Cancelled after ``cancel``, and InputError with the code, message and advice of the job's
        error.
        """
        path = self.folder / "result.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        if self._cancelledAt or self._error.get("code") == "cancelled":
            raise Cancelled("The job was cancelled.")
        if self._error:
            raise InputError(*(self._error.get(key, "") for key in ("code", "message", "advice")))
        raise InputError(
            "trainer_stopped",
            _("The trainer ended unexpectedly, with status {status}: {message}").format(
                status=self._process.returncode, message=self._lastWords()
            ),
            _("Start it again; if that does not help, report it with the file {path}.").format(
                path=self.folder / "stderr.txt"
            ),
        )

    def _lastWords(self) -> str:
        lines = (self.folder / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else _("it left no message.")

    def _read(self, stream) -> None:
        """Queues the events of the stream until it ends; runs in a thread of its own."""
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                self._events.put(event)
        stream.close()


def pythonExecutable() -> str:
    """The Python to run the trainer with: this one, or PythonSlicer if this is the Slicer application.

    Raises InputError ("no_python") if Slicer's Python is not found.
    """
    if "python" in Path(sys.executable).name.lower():
        return sys.executable
    found = shutil.which("PythonSlicer")
    if found is None:
        raise InputError(
            "no_python", _("Slicer's own Python (PythonSlicer) was not found."), _("Install Slicer again.")
        )
    return found
