"""A job of the trainer together with what becomes of its events and its result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .jobClient import JobClient


class Job:
    """One job in its folder.

    Call ``start``, then ``update`` from a timer until ``isFinished``, then ``finish``; or ``start`` and ``wait``.
    Subclasses write the folder's job.json, and override ``onEvent`` and ``finish`` to bring results where they belong.
    """

    belongsToScene = False  # whether closing the scene leaves nowhere for the result to go

    def __init__(self, folder: Path):
        self.client = JobClient(folder)

    def start(self) -> None:
        """Starts the trainer's process."""
        self.client.start()

    def update(self) -> list[dict]:
        """The events since the last call, each of which ``onEvent`` has seen."""
        events = self.client.poll()
        for event in events:
            self.onEvent(event)
        return events

    def isFinished(self) -> bool:
        """Whether the process has ended; ``finish`` then brings the result."""
        return self.client.isFinished()

    def onEvent(self, event: dict) -> None:
        """One event has arrived."""

    def finish(self) -> dict:
        """What the job has returned. Raises InputError or Cancelled if there is nothing."""
        return self.client.result()

    def wait(self, onEvent: Callable[[dict], None] = lambda event: None) -> dict:
        """Blocks until the job has ended; passes events on, and returns and raises as ``finish`` does."""

        def handle(event: dict) -> None:
            self.onEvent(event)
            onEvent(event)

        try:
            self.client.wait(handle)
        except BaseException:
            self.abandon()
            raise
        return self.finish()

    def run(self, waitForCompletion: bool):
        """Starts it; returns what ``finish`` does when it has ended or, without waiting, the started job."""
        self.start()
        return self.wait() if waitForCompletion else self

    def cancel(self) -> None:
        """Asks the job to stop; ``finish`` then raises Cancelled."""
        self.client.cancel()

    def abandon(self) -> None:
        """Ends the process and all that it has started; nobody waits for a result."""
        self.client.kill()


def writeJob(folder: Path, kind: str, settings: dict, **entries) -> None:
    """Writes job.json for a job of ``kind``; ``entries`` are its paths, from the folder or absolute, and switches."""
    job = {"schema": 1, "kind": kind, "settings": settings, **entries}
    (folder / "job.json").write_text(json.dumps(job, indent=2, default=str), encoding="utf-8")
