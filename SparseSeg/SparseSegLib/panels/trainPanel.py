"""Step 5: training a model on the cohort."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from sparseseg_trainer.case import check_case_name
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.model_info import SUFFIX

from ..cohortTable import COMPLETE, DRAWN, PROPAGATED
from ..dependencies import ensureDependencies
from ..models import modelsFolder
from ..training import EstimateJob, TrainingJob, discardTraining, unfinishedTrainings
from ..trainingPlot import TrainingPlot
from ..trainingWords import duration, gigabytes, methods, presets, report
from ..userInterface import openPath
from .panel import Panel

FEW = 5  # cases with a drawing: below that, all are needed for the training


class TrainPanel(Panel):
    """Starts, follows and resumes a training. ``moreSettings`` of the trainer, by name, are for scripts."""

    uiName = "trainPanel"

    def __init__(self, window):
        super().__init__(window)
        self.plot = TrainingPlot()
        self.moreSettings: dict = {}
        self.model: Path | None = None  # the one that was trained last in this window
        self._updating = False
        self._asideChosen = False
        for text, method in methods():
            self.ui.methodBox.addItem(text, method)
        for text, preset in presets():
            self.ui.presetBox.addItem(text, preset)
        self.ui.presetBox.currentIndex = self.ui.presetBox.findData("balanced")
        self.ui.asideBox.connect("valueChanged(int)", self.onAsideChanged)
        self.ui.nameEdit.connect("textChanged(QString)", self.onSettingsChanged)
        for box in (self.ui.methodBox, self.ui.presetBox):
            box.connect("currentIndexChanged(int)", self.onSettingsChanged)
        self.connectButtons("estimate", "train", "plot", "resume", "discard", "picture", "files")

    @property
    def folder(self) -> Path:
        """The folder of all models."""
        return modelsFolder(self.window.settings.modelFolder)

    def obstacle(self) -> str:
        if self._isTraining() or self._unfinished():
            return ""
        return self._cohortObstacle()

    def instruction(self) -> str:
        if self._isTraining():
            return _("The model is being trained. Slicer can be used meanwhile.")
        if self._unfinished():
            return _("A training was interrupted: continue it, or start another one.")
        return _("Choose how long the training may take, then train.")

    def update(self) -> None:
        super().update()
        drawn = [row for row in self.window.cohortRows() if row.state in (DRAWN, PROPAGATED, COMPLETE)]
        self._updating = True
        self.ui.asideBox.maximum = max(0, len(drawn) - 1)
        if not self._asideChosen:
            self.ui.asideBox.value = len(drawn) // FEW
        if drawn and not self.ui.nameEdit.text:
            self.ui.nameEdit.text = self._freeName()
        self._showUnfinished()
        self._updating = False
        busy = self.window.jobRunner.obstacle()
        obstacle = busy or self._cohortObstacle() or self._methodObstacle()
        self.enable(self.ui.estimateButton, obstacle)
        self.enable(self.ui.trainButton, obstacle or self._nameObstacle())
        self.enable(self.ui.resumeButton, busy)
        self.enable(self.ui.discardButton, busy)
        self.enable(self.ui.plotButton, "" if self.plot.chartNode else _("The curves appear with the first epoch."))
        self._showResult()

    def onAsideChanged(self, value: int) -> None:
        """The user has chosen how many cases are kept aside."""
        if not self._updating:
            self._asideChosen = True
            self.onSettingsChanged()

    def onSettingsChanged(self, *arguments) -> None:
        """An estimate is worth nothing for other settings."""
        if not self._updating:
            self.ui.estimateLabel.text = ""
            self.update()

    def onEstimateClicked(self, checked: bool = False) -> None:
        """Measures how long the training would take."""
        self._run(lambda: EstimateJob(self._cohort(), self._settings()), onFinished=self.onEstimated)

    def onEstimated(self, result: dict) -> None:
        """Shows the estimate in words that do not pretend to be exact."""
        where = _("graphics card") if result["device"] == "cuda" else _("processor")
        self.ui.estimateLabel.text = _("{time} and {needed} of memory on the {device}; {free} are free.").format(
            time=duration(result["seconds"]),
            needed=gigabytes(result["memory_bytes"]),
            device=where,
            free=gigabytes(result["free_bytes"]),
        )

    def onTrainClicked(self, checked: bool = False) -> None:
        """Starts a training."""
        modelFolder = self.folder / self.ui.nameEdit.text.strip()
        self._train(lambda: TrainingJob(self._cohort(), modelFolder, self._settings()))

    def onResumeClicked(self, checked: bool = False) -> None:
        """Goes on with the training that is chosen."""
        modelFolder = Path(self.ui.unfinishedBox.currentData)
        self._train(lambda: TrainingJob.resumed(modelFolder))

    def onDiscardClicked(self, checked: bool = False) -> None:
        """Removes an unfinished training."""
        name = self.ui.unfinishedBox.currentText
        if slicer.util.confirmOkCancelDisplay(
            _("Remove the unfinished training {name} with all that it has reached?").format(name=name), _("SparseSeg")
        ):
            discardTraining(Path(self.ui.unfinishedBox.currentData))
            self.window.update()

    def onPlotClicked(self, checked: bool = False) -> None:
        """Shows the curves."""
        self.plot.show()

    def onPictureClicked(self, checked: bool = False) -> None:
        """Shows slices as drawn and as the model has them."""
        openPath(self.model / "check.png")

    def onFilesClicked(self, checked: bool = False) -> None:
        """Shows the folder of the model."""
        openPath(self.model)

    def onEvent(self, event: dict) -> None:
        """A point of a curve goes into the plot."""
        if event["event"] == "metric" and event["value"] is not None:
            self.plot.add(event["series"], event["step"], event["value"])
            self.enable(self.ui.plotButton, "")

    def onFinished(self, summary: dict) -> None:
        """The model is ready, and chosen to segment with."""
        self.model = Path(summary["model"])
        self.window.settings.model = str(self.model)
        self.ui.resultLabel.text = report(summary)
        self.ui.nameEdit.text = ""
        self.window.updateSoon()

    def _train(self, createJob) -> None:
        self.plot.clear()
        self.model = None
        self.ui.resultLabel.text = ""
        self._run(createJob, onEvent=self.onEvent, onFinished=self.onFinished)

    def _run(self, createJob, **callbacks) -> None:
        def create():
            ensureDependencies()
            return createJob()

        self.window.jobRunner.run(create, self.ui.jobPlace, **callbacks)
        self.update()

    def _cohort(self) -> Path:
        return Path(self.window.settings.cohortFolder)

    def _settings(self) -> dict:
        return {
            "method": self.ui.methodBox.currentData,
            "preset": self.ui.presetBox.currentData,
            "validation": self.ui.asideBox.value,
            "device": self.window.settings.device,
            **self.moreSettings,
        }

    def _cohortObstacle(self) -> str:
        if any(row.state in (DRAWN, PROPAGATED, COMPLETE) for row in self.window.cohortRows()):
            return ""
        return _("Add at least one case with a drawing to the cohort first (step 4).")

    def _methodObstacle(self) -> str:
        incomplete = [row.name for row in self.window.cohortRows() if row.state in (DRAWN, PROPAGATED)]
        if self.ui.methodBox.currentData == "full" and incomplete:
            return _("Case {case} is not drawn on all slices: learn from the drawn slices and the volumes.").format(
                case=incomplete[0]
            )
        return ""

    def _nameObstacle(self) -> str:
        name = self.ui.nameEdit.text.strip()
        try:
            check_case_name(name)
        except InputError as error:
            return _("The model needs a name that can be a file name.") + " " + error.advice
        if self._isTaken(name):
            return _("There is a model or an unfinished training of this name: choose another name.")
        return ""

    def _freeName(self) -> str:
        """A name for the next model: that of the cohort's folder, with a number if it is taken."""
        name = self._cohort().name or _("model")
        names = (name if number == 1 else f"{name} {number}" for number in range(1, 10000))
        return next(free for free in names if not self._isTaken(free))

    def _isTaken(self, name: str) -> bool:
        """Whether there is a model or an unfinished training of this name."""
        return (self.folder / name).exists() or (self.folder / f"{name}{SUFFIX}").exists()

    def _isTraining(self) -> bool:
        return isinstance(self.window.jobRunner.job, TrainingJob)

    def _unfinished(self) -> list[Path]:
        """The trainings to go on with; not the one that is running."""
        return [] if self._isTraining() else unfinishedTrainings(self.folder)

    def _showUnfinished(self) -> None:
        unfinished, box = self._unfinished(), self.ui.unfinishedBox
        self.ui.unfinishedWidget.visible = bool(unfinished)
        if [box.itemData(row) for row in range(box.count)] != [str(path) for path in unfinished]:
            box.clear()
            for path in unfinished:
                box.addItem(path.name, str(path))

    def _showResult(self) -> None:
        nothing = "" if self.model else _("They are there when a training has ended.")
        self.enable(self.ui.filesButton, nothing)
        hasPicture = self.model and (self.model / "check.png").is_file()
        none = _("There are no pictures: the Python package matplotlib is missing.")
        self.enable(self.ui.pictureButton, nothing or ("" if hasPicture else none))
