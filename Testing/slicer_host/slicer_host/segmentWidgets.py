"""Widgets that show the segments of a segmentation node."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from .api import Setting
from .ctkWidgets import ctkMenuButton
from .mrmlWidgets import Observing, qMRMLNodeComboBox, qMRMLWidget

SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")
VISIBLE, COLOR, NAME = range(3)


class ShowsSegments(Observing):
    """Follows the segments of ``self._node`` and calls ``_update`` when they change."""

    _node = None

    def _follow(self, node) -> None:
        self._unobserve([self._node])
        self._node = node
        if node is not None:
            for event in SEGMENT_EVENTS:
                self._observe(node, getattr(slicer.vtkSegmentation, event), self._update)
            self._observe(node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self._update)
        self._update()

    def _segments(self) -> list[tuple]:
        """(ID, vtkSegment) of every segment."""
        if self._node is None:
            return []
        segmentation = self._node.GetSegmentation()
        return [(segmentId, segmentation.GetSegment(segmentId)) for segmentId in segmentation.GetSegmentIDs()]


class qMRMLSegmentsTableView(ShowsSegments, qMRMLWidget):
    """A row a segment: shown or not, color, name."""

    selectionChanged = Signal(object, object)
    readOnly = Setting(bool, "readOnly", False)
    headerVisible = Setting(bool, "headerVisible", True)
    visibilityColumnVisible = Setting(bool, "visibilityColumnVisible", True)
    colorColumnVisible = Setting(bool, "colorColumnVisible", True)
    opacityColumnVisible = Setting(bool, "opacityColumnVisible", True)
    statusColumnVisible = Setting(bool, "statusColumnVisible", False)
    layerColumnVisible = Setting(bool, "layerColumnVisible", False)
    filterBarVisible = Setting(bool, "filterBarVisible", False)
    jumpToSelectedSegmentEnabled = Setting(bool, "jumpToSelectedSegmentEnabled", False)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._table = QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["", "", "Name"])
        self._table.verticalHeader().hide()
        self._table.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.Stretch)
        self._table.setSelectionBehavior(QAbstractItemView.SelectRows)
        for column in (VISIBLE, COLOR):
            self._table.setColumnWidth(column, 28)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.itemChanged.connect(self._onEdited)
        self._table.itemSelectionChanged.connect(lambda: self.selectionChanged.emit(None, None))

    def tableWidget(self) -> QTableWidget:
        return self._table

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node) -> None:
        self._follow(node)

    def _changed(self, name: str) -> None:
        self._table.horizontalHeader().visible = self.headerVisible
        self._table.setColumnHidden(VISIBLE, not self.visibilityColumnVisible)
        self._table.setColumnHidden(COLOR, not self.colorColumnVisible)

    def _update(self) -> None:
        selected, segments = self.selectedSegmentIDs(), self._segments()
        display = self._node.GetDisplayNode() if self._node is not None else None
        self._table.blockSignals(True)
        self._table.rowCount = len(segments)
        for row, (segmentId, segment) in enumerate(segments):
            shown, color, name = QTableWidgetItem(), QTableWidgetItem(), QTableWidgetItem(segment.GetName())
            isShown = display is None or display.GetSegmentVisibility(segmentId)
            shown.setCheckState(Qt.Checked if isShown else Qt.Unchecked)
            color.setData(Qt.DecorationRole, QColor.fromRgbF(*segment.GetColor()))
            color.setFlags(Qt.ItemIsEnabled | Qt.ItemIsSelectable)
            name.setData(Qt.UserRole, segmentId)
            for column, item in enumerate((shown, color, name)):
                self._table.setItem(row, column, item)
        self._select(selected)
        self._table.blockSignals(False)

    def _onEdited(self, item: QTableWidgetItem) -> None:
        segmentId = self.segmentIDForRow(item.row())
        if item.column() == NAME and not self.readOnly:
            self._node.GetSegmentation().GetSegment(segmentId).SetName(item.text())
        elif item.column() == VISIBLE and self._node.GetDisplayNode():
            self._node.GetDisplayNode().SetSegmentVisibility(segmentId, item.checkState() == Qt.Checked)

    def segmentIDForRow(self, row: int) -> str:
        item = self._table.item(row, NAME)
        return item.data(Qt.UserRole) if item is not None else ""

    def rowForSegmentID(self, segmentID: str) -> int:
        return self.displayedSegmentIDs().index(segmentID) if segmentID in self.displayedSegmentIDs() else -1

    def displayedSegmentIDs(self) -> list[str]:
        return [self.segmentIDForRow(row) for row in range(self._table.rowCount)]

    segmentCount = Property(int, lambda self: self._table.rowCount)

    def selectedSegmentIDs(self) -> list[str]:
        return [self.segmentIDForRow(index.row()) for index in self._table.selectionModel().selectedRows(NAME)]

    def setSelectedSegmentIDs(self, segmentIDs) -> None:
        if list(segmentIDs) != self.selectedSegmentIDs():
            self._table.blockSignals(True)
            self._select(segmentIDs)
            self._table.blockSignals(False)
            self.selectionChanged.emit(None, None)

    def _select(self, segmentIDs) -> None:
        self._table.clearSelection()
        for segmentID in segmentIDs:
            if self.rowForSegmentID(segmentID) >= 0:
                self._table.selectRow(self.rowForSegmentID(segmentID))

    def clearSelection(self) -> None:
        self.setSelectedSegmentIDs([])

    def setSelectionMode(self, mode: int) -> None:
        self._table.setSelectionMode(QAbstractItemView.SelectionMode(mode))

    selectionMode = Property(int, lambda self: self._table.property("selectionMode"), setSelectionMode)


class qMRMLSegmentSelectorWidget(ShowsSegments, qMRMLWidget):
    """A segmentation node and one of its segments."""

    currentNodeChanged = Signal((object,), (bool,))
    currentSegmentChanged = Signal(str)
    noneEnabled = Setting(bool, "noneEnabled", False)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._nodes, self._combo = qMRMLNodeComboBox(self), QComboBox(self)
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.noneEnabled = True
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes)
        layout.addWidget(self._combo)
        self._segmentID = ""
        self._nodes.currentNodeChanged[object].connect(self._onNode)
        self._combo.activated.connect(lambda row: self.setCurrentSegmentID(self._combo.itemData(row)))

    def setMRMLScene(self, scene) -> None:
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def _onNode(self, node) -> None:
        self._follow(node)
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _changed(self, name: str) -> None:
        self._update()

    def _update(self) -> None:
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem("None", "")
        for segmentId, segment in self._segments():
            self._combo.addItem(segment.GetName(), segmentId)
        if self._combo.findData(self._segmentID) < 0:
            self.setCurrentSegmentID(self._combo.itemData(0) or "")
        self._combo.currentIndex = self._combo.findData(self._segmentID)

    def currentNode(self):
        return self._node

    def setCurrentNode(self, node) -> None:
        self._nodes.setCurrentNode(node)

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def currentSegmentID(self) -> str:
        return self._segmentID

    def segmentIDs(self) -> list[str]:
        return [segmentId for segmentId, _ in self._segments()]

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if segmentID != self._segmentID:
            self._segmentID = segmentID
            self._combo.currentIndex = self._combo.findData(segmentID)
            self.currentSegmentChanged.emit(segmentID)

    segmentationNodeSelectorVisible = Property(
        bool, lambda self: not self._nodes.isHidden(), lambda self, shown: self._nodes.setVisible(shown)
    )


class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Shows the segmentation in 3D: makes and removes its closed surface."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node = None
        self.text, self.checkable, self.enabled = "Show 3D", True, False
        self.toggled.connect(self._onToggled)

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node) -> None:
        self._node = node
        self.enabled = node is not None
        self.blockSignals(True)
        self.checked = node is not None and node.GetSegmentation().ContainsRepresentation("Closed surface")
        self.blockSignals(False)

    def _onToggled(self, shown: bool) -> None:
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()
