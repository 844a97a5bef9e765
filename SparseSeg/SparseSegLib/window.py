"""The window: its panels, and what they share."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from sparseseg_trainer.errors import InputError

from .cohortTable import CaseRow, readTable
from .jobRunner import JobRunner
from .machineSettings import MachineSettings
from .nodeChecks import checkVolume
from .panels.cohortPanel import CohortPanel
from .panels.computerPanel import ComputerPanel
from .panels.drawPanel import DrawPanel
from .panels.propagatePanel import PropagatePanel
from .panels.segmentPanel import SegmentPanel
from .panels.trainPanel import TrainPanel
from .panels.volumePanel import VolumePanel
from .parameterNode import CaseParameters, SceneParameters, caseOf
from .sliceStates import SliceStates

PANELS = (VolumePanel, DrawPanel, PropagatePanel, CohortPanel, TrainPanel, SegmentPanel, ComputerPanel)
DELAY = 150  # ms after a change of the scene until the panels follow, once for all changes of a stroke


class Window(VTKObservationMixin):
    """All panels in their order, and what they share.

    ``parameters`` are the scene's, None while a scene closes. ``case`` has what is known of the chosen volume and
    ``sliceStates`` what is drawn on it; ``case`` is None, and ``volumeObstacle`` says why, if there is no volume that
    can be worked on. ``editor`` is the segment editor, whose Undo takes results back. After a change of the scene,
    ``updateSoon`` lets the panels follow.
    """

    def __init__(self, layout, logic):
        VTKObservationMixin.__init__(self)
        self.logic = logic
        self.settings = MachineSettings()
        self.parameters: SceneParameters | None = None
        self.case: CaseParameters | None = None
        self.volumeObstacle = ""
        self.sliceStates = SliceStates()
        self._isEntered = False
        self._drawingChanged = True
        self._volumeNode = self._segmentationNode = None
        self._timer = qt.QTimer()
        self._timer.singleShot = True
        self._timer.interval = DELAY
        self._timer.connect("timeout()", self.update)
        self.jobRunner = JobRunner(self.updateSoon)
        self.editor = None
        self.panels = [panel(self) for panel in PANELS]
        for panel in self.panels:
            layout.addWidget(panel.widget)
        layout.addStretch(1)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.connectScene)
        self.connectScene()

    def connectScene(self, caller=None, event=None) -> None:
        """Takes the scene's parameters, creating them in a new scene, and shows them."""
        self._release()
        self.parameters = self.logic.getParameterNode()
        if self.parameters.volume is None:
            self.parameters.volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        self.addObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateSoon)
        for panel in self.panels:
            panel.sceneChanged()
        self.update()

    def chooseVolume(self, volumeNode) -> CaseParameters | None:
        """Makes the volume the one that is worked on, and returns its case (None if it cannot be worked on)."""
        self.parameters.volume = volumeNode
        self.update()
        return self.case

    def cohortRows(self) -> list[CaseRow]:
        """The cases of the chosen cohort; none if its table cannot be read, as the cohort's panel then says."""
        try:
            return readTable(Path(self.settings.cohortFolder)) if self.settings.cohortFolder else []
        except InputError:
            return []

    def saveStateForUndo(self, segmentationNode) -> None:
        """Lets the editor's Undo come back to this state, unless it has turned to another segmentation meanwhile."""
        if self.editor.segmentationNode() == segmentationNode:  # else the editor has forgotten its history of it
            self.editor.saveStateForUndo()

    def update(self) -> None:
        """Shows the present state in all panels."""
        if self.parameters is None:
            return
        self._timer.stop()
        self._followVolume()
        self._followCase()
        self._followSegmentation()
        if self._drawingChanged:
            self.sliceStates = SliceStates.of(self.case)
            self._drawingChanged = False
        for panel in self.panels:
            panel.update()

    def onVolumeModified(self, caller=None, event=None) -> None:
        """The chosen volume has other voxels, or lies elsewhere."""
        self.updateSoon()

    def onCaseModified(self, caller=None, event=None) -> None:
        """The case's parameters have changed."""
        self.updateSoon()

    def updateSoon(self, caller=None, event=None) -> None:
        """Updates the panels a moment later, once for many changes; nobody sees them while another module is open."""
        if self._isEntered:
            self._timer.start()

    def enter(self) -> None:
        """The user has opened the module."""
        self._isEntered = True
        for panel in self.panels:
            panel.enter()
        self.update()

    def exit(self) -> None:
        """The user leaves the module."""
        self._isEntered = False
        for panel in self.panels:
            panel.exit()

    def mayStop(self) -> bool:
        """Whether no job runs, or the user agrees that it ends."""
        return not self.jobRunner.isRunning() or slicer.util.confirmOkCancelDisplay(
            _("A job is running. It will be stopped."), _("SparseSeg")
        )

    def cleanup(self) -> None:
        """The window is going away: nothing of it may stay connected, and no job go on without it."""
        self._release()
        self.removeObservers()
        self._timer.stop()
        self._timer.disconnect("timeout()", self.update)
        self.jobRunner.cleanup()
        for panel in self.panels:
            panel.cleanup()

    def onSceneStartClose(self, caller=None, event=None) -> None:
        """Lets go of all nodes; a job whose result belongs into the scene ends."""
        if self.jobRunner.isRunning() and self.jobRunner.job.belongsToScene:
            self.jobRunner.stop(_("Stopped, because the scene was closed."))
        self._release()

    def onDrawingModified(self, caller=None, event=None) -> None:
        """Something was drawn, added or removed in the segmentation."""
        self._drawingChanged = True
        self.updateSoon()

    def _followVolume(self) -> None:
        """Observes the chosen volume, and says whether it can be worked on."""
        volumeNode = self.parameters.volume
        self.volumeObstacle = obstacleOf(volumeNode)
        if volumeNode != self._volumeNode:
            self.removeObservers(self.onVolumeModified)
            self._volumeNode = volumeNode
            if volumeNode:
                self.addObserver(volumeNode, volumeNode.TransformModifiedEvent, self.onVolumeModified)
                self.addObserver(volumeNode, vtk.vtkCommand.ModifiedEvent, self.onVolumeModified)

    def _followCase(self) -> None:
        """Makes ``case`` that of the chosen volume; a volume that was not worked on before gets one."""
        volumeNode = None if self.volumeObstacle else self.parameters.volume
        if bool(self.case) == bool(volumeNode) and (self.case and self.case.volume) == volumeNode:
            return
        self.removeObservers(self.onCaseModified)
        self.case = caseOf(volumeNode) if volumeNode else None
        if self.case:
            self.addObserver(self.case.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onCaseModified)
        self._drawingChanged = True
        for panel in self.panels:
            panel.caseChanged()

    def _followSegmentation(self) -> None:
        """Observes what is drawn in the case's segmentation."""
        segmentationNode = self.case and self.case.segmentation
        if segmentationNode == self._segmentationNode:
            return
        self.removeObservers(self.onDrawingModified)
        self._segmentationNode = segmentationNode
        self._drawingChanged = True
        if segmentationNode:
            segmentation = segmentationNode.GetSegmentation()
            for event in (
                segmentation.SegmentAdded,
                segmentation.SegmentRemoved,
                segmentation.SegmentModified,
                segmentation.SourceRepresentationModified,
            ):
                self.addObserver(segmentation, event, self.onDrawingModified)

    def _release(self) -> None:
        for method in (self.updateSoon, self.onVolumeModified, self.onCaseModified, self.onDrawingModified):
            self.removeObservers(method)
        self.parameters = self.case = self._volumeNode = self._segmentationNode = None
        for panel in self.panels:
            panel.sceneChanged()
            panel.caseChanged()


def obstacleOf(volumeNode) -> str:
    """Why the volume cannot be worked on and what to do; empty if it can."""
    try:
        checkVolume(volumeNode)
    except InputError as error:
        return str(error)
    return ""
