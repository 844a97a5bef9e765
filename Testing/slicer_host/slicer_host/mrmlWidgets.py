"""Widgets that show the MRML scene: the base with its scene, and combo boxes of nodes."""

from __future__ import annotations

import shiboken6
import slicer
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QWidget

from .api import Setting, SlicerClass

SCENE_EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndBatchProcessEvent", "EndCloseEvent", "EndImportEvent")


class Observing:
    """VTK observers that end with the widget that set them."""

    def _observe(self, vtkObject, event, function) -> None:
        def call(caller, _event) -> None:
            if shiboken6.isValid(self):
                function()
            else:
                caller.RemoveObserver(tag)

        tag = vtkObject.AddObserver(event, call)
        self._observers = [*getattr(self, "_observers", []), (vtkObject, tag)]

    def _unobserve(self, vtkObjects) -> None:
        """Ends the observers of these objects."""
        kept = []
        for vtkObject, tag in getattr(self, "_observers", []):
            if vtkObject in vtkObjects:
                vtkObject.RemoveObserver(tag)
            else:
                kept.append((vtkObject, tag))
        self._observers = kept


class SceneWidget(Observing):
    """A widget that is given a scene and brings itself up to date with what happens in it."""

    def setMRMLScene(self, scene) -> None:
        if scene is self._scene:
            return
        self._unobserve([self._scene])
        self._scene = scene
        for event in SCENE_EVENTS if scene is not None else ():
            self._observe(scene, getattr(slicer.vtkMRMLScene, event), self._onSceneEvent)
        self._sceneUpdated()
        if hasattr(self, "mrmlSceneChanged"):
            self.mrmlSceneChanged.emit(scene)

    _scene = None

    def _onSceneEvent(self) -> None:
        if not self._scene.IsBatchProcessing():
            self._sceneUpdated()

    def _sceneUpdated(self) -> None:
        """What the widget does after nodes came or went."""


class qMRMLWidget(SceneWidget, SlicerClass, QWidget):
    """A widget with a scene."""

    mrmlSceneChanged = Signal(object)

    def mrmlScene(self):
        return self._scene


class qSlicerWidget(SceneWidget, SlicerClass, QWidget):
    """A widget with a scene, as module windows are."""

    mrmlSceneChanged = Signal(object)


class qMRMLNodeComboBox(SceneWidget, SlicerClass, QWidget):
    """The scene's nodes of some types, one of which is current."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeTypes = Setting("QStringList", "nodeTypes", [])
    hideChildNodeTypes = Setting("QStringList", "hideChildNodeTypes", [])
    baseName = Setting(str, "baseName", "")
    noneDisplay = Setting(str, "noneDisplay", "None")
    noneEnabled = Setting(bool, "noneEnabled", False)
    addEnabled = Setting(bool, "addEnabled", True)
    removeEnabled = Setting(bool, "removeEnabled", True)
    renameEnabled = Setting(bool, "renameEnabled", False)
    editEnabled = Setting(bool, "editEnabled", False)
    showHidden = Setting(bool, "showHidden", False)
    showChildNodeTypes = Setting(bool, "showChildNodeTypes", True)
    selectNodeUponCreation = Setting(bool, "selectNodeUponCreation", True)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._currentID, self._candidates, self._listed, self._entries, self._required = "", [], [], [], []
        self._combo = QComboBox(self)
        self._combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setFocusProxy(self._combo)
        self._combo.activated.connect(self._onActivated)
        self._sceneUpdated()

    def mrmlScene(self):
        return self._scene

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue=None) -> None:
        self._required.append((nodeType, attributeName, attributeValue))
        self._sceneUpdated()

    def _changed(self, name: str) -> None:
        self._sceneUpdated()

    def _shows(self, node) -> bool:
        exact = not self.showChildNodeTypes
        if not any(node.GetClassName() == kind if exact else node.IsA(kind) for kind in self.nodeTypes):
            return False
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if any(node.IsA(kind) for kind in self.hideChildNodeTypes):
            return False
        return all(
            node.GetAttribute(name) is not None if value is None else node.GetAttribute(name) == str(value)
            for kind, name, value in self._required
            if node.IsA(kind)
        )

    def _sceneUpdated(self) -> None:
        scene = self._scene
        nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())] if scene is not None else []
        nodes = [node for node in nodes if any(node.IsA(kind) for kind in self.nodeTypes)]
        self._unobserve(self._candidates)
        self._candidates = nodes
        for node in nodes:
            self._observe(node, "ModifiedEvent", self._list)
        self.enabled = scene is not None
        self._list()

    def _list(self) -> None:
        """Shows the present names of the nodes; if the current one is gone, another becomes current."""
        entries = [(self.noneDisplay, "")] if self.noneEnabled else []
        self._listed = [node for node in self._candidates if self._shows(node)]
        entries += [(node.GetName(), node.GetID()) for node in self._listed]
        if entries == self._entries:
            return
        row, self._entries = self._combo.currentIndex, entries
        self._combo.clear()
        for name, nodeID in entries:
            self._combo.addItem(name, nodeID)
        if self._combo.findData(self._currentID) < 0:
            row = min(max(row, 0), len(entries) - 1)
            self._setID(entries[row][1] if entries else "")
        self._combo.currentIndex = self._combo.findData(self._currentID)

    def _setID(self, nodeID: str) -> None:
        if nodeID == self._currentID:
            return
        self._currentID = nodeID
        self._combo.currentIndex = self._combo.findData(nodeID)
        self.currentNodeChanged[object].emit(self.currentNode())
        self.currentNodeChanged[bool].emit(bool(nodeID))
        self.currentNodeIDChanged.emit(nodeID)

    def _onActivated(self, row: int) -> None:
        self._setID(self._combo.itemData(row) or "")
        self.nodeActivated.emit(self.currentNode())

    def currentNode(self):
        return self._scene.GetNodeByID(self._currentID) if self._scene is not None and self._currentID else None

    def setCurrentNode(self, node) -> None:
        nodeID = node if isinstance(node, str) else node.GetID() if node is not None else ""
        self._setID(nodeID if self._combo.findData(nodeID) >= 0 else "")

    def setCurrentNodeID(self, nodeID: str) -> None:
        self.setCurrentNode(nodeID)

    currentNodeID = Property(str, lambda self: self._currentID, setCurrentNodeID)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int):
        return self._listed[index] if 0 <= index < len(self._listed) else None

    def addNode(self, nodeType: str = ""):
        node = self._scene.AddNewNodeByClass(nodeType or self.nodeTypes[0], self.baseName)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Nodes that are each checked or not."""

    checkedNodesChanged = Signal()

    def __init__(self, parent=None) -> None:
        self._checked: set[str] = set()
        super().__init__(parent)

    def checkedNodes(self) -> list:
        return [node for node in self._listed if node.GetID() in self._checked]

    def uncheckedNodes(self) -> list:
        return [node for node in self._listed if node.GetID() not in self._checked]

    def allChecked(self) -> bool:
        return not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self.checkedNodes()

    def checkState(self, node):
        return Qt.Checked if node in self.checkedNodes() else Qt.Unchecked

    def setCheckState(self, node, state) -> None:
        wasChecked = node.GetID() in self._checked
        (self._checked.add if state == Qt.Checked else self._checked.discard)(node.GetID())
        if wasChecked != (state == Qt.Checked):
            self.checkedNodesChanged.emit()

    def check(self, node) -> None:
        self.setCheckState(node, Qt.Checked)

    def uncheck(self, node) -> None:
        self.setCheckState(node, Qt.Unchecked)
