"""Loss and Dice of a training, epoch by epoch, as curves in a Slicer plot."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

COLORS = {
    "semi": (0.34, 0.71, 0.91),
    "semi 2": (0.8, 0.47, 0.65),
    "semi 3": (0.0, 0.45, 0.7),
    "target": (0.84, 0.37, 0.0),
    "rows": (0.9, 0.6, 0.0),
    "columns": (0.0, 0.0, 0.0),
    "overview": (0.0, 0.62, 0.45),
    "registration": (0.5, 0.5, 0.5),
}


class TrainingPlot:
    """A chart with a curve for each series of the trainer's metrics, "target/loss" for instance.

    The points are kept here, so that the chart is made anew if the scene was closed meanwhile.
    """

    def __init__(self):
        self._points: dict[str, dict[int, float]] = {}
        self._tables: dict[str, vtk.vtkObject] = {}
        self.chartNode = None

    def clear(self) -> None:
        """A new training begins: the curves start again, in a chart of their own."""
        self.__init__()

    def add(self, series: str, step: int, value: float) -> None:
        """Adds a point, as it comes in an event "metric"; the first one shows the chart."""
        self._points.setdefault(series, {})[int(step)] = float(value)
        if self.chartNode is None or self.chartNode.GetScene() is None:
            self._tables = {}
            self.chartNode = _newChart()
            for name in self._points:
                self._addSeries(name)
            self.show()
        elif series not in self._tables:
            self._addSeries(series)
        self._fill(series)

    def show(self) -> None:
        """Shows the chart in the layout, if it is in the scene and there is a layout."""
        if self.chartNode and self.chartNode.GetScene() and hasattr(slicer.modules, "plots"):
            slicer.modules.plots.logic().ShowChartInLayout(self.chartNode)

    def points(self, series: str) -> list[tuple[int, float]]:
        """The points of a series in the order of their epochs."""
        return sorted(self._points.get(series, {}).items())

    def _addSeries(self, series: str) -> None:
        name = seriesName(series)
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
        for column in (_("Epoch"), name):
            values = vtk.vtkFloatArray()
            values.SetName(column)
            table.AddColumn(values)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetXColumnName(_("Epoch"))
        node.SetYColumnName(name)
        node.SetPlotType(node.PlotTypeScatter)
        node.SetMarkerStyle(node.MarkerStyleNone)
        stage, _slash, value = series.partition("/")
        node.SetColor(COLORS.get(stage, COLORS["target"]))
        node.SetLineStyle(node.LineStyleDash if value == "dice" else node.LineStyleSolid)
        self.chartNode.AddAndObservePlotSeriesNodeID(node.GetID())
        self._tables[series] = table
        self._fill(series)

    def _fill(self, series: str) -> None:
        table, points = self._tables[series].GetTable(), self.points(series)
        table.SetNumberOfRows(len(points))
        for row, (epoch, value) in enumerate(points):
            table.GetColumn(0).SetValue(row, epoch)
            table.GetColumn(1).SetValue(row, value)
        table.Modified()
        self._tables[series].Modified()


def _newChart():
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", _("Training"))
    chart.SetTitle(_("Training"))
    chart.SetXAxisTitle(_("Epoch"))
    chart.SetYAxisTitle(_("Loss and Dice"))
    chart.SetLegendVisibility(True)
    return chart


def seriesName(series: str) -> str:
    """What a series of the trainer is called in the plot; one that has no name here keeps its own."""
    stage, _slash, value = series.partition("/")
    first, _space, number = stage.partition(" ")
    if number.isdigit():  # "semi 2/loss" is of the second one of its kind
        return f"{seriesName(f'{first}/{value}')} ({number})"
    names = {
        "semi/loss": _("Loss, first network"),
        "semi/dice": _("Dice, first network"),
        "target/loss": _("Loss, final network"),
        "target/dice": _("Dice, final network"),
        "rows/loss": _("Loss, network of the second direction"),
        "columns/loss": _("Loss, network of the third direction"),
        "overview/loss": _("Loss, network of whole volumes"),
        "registration/loss": _("Loss, registration"),
    }
    return names.get(series, series)
