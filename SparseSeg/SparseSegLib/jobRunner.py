"""The one job that the window runs: followed by a timer, with progress, Cancel, and errors in one sentence."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import qt
from slicer.i18n import tr as _

from sparseseg_trainer.errors import Cancelled, InputError
from sparseseg_trainer.files import cannot_write

from .job import Job
from .userInterface import loadInterface

INTERVAL = 100  # ms between looks at the job
PATIENCE = 2.5  # seconds after Cancel until the button offers to stop by force
LOG_SIZE = 64 * 1024  # bytes at the end of the log that are shown


class JobRunner:
    """Runs one job at a time and shows it in ``widget``, which moves into the panel that has started the job."""

    def __init__(self, onChange: Callable[[], None]):
        """``onChange`` is called when a job has started or ended."""
        self.job: Job | None = None
        self._onChange = onChange
        self._cancelledAt = None
        self._lines: list[str] = []
        self._warnings: list[str] = []
        self.widget, self.ui = loadInterface("jobRunner")
        self.widget.visible = False
        self.ui.log.visible = False
        self.ui.cancelButton.connect("clicked(bool)", self.onCancelClicked)
        self.ui.detailsButton.connect("toggled(bool)", self.onDetailsToggled)
        self._timer = qt.QTimer()
        self._timer.interval = INTERVAL
        self._timer.connect("timeout()", self.onTimeout)

    def isRunning(self) -> bool:
        """Whether a job runs."""
        return self.job is not None

    def obstacle(self) -> str:
        """Why no job can be started now, for tool tips; empty if one can."""
        return _("Wait until the running job has ended, or cancel it.") if self.isRunning() else ""

    def run(
        self,
        createJob: Callable[[], Job],
        place,
        *,
        onEvent: Callable[[dict], None] = lambda event: None,
        onFinished: Callable[[object], None] = lambda result: None,
        onFailed: Callable[[], None] = lambda: None,
    ) -> None:
        """Creates and starts a job, and shows it in the layout ``place``.

        ``onFinished`` receives what the job's ``finish`` has returned; ``onFailed`` is called instead if it was
        cancelled or has failed. What createJob or the job raises as InputError is shown to the user.
        """
        place.addWidget(self.widget)
        self.widget.visible = True
        self._lines, self._warnings = [], []
        self._cancelledAt = None
        self._callbacks = onEvent, onFinished, onFailed
        self.ui.detailsButton.checked = False
        try:
            job = createJob()
            job.start()
        except (InputError, OSError) as error:
            self.showError(error if isinstance(error, InputError) else cannotWrite(error))
            onFailed()
            return
        self.job = job
        self._showProgress(_("Starting"), 0, None)
        self._showRunning(True)
        self._timer.start()
        self._onChange()

    def cancel(self) -> None:
        """Asks the job to stop; a second call after some seconds ends it and all that it has started."""
        if self._cancelledAt is None:
            self._cancelledAt = time.monotonic()
            self.job.cancel()
            self.ui.cancelButton.enabled = False
            self.ui.messageLabel.text = _("Stopping…")
        else:
            self.job.client.kill()

    def stop(self, message: str = "") -> None:
        """Ends the job at once and drops its result, because there is nowhere left for it to go."""
        if self.isRunning():
            self._timer.stop()
            job, self.job = self.job, None
            job.abandon()
            self._showRunning(False)
            self.ui.messageLabel.text = message
            self._callbacks[2]()
            self._onChange()

    def showError(self, error: InputError) -> None:
        """Shows an error as its one sentence and what to do; the rest is under Details."""
        self._lines.append(f"{error.code}: {error}")
        self._showRunning(False)
        self.ui.messageLabel.text = f"{error.message} {error.advice}"

    def onCancelClicked(self, checked: bool = False) -> None:
        """Cancel, or Force stop once that is what the button says."""
        self.cancel()

    def onDetailsToggled(self, checked: bool) -> None:
        """Shows or hides the log."""
        self.ui.log.visible = checked
        self._updateLog()

    def onTimeout(self) -> None:
        """Looks at the job: its new events, whether it has ended."""
        job, onEvent = self.job, self._callbacks[0]
        for event in job.update():
            self._showEvent(event)
            onEvent(event)
        self._updateLog()
        if self._cancelledAt and time.monotonic() > self._cancelledAt + PATIENCE:
            self.ui.cancelButton.text = _("Force stop")
            self.ui.cancelButton.enabled = True
        if job is self.job and job.isFinished():
            self._end()

    def cleanup(self) -> None:
        """The window is going away, and the job with it; training goes on later from its last checkpoint."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self.onTimeout)
        if self.isRunning():
            self.job.abandon()
            self.job = None

    def _end(self) -> None:
        """Brings the result where it belongs, and tells who has started the job."""
        self._timer.stop()
        self._lines.append(self._written())  # some jobs remove their folder when they have ended
        job, self.job = self.job, None
        self._showRunning(False)
        _onEvent, onFinished, onFailed = self._callbacks
        try:
            result = job.finish()
        except Cancelled:
            self.ui.messageLabel.text = _("Cancelled.")
            onFailed()
        except InputError as error:
            self.showError(error)
            onFailed()
        else:
            self.ui.messageLabel.text = " ".join([_("Done."), *self._warnings[-1:]])
            onFinished(result)
        finally:
            self._onChange()

    def _showRunning(self, running: bool) -> None:
        self.ui.progressBar.visible = running
        self.ui.cancelButton.visible = running
        self.ui.cancelButton.enabled = running
        self.ui.cancelButton.text = _("Cancel")
        self._updateLog()

    def _showEvent(self, event: dict) -> None:
        kind = event["event"]
        if kind == "progress" and self._cancelledAt is None:
            self._showProgress(stageName(event["stage"]), event["fraction"], event.get("seconds_left"))
        elif kind == "warning":
            self._warnings.append(event["message"])
            self._lines.append(event["message"])

    def _showProgress(self, stage: str, fraction: float, secondsLeft: float | None) -> None:
        # Without a fraction, the bar only says that something is going on.
        self.ui.progressBar.maximum = 100 if fraction else 0
        self.ui.progressBar.value = round(100 * fraction)
        self.ui.messageLabel.text = f"{stage}: {timeLeft(secondsLeft)}" if secondsLeft else stage

    def _updateLog(self) -> None:
        if self.ui.log.visible:
            text = "\n".join([*self._lines, self._written()])
            if text != self.ui.log.plainText:
                self.ui.log.plainText = text

    def _written(self) -> str:
        if self.job is None:
            return ""
        texts = []
        for name in ("stderr.txt", "log.txt"):
            path = self.job.client.folder / name
            if path.is_file():
                texts.append(path.read_bytes()[-LOG_SIZE:].decode("utf-8", "replace"))
        return "\n".join(texts)


