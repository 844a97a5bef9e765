"""Which widgets ``connectGui`` binds to which types: those that Slicer's own connectors know."""

from __future__ import annotations

import enum
from pathlib import PurePath

from PySide6 import QtWidgets

from .ctkPaths import ctkDirectoryButton, ctkPathLineEdit
from .ctkWidgets import ctkSliderWidget
from .mrmlWidgets import qMRMLNodeComboBox


class Connector:
    """A widget's value: the attribute that holds it and the signal that tells of a change."""

    def __init__(self, widget, attribute: str, signal: str) -> None:
        self.widget, self.attribute, self.signal = widget, attribute, signal
        self._type = None

    def prepare(self, parameter) -> None:
        """Checks that the widget can show the type; gives number widgets their range."""
        self._type = parameter.type
        if parameter.type not in TYPES[type(self.widget)]:
            raise RuntimeError(f"Slicer cannot bind {parameter.name} to a {type(self.widget).__name__}")
        bounds = {
            name: getattr(item, name)
            for item in parameter.annotations
            for name in ("minimum", "maximum")
            if hasattr(item, name)
        }
        if isinstance(self.widget, (ctkSliderWidget, QtWidgets.QSlider)) and len(bounds) < 2:
            raise RuntimeError(f"{parameter.name} needs WithinRange to be bound to a slider")
        if parameter.type in (int, float):
            lowest, highest = (-(2**31), 2**31 - 1) if parameter.type is int else (-1e300, 1e300)
            self.widget.minimum = bounds.get("minimum", lowest)
            self.widget.maximum = bounds.get("maximum", highest)

    def read(self):
        return self._type(getattr(self.widget, self.attribute))

    def write(self, value) -> None:
        setattr(self.widget, self.attribute, str(value) if issubclass(self._type, PurePath) else value)

    def onChanged(self, function):
        """Calls the function on every change; returns a function that ends this."""
        self.widget.connect(self.signal, function)
        return lambda: self.widget.disconnect(self.signal, function)


class NodeConnector(Connector):
    def prepare(self, parameter) -> None:
        if not parameter.isNode:
            raise RuntimeError(f"Slicer cannot bind {parameter.name} to a qMRMLNodeComboBox")
        self.widget.nodeTypes = [kind.__name__ for kind in parameter.types]

    def read(self):
        return self.widget.currentNode()

    def write(self, value) -> None:
        self.widget.setCurrentNode(value)


class ChoiceConnector(Connector):
    """A plain combo box: its entries become the choices, or the members of the Enum (their ``label()`` or name)."""

    def prepare(self, parameter) -> None:
        if issubclass(parameter.type, enum.Enum):
            self._values = list(parameter.type)
            label = getattr(parameter.type, "label", lambda member: member.name)
        else:
            self._values = next((item.choices for item in parameter.annotations if hasattr(item, "choices")), None)
            label = str
        if self._values is None:
            raise RuntimeError(f"{parameter.name} needs Choice to be bound to a QComboBox")
        self.widget.clear()
        self.widget.addItems([label(value) for value in self._values])

    def read(self):
        return self._values[self.widget.currentIndex]

    def write(self, value) -> None:
        self.widget.currentIndex = self._values.index(value)


class PlainTextConnector(Connector):
    def read(self) -> str:
        return self.widget.toPlainText()

    def write(self, value: str) -> None:
        if value != self.widget.toPlainText():
            self.widget.setPlainText(value)


CONNECTORS = {
    QtWidgets.QCheckBox: (Connector, "checked", "toggled(bool)"),
    QtWidgets.QPushButton: (Connector, "checked", "toggled(bool)"),
    QtWidgets.QSlider: (Connector, "value", "valueChanged(int)"),
    QtWidgets.QSpinBox: (Connector, "value", "valueChanged(int)"),
    QtWidgets.QDoubleSpinBox: (Connector, "value", "valueChanged(double)"),
    ctkSliderWidget: (Connector, "value", "valueChanged(double)"),
    QtWidgets.QComboBox: (ChoiceConnector, "currentIndex", "currentIndexChanged(int)"),
    QtWidgets.QLineEdit: (Connector, "text", "textChanged(QString)"),
    QtWidgets.QTextEdit: (PlainTextConnector, "", "textChanged()"),
    ctkPathLineEdit: (Connector, "currentPath", "currentPathChanged(QString)"),
    ctkDirectoryButton: (Connector, "directory", "directoryChanged(QString)"),
    qMRMLNodeComboBox: (NodeConnector, "", "currentNodeChanged(vtkMRMLNode*)"),
}


class _Paths:
    """Any class of paths."""

    def __contains__(self, kind: type) -> bool:
        return issubclass(kind, PurePath)


TYPES = {
    QtWidgets.QCheckBox: (bool,),
    QtWidgets.QPushButton: (bool,),
    QtWidgets.QSlider: (int,),
    QtWidgets.QSpinBox: (int,),
    QtWidgets.QDoubleSpinBox: (float,),
    ctkSliderWidget: (float,),
    QtWidgets.QLineEdit: (str,),
    QtWidgets.QTextEdit: (str,),
    ctkPathLineEdit: _Paths(),
    ctkDirectoryButton: _Paths(),
}


def connector(widget) -> Connector:
    """The connector for the widget; like Slicer's, only for these classes themselves, not for derived ones."""
    if type(widget) not in CONNECTORS:
        raise RuntimeError(f"Slicer cannot bind parameters to a {type(widget).__name__}")
    kind, attribute, signal = CONNECTORS[type(widget)]
    return kind(widget, attribute, signal)
