"""Step 2: drawing with the embedded segment editor, and marking where the structure starts and ends."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from ..parameterNode import UNMARKED
from ..sliceView import shownSlice
from .panel import Panel

EFFECTS = ["Paint", "Draw", "Erase", "Level tracing", "Threshold", "Scissors", "Smoothing"]  # those for one slice
UNDO_STATES = 10
EDITOR = "SparseSeg"  # singleton tag: the editor's choices here are not those of the Segment Editor module


class DrawPanel(Panel):
    """Draws on slices. What is drawn, or corrected later, is known from the segments themselves."""

    uiName = "drawPanel"

    def __init__(self, window):
        super().__init__(window)
        self._updating = False
        self.editor = window.editor = self.ui.segmentEditor
        self.editor.setMaximumNumberOfUndoStates(UNDO_STATES)
        self.editor.setEffectNameOrder(EFFECTS)
        self.editor.unorderedEffectsVisible = False
        self.editor.sourceVolumeNodeSelectorVisible = False
        self.editor.switchToSegmentationsButtonVisible = False
        self.editor.specifyGeometryButtonVisible = False
        self.editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", self.onSegmentationChanged)
        self.connectButtons("first", "last")
        self.ui.reachesFirstCheckBox.connect("toggled(bool)", self.onReachesFirstToggled)
        self.ui.reachesLastCheckBox.connect("toggled(bool)", self.onReachesLastToggled)

    def obstacle(self) -> str:
        if self.window.volumeObstacle:
            return self.window.volumeObstacle
        if self.window.case.segmentation is None:
            return _("Choose a volume and show the slice to draw on first (step 1).")
        return ""

    def instruction(self) -> str:
        states = self.window.sliceStates
        if states.obstacle:
            return states.obstacle
        if not states.drawn:
            return _(
                "Draw each structure on this slice, a segment each. Double-click a segment's color to say what it is."
            )
        return _("Annotated: {slices}. Correct any slice, and it counts as annotated too.").format(
            slices=", ".join(map(str, states.drawn))
        )

    def sceneChanged(self) -> None:
        super().sceneChanged()
        if self.window.parameters is None:
            self._updating = True
            self.editor.setActiveEffect(None)
            self.editor.setSegmentationNode(None)
            self.editor.removeViewObservations()
            self._updating = False
            return
        node = slicer.mrmlScene.GetSingletonNode(EDITOR, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(EDITOR)
            node = slicer.mrmlScene.AddNode(node)
        # The node comes before the scene: otherwise the editor would make one of its own.
        self.editor.setMRMLSegmentEditorNode(node)
        self.editor.setMRMLScene(slicer.mrmlScene)

    def update(self) -> None:
        super().update()
        case = self.window.case
        if not case:
            return
        self._updating = True
        if self.editor.segmentationNode() != case.segmentation:
            self.editor.setSegmentationNode(case.segmentation)
        if self.editor.sourceVolumeNode() != case.volume:
            self.editor.setSourceVolumeNode(case.volume)
        self.ui.reachesFirstCheckBox.checked = case.reachesFirst
        self.ui.reachesLastCheckBox.checked = case.reachesLast
        self._updating = False
        self._showEnd(self.ui.firstButton, _("First slice"), case.firstSlice)
        self._showEnd(self.ui.lastButton, _("Last slice"), case.lastSlice)
        marked = _("The end is marked: click its button again on the same slice to take the mark away.")
        self.enable(self.ui.reachesFirstCheckBox, marked if case.firstSlice != UNMARKED else "")
        self.enable(self.ui.reachesLastCheckBox, marked if case.lastSlice != UNMARKED else "")
        isMarked = UNMARKED not in (case.firstSlice, case.lastSlice)
        self.ui.endsHint.visible = not isMarked
        self.ui.endsHint.text = _(
            "Go to the first slice that shows the structure and click “First slice”; the same for the last one. These "
            "two clicks make the result better."
        )

    def enter(self) -> None:
        self.editor.updateEffectList()  # some may have been registered since, if this is Slicer's startup module
        self.editor.setupViewObservations()
        self.editor.installKeyboardShortcuts()

    def exit(self) -> None:
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()

    def cleanup(self) -> None:
        self.exit()

    def onSegmentationChanged(self, segmentationNode) -> None:
        """The user has chosen or created another segmentation in the editor."""
        if not self._updating and self.window.case:
            self.window.case.segmentation = segmentationNode

    def onFirstClicked(self, checked: bool = False) -> None:
        """Marks where the structure starts."""
        self._markEnd("firstSlice")

    def onLastClicked(self, checked: bool = False) -> None:
        """Marks where the structure ends."""
        self._markEnd("lastSlice")

    def onReachesFirstToggled(self, checked: bool) -> None:
        """The structure reaches the volume's first slice, or does not."""
        if not self._updating and self.window.case:
            self.window.case.reachesFirst = checked

    def onReachesLastToggled(self, checked: bool) -> None:
        """The structure reaches the volume's last slice, or does not."""
        if not self._updating and self.window.case:
            self.window.case.reachesLast = checked

    def _showEnd(self, button, name: str, index: int) -> None:
        if index == UNMARKED:
            button.text = name
            button.toolTip = _("Mark the slice shown as the outermost one that shows the structure.")
        else:
            button.text = _("{name}: {n}").format(name=name, n=index)
            button.toolTip = _("Mark the slice shown instead. On slice {n} itself, take the mark away.").format(n=index)

    def _markEnd(self, end: str) -> None:
        """Marks the slice shown as an end, or takes the mark away if it is there already."""
        case = self.window.case
        index = shownSlice(case.volume, case.axis)
        if index is None:
            self.ui.instruction.text = _(
                "The view cuts through several slices: click “Show this slice” in step 1 first."
            )
            return
        with slicer.util.NodeModify(case):
            setattr(case, end, UNMARKED if getattr(case, end) == index else index)
            # Which side comes first is the volume's matter: two marks are put in its order.
            if UNMARKED not in (case.firstSlice, case.lastSlice) and case.firstSlice > case.lastSlice:
                case.firstSlice, case.lastSlice = case.lastSlice, case.firstSlice
            if case.firstSlice != UNMARKED:
                case.reachesFirst = False
            if case.lastSlice != UNMARKED:
                case.reachesLast = False
        self.window.update()