def cannotWrite(error: OSError) -> InputError:
    """What to tell the user when the job's folder could not be written."""
    return cannot_write(Path(error.filename or tempfile.gettempdir()), error.strerror or "")


def timeLeft(seconds: float) -> str:
    """Seconds in words that do not pretend to be exact."""
    if seconds < 90:
        return _("about {n} seconds left").format(n=max(5, 5 * round(seconds / 5)))
    if seconds < 5400:
        return _("about {n} minutes left").format(n=round(seconds / 60))
    return _("about {n} hours left").format(n=round(seconds / 3600))


def stageName(stage: str) -> str:
    """What the trainer's stage is called in the window; a stage that has no name here keeps its own."""
    first, _space, number = stage.partition(" ")
    if number.isdigit():  # "semi 2" is the second one of its kind
        return f"{stageName(first)} ({number})"
    names = {
        "start": _("Starting"),
        "propagate": _("Propagating"),
        "register": _("Comparing neighboring slices"),
        "refine": _("Refining"),
        "together": _("Learning from all volumes"),
        "measure": _("Reading the sizes of the volumes"),
        "prepare": _("Reading the volumes"),
        "estimate": _("Measuring"),
        "semi": _("Training the first network"),
        "registration": _("Training the registration"),
        "first labels": _("Labeling all slices for the first time"),
        "pseudo labels": _("Labeling all slices"),
        "target": _("Training the final network"),
        "rows": _("Training the network of the second direction"),
        "columns": _("Training the network of the third direction"),
        "overview": _("Training the network that sees whole volumes"),
        "check": _("Checking the model"),
        "write": _("Writing"),
        "segment": _("Segmenting"),
        "evaluate": _("Comparing"),
        "report": _("Writing the report"),
        "export": _("Exporting"),
    }
    return names.get(stage, stage)
