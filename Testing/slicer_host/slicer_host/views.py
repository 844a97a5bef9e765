"""Slice, 3D and plot views, drawn off-screen by Slicer's real displayable managers and shown as pictures."""

from __future__ import annotations

import slicer
import vtk
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QWidget
from vtk.util.numpy_support import vtk_to_numpy

from .api import SlicerClass
from .mrmlWidgets import Observing

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


class RenderedWidget(Observing, QWidget):
    """Shows what a VTK render window draws. The window is made when it is first needed: most tests need none."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._window = self._image = None
        self.setMinimumSize(60, 60)

    def _build(self, window) -> None:
        """Puts renderers into the window."""
        raise NotImplementedError

    def renderWindow(self):
        if self._window is None:
            self._window = vtk.vtkRenderWindow()
            self._window.SetOffScreenRendering(True)
            self._window.SetMultiSamples(0)
            self._interactor = vtk.vtkRenderWindowInteractor()
            self._interactor.SetRenderWindow(self._window)
            self._window.SetSize(max(self.width, 1), max(self.height, 1))
            self._build(self._window)
        return self._window

    def scheduleRender(self) -> None:
        """Renders before the view is shown again."""
        self._image = None
        self.update()

    def forceRender(self) -> None:
        window = self.renderWindow()
        window.SetSize(max(self.width, 1), max(self.height, 1))
        window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
        width, height, _ = grab.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(height, width, 3)[::-1]
        self._image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format_RGB888).copy()
        self.update()

    def resizeEvent(self, event) -> None:
        self.scheduleRender()

    def paintEvent(self, event) -> None:
        if self._image is None or self._image.size() != self.size:
            self.forceRender()
        painter = QPainter(self)
        painter.drawImage(0, 0, self._image)
        painter.end()

    def _addManagers(self, factory, names, renderer, viewNode) -> None:
        """Lets the displayable managers of these classes draw for the view node into the renderer."""
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = factory.InstantiateDisplayableManagers(renderer)
        self._managers.SetMRMLDisplayableNode(viewNode)
        self._observe(self._managers, "UpdateEvent", self.scheduleRender)


class ctkVTKAbstractView(SlicerClass, RenderedWidget):
    """A view."""


class ctkVTKSliceView(ctkVTKAbstractView):
    """A view of an image."""


class qMRMLSliceView(ctkVTKSliceView):
    """What a slice node shows: the volumes as its logic blends them, and everything else over them."""

    def __init__(self, sliceLogic, parent=None) -> None:
        super().__init__(parent)
        self._logic = sliceLogic
        self._observe(sliceLogic, "ModifiedEvent", self.scheduleRender)
        self._observe(sliceLogic.GetSliceNode(), "ModifiedEvent", self.scheduleRender)

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def _build(self, window) -> None:
        mapper, actor, below, above = vtk.vtkImageMapper(), vtk.vtkActor2D(), vtk.vtkRenderer(), vtk.vtkRenderer()
        mapper.SetInputConnection(self._logic.GetImageDataConnection())
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        actor.SetMapper(mapper)
        below.AddViewProp(actor)
        above.SetLayer(1)
        window.SetNumberOfLayers(2)
        for renderer in (below, above):
            window.AddRenderer(renderer)
        self._imageActor = actor
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self._addManagers(factory, SLICE_MANAGERS, above, self.mrmlSliceNode())

    def forceRender(self) -> None:
        self.renderWindow()
        self._imageActor.SetVisibility(self._logic.GetImageDataConnection() is not None)
        self._imageActor.GetMapper().SetInputConnection(self._logic.GetImageDataConnection())
        super().forceRender()

    def resizeEvent(self, event) -> None:
        self._logic.ResizeSliceNode(self.width, self.height)
        super().resizeEvent(event)


class ctkVTKRenderView(ctkVTKAbstractView):
    """A view in 3D."""

    def resetFocalPoint(self) -> None:
        self.renderWindow().GetRenderers().GetFirstRenderer().ResetCamera()
        self.scheduleRender()


class qMRMLThreeDView(ctkVTKRenderView):
    """What a 3D view node shows."""

    def __init__(self, viewNode, parent=None) -> None:
        super().__init__(parent)
        self._node = viewNode
        self._observe(viewNode, "ModifiedEvent", self.scheduleRender)

    def mrmlViewNode(self):
        return self._node

    def cameraNode(self):
        self.renderWindow()
        return slicer.modules.cameras.logic().GetViewActiveCameraNode(self._node)

    def rotateToViewAxis(self, axis) -> None:
        self.cameraNode().RotateTo(axis)

    def _build(self, window) -> None:
        renderer = vtk.vtkRenderer()
        window.AddRenderer(renderer)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        self._addManagers(factory, THREE_D_MANAGERS, renderer, self._node)


class ctkVTKOpenGLNativeWidget(SlicerClass, RenderedWidget):
    """A widget that VTK draws."""


class ctkVTKChartView(ctkVTKOpenGLNativeWidget):
    """A chart."""

    def _build(self, window) -> None:
        self._scene = vtk.vtkContextView()
        self._scene.SetRenderWindow(window)
        self._chart = vtk.vtkChartXY()
        self._scene.GetScene().AddItem(self._chart)

    def chart(self):
        self.renderWindow()
        return self._chart


class qMRMLPlotView(ctkVTKChartView):
    """The chart that a plot view node shows, with a curve for each of its series."""

    def __init__(self, plotViewNode, parent=None) -> None:
        super().__init__(parent)
        self._node, self._series = plotViewNode, []
        self._observe(plotViewNode, "ModifiedEvent", self.scheduleRender)

    def forceRender(self) -> None:
        chart, node = self.chart(), self._node.GetPlotChartNode()
        chart.ClearPlots()
        self._unobserve(self._series)
        self._series = []
        if node is not None:
            self._show(chart, node)
        super().forceRender()

    def _show(self, chart, node) -> None:
        chart.SetTitle(node.GetTitle() or "")
        chart.SetShowLegend(node.GetLegendVisibility())
        chart.GetAxis(vtk.vtkAxis.BOTTOM).SetTitle(node.GetXAxisTitle() or "")
        chart.GetAxis(vtk.vtkAxis.LEFT).SetTitle(node.GetYAxisTitle() or "")
        series = [node.GetNthPlotSeriesNode(n) for n in range(node.GetNumberOfPlotSeriesNodes())]
        for one in series:
            table = one.GetTableNode().GetTable()
            if table.GetNumberOfRows() < 2:  # no line yet
                continue
            line = chart.AddPlot(vtk.vtkChart.LINE)
            line.SetInputData(table, one.GetXColumnName(), one.GetYColumnName())
            line.SetColorF(*one.GetColor())
            line.SetWidth(one.GetLineWidth())
            line.SetLabel(one.GetName())
            line.GetPen().SetLineType(one.GetLineStyle() or vtk.vtkPen.SOLID_LINE)
        self._series = [node, *(one.GetTableNode() for one in series)]
        for one in self._series:
            self._observe(one, "ModifiedEvent", self.scheduleRender)
        chart.RecalculateBounds()
