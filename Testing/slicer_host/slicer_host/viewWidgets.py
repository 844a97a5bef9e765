"""Views with the bars above them."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Property
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from .ctkWidgets import ctkSliderWidget
from .mrmlWidgets import qMRMLWidget
from .views import qMRMLPlotView, qMRMLSliceView, qMRMLThreeDView

THREE_D_COLOR = QColor("#7483E9")


class qMRMLViewControllerBar(qMRMLWidget):
    """The colored bar above a view."""

    def __init__(self, viewNode, parent=None) -> None:
        super().__init__(parent)
        self._bar, self._label = QWidget(self), QLabel(viewNode.GetLayoutLabel() or "", self)
        color = viewNode.GetLayoutColor()
        self._bar.autoFillBackground = True
        palette = self._bar.palette
        palette.setColor(self._bar.backgroundRole(), QColor.fromRgbF(*color) if any(color) else THREE_D_COLOR)
        palette.setColor(self._bar.foregroundRole(), QColor("black"))
        self._bar.setPalette(palette)
        outer, inner = QVBoxLayout(self), QHBoxLayout(self._bar)
        outer.setContentsMargins(0, 0, 0, 0)
        inner.setContentsMargins(6, 1, 2, 1)
        outer.addWidget(self._bar)
        inner.addWidget(self._label)
        inner.addStretch(0)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)

    def barWidget(self) -> QWidget:
        return self._bar

    def viewLabel(self) -> QLabel:
        return self._label


class qMRMLSliceControllerWidget(qMRMLViewControllerBar):
    """The bar of a slice view: a slider moves through the volume."""

    def __init__(self, sliceLogic, parent=None) -> None:
        super().__init__(sliceLogic.GetSliceNode(), parent)
        self._logic = sliceLogic
        self._slider = ctkSliderWidget(self)
        self._slider.suffix = "mm"
        self._bar.layout().addWidget(self._slider, 1)
        self._slider.connect("valueChanged(double)", self.setSliceOffsetValue)
        self._observe(sliceLogic.GetSliceNode(), "ModifiedEvent", self.updateWidgetFromMRMLView)
        self._observe(sliceLogic.GetSliceCompositeNode(), "ModifiedEvent", self.updateWidgetFromMRMLView)

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def sliceOffsetSlider(self):
        return self._slider

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)

    def fitSliceToBackground(self) -> None:
        width, height, _ = self.mrmlSliceNode().GetDimensions()
        self._logic.FitSliceToBackground(width, height)

    def updateWidgetFromMRMLView(self) -> None:
        bounds = [0.0] * 6
        self._logic.GetLowestVolumeSliceBounds(bounds)
        self._slider.blockSignals(True)
        if bounds[4] < bounds[5]:
            self._slider.singleStep = max(self._logic.GetLowestVolumeSliceSpacing()[2], 0.001)
            self._slider.minimum, self._slider.maximum = bounds[4], bounds[5]
        self._slider.value = self._logic.GetSliceOffset()
        self._slider.blockSignals(False)


class qMRMLAbstractViewWidget(qMRMLWidget):
    """A view below its bar."""

    def __init__(self, controller, view) -> None:
        super().__init__()
        self._controller, self._view = controller, view
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.spacing = 0
        layout.addWidget(controller)
        layout.addWidget(view, 1)
        self.setMRMLScene(slicer.mrmlScene)

    def controllerWidget(self):
        return self._controller

    def viewWidget(self):
        return self._view


class qMRMLSliceWidget(qMRMLAbstractViewWidget):
    """A slice view."""

    def __init__(self, sliceNode) -> None:
        self._makeLogic(sliceNode)
        super().__init__(qMRMLSliceControllerWidget(self._logic), qMRMLSliceView(self._logic))

    def _makeLogic(self, sliceNode) -> None:
        applicationLogic = slicer.app.applicationLogic()
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(applicationLogic)
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.SetSliceNode(sliceNode)
        applicationLogic.GetSliceLogics().AddItem(logic)
        self._logic = logic

    def sliceLogic(self):
        return self._logic

    def logic(self):
        return self._logic

    def sliceController(self):
        return self._controller

    def sliceView(self):
        return self._view

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._controller.fitSliceToBackground()

    sliceViewName = Property(str, lambda self: self.mrmlSliceNode().GetLayoutName())


class qMRMLThreeDWidget(qMRMLAbstractViewWidget):
    """A 3D view."""

    def __init__(self, viewNode) -> None:
        super().__init__(qMRMLViewControllerBar(viewNode), qMRMLThreeDView(viewNode))

    def threeDView(self):
        return self._view

    def mrmlViewNode(self):
        return self._view.mrmlViewNode()


class qMRMLPlotWidget(qMRMLAbstractViewWidget):
    """A plot view."""

    def __init__(self, plotViewNode) -> None:
        self._node = plotViewNode
        super().__init__(qMRMLViewControllerBar(plotViewNode), qMRMLPlotView(plotViewNode))

    def plotView(self):
        return self._view

    def mrmlPlotViewNode(self):
        return self._node
