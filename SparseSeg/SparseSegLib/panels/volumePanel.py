"""Step 1: the volume, its slice axis, and the slice to draw on."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

from sparseseg_trainer.slices import slice_axis

from ..parameterNode import UNMARKED, sliceCount
from ..segments import segmentationFor
from ..sliceStrip import SliceStrip, describe
from ..sliceView import goToSlice, shownSlice, showSlice, sliceNode
from ..volumeFiles import geometryOf
from .panel import Panel, fill


class VolumePanel(Panel):
    """Chooses the volume, shows the slice to draw on, and keeps the slice strip."""

    uiName = "volumePanel"

    def __init__(self, window):
        super().__init__(window)
        self._updating = False
        self.strip = SliceStrip(self.ui.strip, self.goTo)
        self.ui.volumeSelector.setMRMLScene(slicer.mrmlScene)
        self.ui.axisSelector.connect("currentIndexChanged(int)", self.onAxisChanged)
        self.ui.sliceSpinBox.connect("valueChanged(int)", self.onSliceChanged)
        self.connectButtons("file", "dicom", "show")

    def obstacle(self) -> str:
        return self.window.volumeObstacle

    def instruction(self) -> str:
        if self.window.case.segmentation is None:
            return _("Choose the slice that shows the structure best, and show it.")
        return _("Click a cell to go to its slice.")

    def sceneChanged(self) -> None:
        super().sceneChanged()
        self.window.removeObservers(self.onViewModified)
        if self.window.parameters and sliceNode():
            self.window.addObserver(sliceNode(), vtk.vtkCommand.ModifiedEvent, self.onViewModified)

    def update(self) -> None:
        super().update()
        case = self.window.case
        self.ui.strip.visible = self.ui.sliceStateLabel.visible = bool(case)
        if not case:
            return
        self._updating = True
        self._showAxes()
        self.ui.sliceSpinBox.maximum = sliceCount(case.volume, case.axis) - 1
        self.ui.sliceSpinBox.value = case.centralSlice
        self._updating = False
        self.strip.update(case, self.window.sliceStates)
        self.onViewModified()

    def _showAxes(self) -> None:
        case, selector = self.window.case, self.ui.axisSelector
        proposed = slice_axis(geometryOf(case.volume))
        entries = []
        for axis, letter in enumerate("ijk"):
            text = _("{axis}: {n} slices of {mm:.3g} mm").format(
                axis=letter, n=sliceCount(case.volume, axis), mm=case.volume.GetSpacing()[axis]
            )
            entries.append((_("{text} (proposed)").format(text=text) if axis == proposed else text, axis))
        fill(selector, entries)
        selector.currentIndex = case.axis
        states = self.window.sliceStates
        isPropagated = bool(set(states.filled) - set(states.drawn))
        obstacle = _("The result goes along this axis: undo it first (step 2).") if isPropagated else ""
        job = self.window.jobRunner.job
        if job and job.belongsToScene:  # its result will go along the axis that it was started with
            obstacle = self.window.jobRunner.obstacle()
        self.enable(selector, obstacle)

    def goTo(self, index: int) -> None:
        """Shows another slice in the view, which is turned first if it cuts through several."""
        case = self.window.case
        if index >= sliceCount(case.volume, case.axis):
            return
        if shownSlice(case.volume, case.axis) is None:
            showSlice(case.volume, case.axis, index)
        else:
            goToSlice(case.volume, case.axis, index)

    def onFileClicked(self, checked: bool = False) -> None:
        """Lets the user load a volume, and chooses it."""
        before = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        slicer.util.openAddVolumeDialog()
        loaded = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node not in before]
        if loaded:
            self.window.chooseVolume(loaded[0])

    def onDicomClicked(self, checked: bool = False) -> None:
        """Goes where DICOM is imported and loaded."""
        slicer.util.selectModule("DICOM")

    def onAxisChanged(self, axis: int) -> None:
        """Another slice axis: what was marked along the old one does not hold along it."""
        case = self.window.case
        if self._updating or not case:
            return
        with slicer.util.NodeModify(case):
            case.axis = axis
            case.centralSlice = sliceCount(case.volume, axis) // 2
            case.firstSlice = case.lastSlice = UNMARKED
            case.confidence = []
        self.window.onDrawingModified()

    def onSliceChanged(self, index: int) -> None:
        """Another slice to draw on."""
        if not self._updating and self.window.case:
            self.window.case.centralSlice = index

    def onShowClicked(self, checked: bool = False) -> None:
        """Shows the slice to draw on, with a segmentation to draw in."""
        case = self.window.case
        if case.segmentation is None:
            case.segmentation = segmentationFor(case.volume)
        showSlice(case.volume, case.axis, case.centralSlice)
        self.window.update()

    def onViewModified(self, caller=None, event=None) -> None:
        """The view shows another slice: follows in the strip and in words."""
        case, states = self.window.case, self.window.sliceStates
        if case and states.count == sliceCount(case.volume, case.axis):
            index = shownSlice(case.volume, case.axis)
            self.strip.setCurrent(index)
            self.ui.sliceStateLabel.text = describe(case, states, index) if index is not None else ""
