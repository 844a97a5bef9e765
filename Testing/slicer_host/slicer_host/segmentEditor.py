"""The embedded segment editor on Slicer's real segment editor logic: segments, effects, undo."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from .api import Setting
from .editorEffects import EFFECTS, qSlicerSegmentEditorAbstractEffect
from .mrmlWidgets import qMRMLNodeComboBox, qMRMLWidget
from .segmentWidgets import qMRMLSegmentationShow3DButton, qMRMLSegmentsTableView


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Slicer's segment editor, without the mouse tools in the slice views."""

    currentSegmentIDChanged = Signal(str)
    sourceVolumeNodeChanged = Signal(object)
    segmentationNodeChanged = Signal(object)
    unorderedEffectsVisible = Setting(bool, "unorderedEffectsVisible", True)
    undoEnabled = Setting(bool, "undoEnabled", True)
    maskingSectionVisible = Setting(bool, "maskingSectionVisible", True)
    addRemoveSegmentButtonsVisible = Setting(bool, "addRemoveSegmentButtonsVisible", True)
    show3DButtonVisible = Setting(bool, "show3DButtonVisible", True)
    sourceVolumeNodeSelectorVisible = Setting(bool, "sourceVolumeNodeSelectorVisible", True)
    segmentationNodeSelectorVisible = Setting(bool, "segmentationNodeSelectorVisible", True)
    specifyGeometryButtonVisible = Setting(bool, "specifyGeometryButtonVisible", True)
    switchToSegmentationsButtonVisible = Setting(bool, "switchToSegmentationsButtonVisible", True)
    jumpToSelectedSegmentEnabled = Setting(bool, "jumpToSelectedSegmentEnabled", False)
    autoShowSourceVolumeNode = Setting(bool, "autoShowSourceVolumeNode", True)
    effectColumnCount = Setting(int, "effectColumnCount", 2)
    readOnly = Setting(bool, "readOnly", False)
    defaultTerminologyEntrySettingsKey = Setting(str, "defaultTerminologyEntrySettingsKey", "")

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._node, self._order, self._shortcuts, self._segmentID = None, [], [], ""
        self._effects = {name: qSlicerSegmentEditorAbstractEffect(name, self) for name in EFFECTS}
        self._build()
        self._observe(self._logic, self._logic.SegmentationHistoryChangedEvent, self._updateUndo)
        self.updateEffectList()
        self.updateWidgetFromMRML()

    def _build(self) -> None:
        self._segmentations, self._volumes = qMRMLNodeComboBox(self), qMRMLNodeComboBox(self)
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        for selector in (self._segmentations, self._volumes):
            selector.noneEnabled = True
        self._add, self._remove = QPushButton("+ Add", self), QPushButton("- Remove", self)
        self._show3D, self._table = qMRMLSegmentationShow3DButton(self), qMRMLSegmentsTableView(self)
        self._table.headerVisible = False
        self._table.tableWidget().minimumHeight, self._table.tableWidget().maximumHeight = 70, 110
        self._effectBox = QWidget(self)
        self._effectGrid = QGridLayout(self._effectBox)
        self._effectGrid.setContentsMargins(0, 0, 0, 0)
        self._undo, self._redo = QPushButton("Undo", self), QPushButton("Redo", self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for row in ([self._segmentations], [self._volumes], [self._add, self._remove, self._show3D], [self._table]):
            self._addRow(layout, row)
        self._addRow(layout, [self._effectBox])
        self._addRow(layout, [self._undo, self._redo])
        self._segmentations.currentNodeChanged[object].connect(self.setSegmentationNode)
        self._volumes.currentNodeChanged[object].connect(self.setSourceVolumeNode)
        self._add.clicked.connect(lambda _: self._onAdd())
        self._remove.clicked.connect(lambda _: self._logic.RemoveSelectedSegment())
        self._undo.clicked.connect(lambda _: self.undo())
        self._redo.clicked.connect(lambda _: self.redo())
        self._table.selectionChanged.connect(self._onSelected)

    @staticmethod
    def _addRow(layout, widgets) -> None:
        row = QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget)
        layout.addLayout(row)

    def _changed(self, name: str) -> None:
        self._segmentations.visible = self.segmentationNodeSelectorVisible
        self._volumes.visible = self.sourceVolumeNodeSelectorVisible
        self._add.visible = self._remove.visible = self.addRemoveSegmentButtonsVisible
        self._show3D.visible = self.show3DButtonVisible
        self._undo.visible = self._redo.visible = self.undoEnabled
        self.updateEffectList()

    # Nodes

    def setMRMLScene(self, scene) -> None:
        super().setMRMLScene(scene)
        self._logic.SetMRMLScene(scene)
        for widget in (self._segmentations, self._volumes, self._table):
            widget.setMRMLScene(scene)

    def _sceneUpdated(self) -> None:
        if self._node is not None and self._node.GetScene() is None:
            self.setMRMLSegmentEditorNode(None)

    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node) -> None:
        if self._node is not None:
            self._unobserve([self._node])
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._observe(node, "ModifiedEvent", self.updateWidgetFromMRML)
        self.updateWidgetFromMRML()

    def segmentationNode(self):
        return self._node.GetSegmentationNode() if self._node is not None else None

    def sourceVolumeNode(self):
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def setSegmentationNode(self, node) -> None:
        if self._node is None or node is self.segmentationNode():
            return
        self._logic.SetSegmentationNode(node)
        self._logic.ClearUndoState()
        self._logic.SelectFirstSegment(False)
        self.segmentationNodeChanged.emit(node)
        self.updateWidgetFromMRML()

    def setSourceVolumeNode(self, node) -> None:
        if self._node is None or node is self.sourceVolumeNode():
            return
        self._logic.SetSourceVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        segmentation = self.segmentationNode()
        self.enabled = self._node is not None
        self._segmentations.setCurrentNode(segmentation)
        self._volumes.setCurrentNode(self.sourceVolumeNode())
        if self._table.segmentationNode() is not segmentation:
            self._table.setSegmentationNode(segmentation)
            self._show3D.setSegmentationNode(segmentation)
        ready = segmentation is not None and self.sourceVolumeNode() is not None
        self._add.enabled = ready
        segmentID = self.currentSegmentID()
        self._remove.enabled = self._effectBox.enabled = ready and bool(segmentID)
        self._table.setSelectedSegmentIDs([segmentID] if segmentID else [])
        for name, button in self._buttons.items():
            button.checked = self._activeName() == name
        if segmentID != self._segmentID:
            self._segmentID = segmentID
            self.currentSegmentIDChanged.emit(segmentID)
        self._updateUndo()

    # Segments

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        self._logic.SetCurrentSegmentID(segmentID)

    def _onSelected(self, *_) -> None:
        selected = self._table.selectedSegmentIDs()
        if selected and selected[0] != self.currentSegmentID():
            self.setCurrentSegmentID(selected[0])

    def _onAdd(self) -> None:
        self.saveStateForUndo()
        self.setCurrentSegmentID(self._logic.AddEmptySegment())

    # Effects

    def setEffectNameOrder(self, names) -> None:
        unknown = set(names) - set(EFFECTS)
        if unknown:
            raise ValueError(f"Slicer has no segment editor effects named {sorted(unknown)}")
        self._order = list(names)
        self.updateEffectList()

    def effectNameOrder(self) -> list[str]:
        return self._order

    def availableEffectNames(self) -> list[str]:
        return list(EFFECTS)

    def updateEffectList(self) -> None:
        rest = [name for name in EFFECTS if name not in self._order] if self.unorderedEffectsVisible else []
        for index in reversed(range(self._effectGrid.count())):
            button = self._effectGrid.takeAt(index).widget()
            button.hide()
            button.deleteLater()
        self._buttons = {}
        for number, name in enumerate([*self._order, *rest]):
            button = QToolButton(self._effectBox)
            button.text, button.checkable, button.objectName = name, True, name
            button.toolButtonStyle = Qt.ToolButtonTextBesideIcon
            button.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
            button.clicked.connect(lambda on, n=name: self.setActiveEffectByName(n if on else ""))
            self._effectGrid.addWidget(button, *divmod(number, max(self.effectColumnCount, 1)))
            self._buttons[name] = button

    def effectByName(self, name: str):
        return self._effects.get(name)

    def effectCount(self) -> int:
        return len(self._effects)

    def _activeName(self) -> str:
        return (self._node.GetActiveEffectName() or "") if self._node is not None else ""

    def activeEffect(self):
        return self._effects.get(self._activeName())

    def setActiveEffect(self, effect) -> None:
        self.setActiveEffectByName(effect.name if effect is not None else "")

    def setActiveEffectByName(self, effectName: str) -> None:
        if self._node is not None:
            self._node.SetActiveEffectName(effectName)

    # Undo

    def _updateUndo(self) -> None:
        self._undo.enabled, self._redo.enabled = bool(self._logic.CanUndo()), bool(self._logic.CanRedo())

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    def setUndoEnabled(self, enabled: bool) -> None:
        self.undoEnabled = enabled

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        self._logic.SetMaximumNumberOfUndoStates(number)

    maximumNumberOfUndoStates = Property(
        int, lambda self: self._logic.GetMaximumNumberOfUndoStates(), setMaximumNumberOfUndoStates
    )

    # Views

    def installKeyboardShortcuts(self, parent=None) -> None:
        self.uninstallKeyboardShortcuts()
        for keys, function in (("Ctrl+Z", self.undo), ("Ctrl+Y", self.redo)):
            shortcut = QShortcut(QKeySequence(keys), parent or self)
            shortcut.activated.connect(function)
            self._shortcuts.append(shortcut)

    def uninstallKeyboardShortcuts(self) -> None:
        while self._shortcuts:
            self._shortcuts.pop().deleteLater()

    def setupViewObservations(self) -> None:
        """Nothing to do: there are no mouse tools here."""

    def removeViewObservations(self) -> None:
        """Nothing to do: there are no mouse tools here."""

    def rotateSliceViewsToSegmentation(self) -> None:
        for name in slicer.app.layoutManager().sliceViewNames():
            sliceNode = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
            sliceNode.RotateToVolumePlane(self.sourceVolumeNode())
