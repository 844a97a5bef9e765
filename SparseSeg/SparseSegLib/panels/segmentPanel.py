"""Step 6: segmenting with a trained model, and exporting what was found."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import ctk
import qt
from slicer.i18n import tr as _

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.errors import InputError

from ..cohortTable import latestResults
from ..dependencies import ensureDependencies
from ..exportDialog import askAndExport, exportObstacle
from ..fileDialogs import askFile, askNewFile
from ..models import StoredModel, card, exportModel, importModel, listModels, modelsFolder
from ..parameterNode import CaseParameters
from ..segmenting import CohortSegmentJob, EvaluateJob, NewSegments, SegmentJob, isReference
from ..segments import segmentsOf
from ..segmentVolumes import segmentVolumes
from ..userInterface import openPath
from .panel import Panel

MODEL_FILTER = "(*.sparseseg)"
REPORT = "evaluation/report.html"


class SegmentPanel(Panel):
    """Chooses a model, applies it to the volume or to the cohort, and exports."""

    uiName = "segmentPanel"

    def __init__(self, window):
        super().__init__(window)
        self.models: list[StoredModel] = []
        self._listed = None
        self._card = None
        table = self.ui.volumeTable
        table.columnCount = 2
        table.setHorizontalHeaderLabels([_("Segment"), _("Volume (ml)")])
        table.verticalHeader().visible = False
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        table.visible = False
        self.ui.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.folderEdit.currentPath = str(self.folder)
        self.ui.folderEdit.connect("currentPathChanged(QString)", self.onFolderChanged)
        self.ui.modelBox.connect("activated(int)", self.onModelChosen)
        self.connectButtons("import", "exportModel", "segment", "segmentCohort", "report", "export")

    @property
    def folder(self) -> Path:
        """The folder of all models."""
        return modelsFolder(self.window.settings.modelFolder)

    @property
    def model(self) -> Path | None:
        """The model that is chosen."""
        path = Path(self.window.settings.model)
        return next((model.path for model in self.models if model.path == path), None)

    def obstacle(self) -> str:
        return "" if self.model else _("Train a model first (step 5), or import one.")

    def instruction(self) -> str:
        return _("Read what the model is for, then segment. Check every result before you rely on it.")

    def enter(self) -> None:
        self._listed = None

    def update(self) -> None:
        self._list()
        super().update()
        self._showCard()
        busy = self.window.jobRunner.obstacle()
        obstacle = self.obstacle() or busy
        self.enable(self.ui.segmentButton, obstacle or self.window.volumeObstacle)
        empty = "" if self.window.cohortRows() else _("Add cases to the cohort first (step 4).")
        self.enable(self.ui.segmentCohortButton, obstacle or empty)
        self.enable(self.ui.exportModelButton, self.obstacle())
        self.enable(self.ui.exportButton, busy or exportObstacle(self.window))
        report = self._report()
        self.enable(
            self.ui.reportButton,
            "" if report else _("There is a report when a cohort with a case drawn on all slices has been segmented."),
        )

    def onFolderChanged(self, path: str) -> None:
        """Other models are there."""
        self.window.settings.modelFolder = path
        self._listed = None
        self.window.update()

    def onModelChosen(self, index: int) -> None:
        """Another model is to be used."""
        self.window.settings.model = self.ui.modelBox.itemData(index)
        self.window.update()

    def onImportClicked(self, checked: bool = False) -> None:
        """Adds a model from a file, and chooses it."""
        file = askFile(_("Import a model"), _("SparseSeg models") + " " + MODEL_FILTER)
        if file:
            self._say(lambda: self._import(file))

    def onExportModelClicked(self, checked: bool = False) -> None:
        """Writes the chosen model as one file."""
        name = self.model.name.removesuffix(".sparseseg")
        file = askNewFile(_("Export the model"), [_("SparseSeg models") + " " + MODEL_FILTER], f"{name}.sparseseg")
        if file:
            self._say(lambda: self._exportModel(_withSuffix(file, ".sparseseg")))

    def onSegmentClicked(self, checked: bool = False) -> None:
        """Segments the volume; the result goes to this case even if another one is chosen meanwhile."""
        case, model = self.window.case, self.model
        self.window.jobRunner.run(
            lambda: self._createJob(case, model),
            self.ui.jobPlace,
            onFinished=lambda found: self.onSegmented(case, found),
        )

    def onSegmented(self, case: CaseParameters, found: NewSegments) -> None:
        """The segments are there: shows how large they are."""
        if case.segmentation is None:
            case.segmentation = found.segmentationNode
        self._showVolumes(case, found)
        self.window.updateSoon()

    def onSegmentCohortClicked(self, checked: bool = False) -> None:
        """Segments all cases, and then compares the results with the completely drawn ones, if there are any."""
        model, folder = self.model, self._cohort()

        def create() -> CohortSegmentJob:
            ensureDependencies()
            return CohortSegmentJob(folder, model, settings=self._settings())

        self.window.jobRunner.run(
            create, self.ui.jobPlace, onFinished=lambda summary: self.onCohortSegmented(folder, summary)
        )

    def onCohortSegmented(self, folder: Path, summary: dict) -> None:
        """Says what has become of the cases; compares the results where that is possible."""
        lines = [_("{n} cases were segmented, into {folder}.").format(n=summary["cases"], folder=summary["out"])]
        lines += [f"{failure['message']} {failure['advice']}" for failure in summary["failed"]]
        self.ui.messageLabel.text = "\n".join(lines)
        if any(map(isReference, read_cohort(folder).cases)):
            self.window.jobRunner.run(
                lambda: EvaluateJob(folder, Path(summary["out"])), self.ui.jobPlace, onFinished=self.onEvaluated
            )

    def onEvaluated(self, result: dict) -> None:
        """Says how well the results agree with the drawings."""
        self.ui.messageLabel.text += "\n" + _(
            "Mean Dice on {n} cases that are drawn on all slices: {dice:.3f}."
        ).format(n=result["cases"], dice=result["mean"]["dice"])
        self.window.updateSoon()

    def onReportClicked(self, checked: bool = False) -> None:
        """Opens the comparison."""
        openPath(self._report())

    def onExportClicked(self, checked: bool = False) -> None:
        """Writes the segmentation of this volume as a file."""
        askAndExport(self.window, self.ui.jobPlace, self._say)

    def _createJob(self, case: CaseParameters, model: Path) -> SegmentJob:
        ensureDependencies()
        segmentation = case.segmentation
        return SegmentJob(
            case.volume,
            model,
            segmentation,
            axis=case.axis,
            settings=self._settings(),
            saveStateForUndo=partial(self.window.saveStateForUndo, segmentation) if segmentation else None,
        )

    def _import(self, file: Path) -> str:
        path = importModel(file, self.folder)
        self.window.settings.model = str(path)
        return _("{name} can be used now.").format(name=path.stem)

    def _exportModel(self, file: Path) -> str:
        exportModel(self.model, file)
        return _("The model is in {path}.").format(path=file)

    def _say(self, work) -> None:
        """Does the work and shows what it says, or why it was refused."""
        try:
            message = work()
        except InputError as error:
            message = str(error)
        self.ui.messageLabel.text = message
        self._listed = None
        self.window.update()

    def _settings(self) -> dict:
        return {"device": self.window.settings.device}

    def _cohort(self) -> Path:
        return Path(self.window.settings.cohortFolder)

    def _report(self) -> Path | None:
        results = latestResults(self._cohort()) if self.window.settings.cohortFolder else None
        return results / REPORT if results and (results / REPORT).is_file() else None

    def _list(self) -> None:
        """Lists the models, if the folder or the choice has changed since."""
        wanted = (self.folder, self.window.settings.model)
        if wanted == self._listed:
            return
        self.models = listModels(self.folder)
        if self.models and self.model is None:
            self.window.settings.model = str(self.models[0].path)
        self._listed = (self.folder, self.window.settings.model)
        box = self.ui.modelBox
        box.clear()
        for model in self.models:
            box.addItem(model.name, str(model.path))
        box.currentIndex = box.findData(self.window.settings.model)

    def _showCard(self) -> None:
        if self._card != self.model:
            self._card = self.model
            self.ui.cardBrowser.setMarkdown(card(self.model) if self.model else "")

    def _showVolumes(self, case: CaseParameters, found: NewSegments) -> None:
        table = self.ui.volumeTable
        volumes = segmentVolumes(found.segmentationNode, found.segmentIds, case.volume)
        table.rowCount = len(found.segmentIds)
        segments = segmentsOf(found.segmentationNode, found.segmentIds)
        for row, (segmentId, segment) in enumerate(zip(found.segmentIds, segments, strict=True)):
            table.setItem(row, 0, qt.QTableWidgetItem(segment.GetName()))
            table.setItem(row, 1, qt.QTableWidgetItem(f"{volumes[segmentId]:.2f}"))
        table.visible = True


def _withSuffix(path: Path, suffix: str) -> Path:
    return path if path.suffix == suffix else path.with_name(path.name + suffix)
