"""Slice and 3D views on the logics of slicer-core, and the layout manager that has them."""

from __future__ import annotations

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal

from .api import SlicerClass
from .mrmlWidgets import qMRMLWidget


class qMRMLAbstractViewWidget(qMRMLWidget):
    """A view and its controller."""


class qMRMLSliceWidget(qMRMLAbstractViewWidget):
    """A slice view: its node and the logic that cuts the volumes."""

    def __init__(self, sliceNode) -> None:
        super().__init__()
        applicationLogic = slicer.app.applicationLogic()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(applicationLogic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(sliceNode)
        applicationLogic.GetSliceLogics().AddItem(self._logic)
        self.setMRMLScene(slicer.mrmlScene)

    def sliceLogic(self):
        return self._logic

    def logic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        size = self.mrmlSliceNode().GetDimensions()
        self._logic.FitSliceToBackground(size[0], size[1])

    sliceViewName = Property(str, lambda self: self.mrmlSliceNode().GetLayoutName())


class qMRMLLayoutManager(SlicerClass, QObject):
    """The views, as vtkMRMLLayoutLogic puts their nodes into the scene."""

    layoutChanged = Signal(int)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkMRMLLayoutLogic()
        applicationLogic = slicer.app.applicationLogic()
        self._logic.SetMRMLApplicationLogic(applicationLogic)
        for collection in ("SliceLogics", "ViewLogics"):
            if getattr(applicationLogic, f"Get{collection}")() is None:
                getattr(applicationLogic, f"Set{collection}")(vtk.vtkCollection())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._sliceWidgets = {}
        self._makeWidgets()

    def _makeWidgets(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if node.GetLayoutName() not in self._sliceWidgets:
                self._sliceWidgets[node.GetLayoutName()] = qMRMLSliceWidget(node)

    def layoutLogic(self):
        return self._logic

    def setLayout(self, layout: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(layout)
        self._makeWidgets()
        self.layoutChanged.emit(layout)

    layout = Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)

    def sliceViewNames(self) -> list[str]:
        shown = self._logic.GetViewNodes()
        nodes = [shown.GetItemAsObject(n) for n in range(shown.GetNumberOfItems())]
        return [node.GetLayoutName() for node in nodes if node.IsA("vtkMRMLSliceNode")]

    def sliceWidget(self, name: str):
        return self._sliceWidgets.get(name)

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:
        for widget in self._sliceWidgets.values():
            widget.fitSliceToBackground()


class qSlicerLayoutManager(qMRMLLayoutManager):
    """The application's layout manager."""
