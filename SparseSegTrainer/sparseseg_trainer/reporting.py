"""How a running job tells its caller what it does, and learns that it should stop."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .errors import Cancelled


class Reporter:
    """Silent reporter; the job stream and the command line override what they show.

    Every long loop calls ``progress`` or ``check_cancelled`` at least every half second.
    """

    _cancel: threading.Event | None = None  # set by whoever wants the job to stop

    def progress(self, stage: str, fraction: float, message: str = "", seconds_left: float | None = None) -> None:
        """Report that ``fraction`` (0 to 1) of ``stage`` is done; raises ``Cancelled`` when asked to stop."""
        self.check_cancelled()

    def metric(self, series: str, step: int, value: float) -> None:
        """Report one point of a curve, for instance ("target/loss", epoch, 0.2)."""

    def result(self, **fields) -> None:
        """Report a result that is ready now, for instance the instant propagation before the refined one."""

    def warn(self, message: str) -> None:
        """Tell the user something that does not stop the job."""

    def error(self, code: str, message: str, advice: str) -> None:
        """Tell the user why the job has stopped."""

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` if the user asked to stop."""
        if self._cancel and self._cancel.is_set():
            raise Cancelled


class JsonReporter(Reporter):
    """One JSON object a line on ``stream``, flushed; ``cancel`` is set by whoever wants the job to stop.

    Progress of one stage is written at most ten times a second. Thread-safe.
    """

    def __init__(self, stream: TextIO, cancel: threading.Event | None = None):
        self._stream, self._cancel = stream, cancel or threading.Event()
        self._lock = threading.Lock()
        self._stage, self._written = None, -math.inf

    def progress(self, stage: str, fraction: float, message: str = "", seconds_left: float | None = None) -> None:
        self.check_cancelled()
        now = time.monotonic()
        if stage == self._stage and fraction < 1 and now - self._written < 0.1:
            return
        self._stage, self._written = stage, now
        fields = {"stage": stage, "fraction": fraction, "message": message, "seconds_left": seconds_left}
        self._write("progress", fields)

    def metric(self, series: str, step: int, value: float) -> None:
        self._write("metric", {"series": series, "step": step, "value": value})

    def result(self, **fields) -> None:
        self._write("result", fields)

    def warn(self, message: str) -> None:
        self._write("warning", {"message": message})

    def error(self, code: str, message: str, advice: str) -> None:
        self._write("error", {"code": code, "message": message, "advice": advice})

    def _write(self, event: str, fields: dict) -> None:
        line = json.dumps(json_values({"event": event, **fields}), allow_nan=False, default=str)
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except BrokenPipeError:  # whoever started the job is gone: stop at the next check
                self._cancel.set()


@contextlib.contextmanager
def control_c(cancel: threading.Event) -> Iterator[None]:
    """Within it Control-C sets ``cancel`` besides raising KeyboardInterrupt; for the main thread.

    A library may swallow the exception, and Python itself does in destructors, without a traceback then.
    """

    def interrupt(*_):
        cancel.set()
        raise KeyboardInterrupt

    def swallowed(problem):
        if problem.exc_type is not KeyboardInterrupt:
            hook(problem)

    before, hook = signal.signal(signal.SIGINT, interrupt), sys.unraisablehook
    sys.unraisablehook = swallowed
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def json_stdout() -> Iterator[TextIO]:
    """Yields standard output for JSON alone: all else that is printed meanwhile goes to standard error.

    It works on the file descriptor, so that C++ libraries and child processes are caught too.
    """
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with (
            contextlib.suppress(BrokenPipeError),
            open(os.dup(real), "w", encoding="utf-8", newline="\n") as stream,
        ):
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def json_values(value):
    """``value`` in JSON's own types: NaN and infinity become null, paths text, arrays lists."""
    if isinstance(value, dict):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy and PyTorch
        return json_values(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class TimeLeft:
    """Estimates the seconds left from the fraction done since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    def __call__(self, fraction: float) -> float | None:
        elapsed = time.monotonic() - self.start
        return elapsed * (1 - fraction) / fraction if fraction > 0.02 else None
