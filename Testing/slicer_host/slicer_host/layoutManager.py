"""The layout manager: the views that vtkMRMLLayoutLogic puts into the scene, arranged as its description says."""

from __future__ import annotations

from xml.etree import ElementTree

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QWidget

from .api import SlicerClass
from .viewWidgets import qMRMLPlotWidget, qMRMLSliceWidget, qMRMLThreeDWidget

WIDGETS = {
    "vtkMRMLSliceNode": qMRMLSliceWidget,
    "vtkMRMLViewNode": qMRMLThreeDWidget,
    "vtkMRMLPlotViewNode": qMRMLPlotWidget,
}


class ctkLayoutManager(SlicerClass, QObject):
    """Arranges views in a widget."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._viewport = QWidget()
        layout = QHBoxLayout(self._viewport)
        layout.setContentsMargins(0, 0, 0, 0)

    def viewport(self) -> QWidget:
        return self._viewport


class ctkLayoutFactory(ctkLayoutManager):
    """Makes the views that it arranges."""


class qMRMLLayoutManager(ctkLayoutFactory):
    """Follows the scene's layout node."""

    layoutChanged = Signal(int)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._widgets: dict[tuple[str, str], QWidget] = {}
        applicationLogic = slicer.app.applicationLogic()
        applicationLogic.SetSliceLogics(vtk.vtkCollection())
        applicationLogic.SetViewLogics(vtk.vtkCollection())
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(applicationLogic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._arrangement = self._arranged = None
        self._shelf = QWidget()
        self._logic.GetLayoutNode().AddObserver("ModifiedEvent", lambda *_: self._arrange())
        self._arrange()

    def _arrange(self) -> None:
        """Makes the views of the present layout and puts them into place."""
        text = self._logic.GetLayoutNode().GetCurrentLayoutDescription()
        if self.layout == self._arrangement or not text:  # there is no layout while a scene closes
            return
        self._arrangement = self.layout
        description = ElementTree.fromstring(text)
        for widget in self._widgets.values():  # what the new layout does not show is kept for later ones
            widget.setParent(self._shelf)
        old, self._arranged = self._arranged, self._made(description)
        self._viewport.layout().addWidget(self._arranged)
        self._arranged.show()
        if old is not None:
            old.hide()
            old.deleteLater()
        self.layoutChanged.emit(self.layout)

    def _made(self, element) -> QWidget:
        if element.tag == "view":
            return self._widget(element.get("class"), element.get("singletontag"))
        splitter = QSplitter(Qt.Vertical if element.get("type") == "vertical" else Qt.Horizontal)
        children = [self._made(item[0]) for item in element.findall("item")]
        for number, child in enumerate(children):
            splitter.addWidget(child)
            splitter.setStretchFactor(number, 1)
            child.show()
        splitter.setSizes([1000] * len(children))
        return splitter

    def _widget(self, className: str, tag: str) -> QWidget:
        if (className, tag) not in self._widgets:
            node = slicer.mrmlScene.GetSingletonNode(tag, className)
            self._widgets[className, tag] = WIDGETS[className](node) if className in WIDGETS else QWidget()
        return self._widgets[className, tag]

    def _shown(self, className: str) -> list:
        nodes = self._logic.GetViewNodes()
        nodes = [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]
        return [node for node in nodes if node.GetClassName() == className]

    def layoutLogic(self):
        return self._logic

    def setLayout(self, layout: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    layout = Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = Property(int, lambda self: len(self._shown("vtkMRMLViewNode")))
    plotViewCount = Property(int, lambda self: len(self._shown("vtkMRMLPlotViewNode")))

    def sliceViewNames(self) -> list[str]:
        return [node.GetLayoutName() for node in self._shown("vtkMRMLSliceNode")]

    def sliceWidget(self, name: str):
        return self._widgets.get(("vtkMRMLSliceNode", name))

    def threeDWidget(self, index: int):
        nodes = self._shown("vtkMRMLViewNode")
        return self._widget("vtkMRMLViewNode", nodes[index].GetLayoutName()) if index < len(nodes) else None

    def plotWidget(self, index: int):
        nodes = self._shown("vtkMRMLPlotViewNode")
        return self._widget("vtkMRMLPlotViewNode", nodes[index].GetLayoutName()) if index < len(nodes) else None

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:
        for (className, _), widget in self._widgets.items():
            if className == "vtkMRMLSliceNode":
                widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for index in range(self.threeDViewCount):
            self.threeDWidget(index).threeDView().resetFocalPoint()


class qSlicerLayoutManager(qMRMLLayoutManager):
    """The application's layout manager."""
