"""Step 4: the cohort, a table of cases to train on and to segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ctk
import slicer
from slicer.i18n import tr as _

from sparseseg_trainer.errors import InputError

from ..caseTable import CaseTable
from ..cohortFolder import addFiles, addSeries, labelsIn, removeCase
from ..cohortPropagation import CohortPropagationJob
from ..cohortTable import COMPLETE, DRAWN, FAILED, PROPAGATED, CaseRow, readTable
from ..dependencies import ensureDependencies
from ..dicomSeries import askSeries, hasDatabase
from ..fileDialogs import askFiles, askFolder
from ..nodeChecks import checkVolume
from ..parameterNode import UNMARKED, CaseParameters
from ..sceneCases import OpenedCase, addCase, addVolume, openCase, openedName
from .panel import Panel

FILTER = "(*.nrrd *.nii *.nii.gz *.mha *.mhd)"


class CohortPanel(Panel):
    """Keeps the table of cases, which the folder of the cohort holds."""

    uiName = "cohortPanel"

    def __init__(self, window):
        super().__init__(window)
        self.rows: list[CaseRow] = []
        self._problem = ""
        self.table = CaseTable(self.ui.caseTable)
        self.ui.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.folderEdit.currentPath = window.settings.cohortFolder
        self.ui.folderEdit.connect("currentPathChanged(QString)", self.onFolderChanged)
        self.ui.caseTable.connect("itemSelectionChanged()", self.onSelectionChanged)
        self.ui.caseTable.connect("cellDoubleClicked(int,int)", self.onOpenClicked)
        self.connectButtons("addCurrent", "addFiles", "addFolder", "addDicom", "addLoaded", "open", "remove")
        self.connectButtons("propagateCohort")

    @property
    def folder(self) -> Path:
        """The folder of the cohort; only meaningful without an ``obstacle``."""
        return Path(self.window.settings.cohortFolder)

    def obstacle(self) -> str:
        if not self.window.settings.cohortFolder:
            return _("Choose a folder for the cohort.")
        return self._problem

    def instruction(self) -> str:
        if not self.rows:
            return _("Add the volume that you have drawn on, and others, to train a model from them.")
        drawn = sum(row.state in (DRAWN, PROPAGATED, COMPLETE) for row in self.rows)
        return _("{n} cases, {drawn} of them drawn on. Add more, propagate all, or train a model (step 5).").format(
            n=len(self.rows), drawn=drawn
        )

    def update(self) -> None:
        self._read()
        self.table.show(self.rows)
        super().update()
        case, selected = self.window.case, self.table.selected()
        states = self.window.sliceStates
        obstacle = self.obstacle()
        drawing = obstacle or self.window.volumeObstacle or states.obstacle
        if not drawing and not states.drawn:
            drawing = _("Draw the structure on one slice first (step 2).")
        saved = case and not self.obstacle() and openedName(self.folder, case.volume)
        self.ui.addCurrentButton.text = _("Save changes") if saved else _("Add current case")
        self.enable(self.ui.addCurrentButton, drawing)
        self.enable(self.ui.completeBox, drawing)
        noDatabase = _("Slicer's DICOM database is not open: open the DICOM module first.")
        self.enable(self.ui.addFilesButton, obstacle)
        self.enable(self.ui.addFolderButton, obstacle)
        self.enable(self.ui.addDicomButton, obstacle or ("" if hasDatabase() else noDatabase))
        noVolume = "" if self._loaded() else _("There is no loaded volume that is not in the cohort yet.")
        self.enable(self.ui.addLoadedButton, obstacle or noVolume)
        nothing = obstacle or ("" if selected else _("Select a case in the table first."))
        self.enable(self.ui.openButton, nothing or (selected.problem if selected.state == FAILED else ""))
        self.enable(self.ui.removeButton, nothing)
        undrawn = "" if self._drawn() else _("There is no case yet that is drawn on some of its slices.")
        self.enable(self.ui.propagateCohortButton, obstacle or undrawn or self.window.jobRunner.obstacle())

    def onFolderChanged(self, path: str) -> None:
        """Another cohort; its table is read at once."""
        self.window.settings.cohortFolder = path
        self.ui.messageLabel.text = ""
        self.window.update()

    def onSelectionChanged(self) -> None:
        """Another case is selected: other buttons may be used."""
        self.window.updateSoon()

    def onAddCurrentClicked(self, checked: bool = False) -> None:
        """Adds the volume worked on, or saves it again."""
        case = self.window.case

        def add() -> str:
            known = {label.name.casefold() for label in labelsIn(self.folder)}
            name = addCase(self.folder, case.volume, case.segmentation, **self._drawing(case))
            new = [label.name for label in labelsIn(self.folder) if label.name.casefold() not in known]
            if known and new and len(readTable(self.folder)) > 1:
                return _(
                    "{case} is in the cohort. Its structure {names} is new there: on annotated slices of other cases "
                    "it counts as absent until you draw it."
                ).format(case=name, names=", ".join(new))
            return _("{case} is in the cohort.").format(case=name)

        if not openedName(self.folder, case.volume) or slicer.util.confirmOkCancelDisplay(
            _("Replace what the cohort has drawn on this case?"), _("SparseSeg")
        ):
            self._do(add)

    def onAddFilesClicked(self, checked: bool = False) -> None:
        """Adds image files."""
        self._addPaths(askFiles(_("Add volumes to the cohort"), _("Volumes") + " " + FILTER))

    def onAddFolderClicked(self, checked: bool = False) -> None:
        """Adds the image files of a folder, or the DICOM series in it."""
        folder = askFolder(_("Add a folder of volumes, or of one DICOM series"))
        self._addPaths([folder] if folder else [])

    def onAddDicomClicked(self, checked: bool = False) -> None:
        """Adds series of the DICOM database."""
        self._addAll(
            [lambda series=series: addSeries(self.folder, series.name, series.files) for series in askSeries()]
        )

    def onAddLoadedClicked(self, checked: bool = False) -> None:
        """Adds the loaded volumes."""
        self._addAll([lambda node=node: addVolume(self.folder, node) for node in self._loaded()])

    def onOpenClicked(self, *arguments) -> None:
        """Brings the selected case into the scene, and chooses it."""
        selected = self.table.selected()
        if selected and selected.state != FAILED:
            self._do(lambda: self._open(selected.name))

    def onRemoveClicked(self, checked: bool = False) -> None:
        """Takes the selected case out of the table."""
        name = self.table.selected().name

        def remove() -> str:
            removeCase(self.folder, name)
            return _("{case} is no longer in the table; its files are still in the folder.").format(case=name)

        self._do(remove)

    def onPropagateCohortClicked(self, checked: bool = False) -> None:
        """Segments all slices of all cases that are drawn on; those that are open keep what the scene has."""
        folder, settings = self.folder, {"device": self.window.settings.device}

        def create() -> CohortPropagationJob:
            ensureDependencies()
            return CohortPropagationJob(folder, settings=settings)

        self.window.jobRunner.run(create, self.ui.jobPlace, onFinished=self.onCohortPropagated)

    def onCohortPropagated(self, found: dict) -> None:
        """Says what has become of the cases."""
        said = _(
            "{n} cases were propagated. Open one to look at it and to correct it; if it is open, close its "
            "volume before."
        ).format(n=len(found["cases"]))
        self._do(lambda: "\n".join([said, *found["failed"]]))

    def _drawn(self) -> bool:
        """Whether there is a case to propagate."""
        return any(row.state in (DRAWN, PROPAGATED) for row in self.rows)

    def _open(self, name: str) -> str:
        opened = openCase(self.folder, name)
        case = self.window.chooseVolume(opened.volumeNode)
        if case is None:
            return self.window.volumeObstacle
        _setCase(case, opened)
        return _("{case} is open. Correct it as you like, then save the changes here.").format(case=name)

    def _drawing(self, case: CaseParameters) -> dict:
        """What the window knows of the case, as ``addCase`` wants it."""
        return {
            "axis": case.axis,
            "segmentIds": [case.segment] if case.segment else (),
            "complete": self.ui.completeBox.checked,
            "first_slice": None if case.firstSlice == UNMARKED else case.firstSlice,
            "last_slice": None if case.lastSlice == UNMARKED else case.lastSlice,
            "reaches_first": case.reachesFirst,
            "reaches_last": case.reachesLast,
        }

    def _addPaths(self, paths: list[Path]) -> None:
        def add() -> str:
            added, refused = addFiles(self.folder, paths)
            return _report(added, refused)

        if paths:
            self._do(add)

    def _addAll(self, additions: list[Callable[[], str]]) -> None:
        """Makes all ``additions``: one that is refused does not stop the others."""
        added, refused = [], []
        for addition in additions:
            try:
                added.append(addition())
            except InputError as error:
                refused.append(error)
        if added or refused:
            self._do(lambda: _report(added, refused))

    def _do(self, change: Callable[[], str]) -> None:
        """Makes a change of the cohort and says what has become of it, or why it was refused."""
        try:
            message = change()
        except InputError as error:
            message = str(error)
        self.ui.messageLabel.text = message
        self.window.update()

    def _loaded(self) -> list:
        """The loaded volumes that could be added."""
        found = []
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node.IsA("vtkMRMLLabelMapVolumeNode") or self.obstacle() or openedName(self.folder, node):
                continue
            try:
                checkVolume(node)
            except InputError:
                continue
            found.append(node)
        return found

    def _read(self) -> None:
        self.rows, self._problem = [], ""
        if self.window.settings.cohortFolder:
            try:
                self.rows = readTable(self.folder)
            except InputError as error:
                self._problem = str(error)


def _report(added: list[str], refused: list[InputError]) -> str:
    """What was added, and why the rest was not."""
    lines = [_("Added: {names}.").format(names=", ".join(added))] if added else []
    return "\n".join([*lines, *map(str, refused)])


def _setCase(case: CaseParameters, opened: OpenedCase) -> None:
    """Tells the window what the table of the cohort knows of a case."""
    known = opened.case
    with slicer.util.NodeModify(case.parameterNode):
        case.segmentation = opened.segmentationNode
        case.axis = case.axis if known.axis is None else known.axis
        case.firstSlice = UNMARKED if known.first_slice is None else known.first_slice
        case.lastSlice = UNMARKED if known.last_slice is None else known.last_slice
        case.reachesFirst, case.reachesLast = known.reaches_first, known.reaches_last
        if known.annotated_slices:
            case.centralSlice = known.annotated_slices[len(known.annotated_slices) // 2]
