"""``slicer.parameterNodeWrapper``: typed attributes kept in a vtkMRMLScriptedModuleNode, bound to widgets.

Nodes are kept as node references, everything else as text, so that it is saved with the scene.
"""

from __future__ import annotations

import typing

import slicer
from PySide6 import QtWidgets

from . import parameterWidgets
from .parameterTypes import NONE, Choice, Default, Maximum, Minimum, Parameter, WithinRange

# The names that Slicer 5.12's package has and the host, too.
TYPES = (Choice, Default, Maximum, Minimum, WithinRange)
EXPORTED = ("parameterNodeWrapper", "isParameterNodeWrapper", *(kind.__name__ for kind in TYPES))


def parameterNodeWrapper(cls: type) -> type:
    """Makes the annotated class one whose attributes live in the parameter node given to its constructor."""
    parameters = {
        name: Parameter(name, annotated, getattr(cls, name, NONE))
        for name, annotated in typing.get_type_hints(cls, include_extras=True).items()
    }
    for name, parameter in parameters.items():
        if hasattr(_Wrapper, name):
            raise ValueError(f"'{name}' is taken in parameter nodes")
        setattr(cls, name, _attribute(parameter))
    return type(cls.__name__, (cls, _Wrapper), {"allParameters": parameters, "__module__": cls.__module__})


def _attribute(parameter: Parameter) -> property:
    return property(
        lambda self: parameter.read(self.parameterNode),
        lambda self, value: parameter.write(self.parameterNode, value),
    )


def isParameterNodeWrapper(something) -> bool:
    return isinstance(something, _Wrapper) or (isinstance(something, type) and issubclass(something, _Wrapper))


class _Wrapper:
    """What every wrapped parameter node can do."""

    def __init__(self, parameterNode) -> None:
        self.parameterNode = parameterNode
        self._guis, self._nextTag, self._updatingGui = {}, 0, False
        for parameter in self.allParameters.values():
            if not parameter.isIn(parameterNode):
                parameter.write(parameterNode, parameter.makeDefault())

    def __setattr__(self, name: str, value) -> None:
        internal = name in ("parameterNode", "_guis", "_nextTag", "_updatingGui")
        if name not in self.allParameters and not internal:
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}'")
        super().__setattr__(name, value)

    def getValue(self, name: str):
        return self._known(name).read(self.parameterNode)

    def setValue(self, name: str, value) -> None:
        self._known(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(generator=self._known(name).makeDefault)

    def dataType(self, name: str):
        return self._known(name).annotated

    def _known(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a parameter named '{name}'")
        return self.allParameters[name]

    def connectGui(self, gui) -> int:
        """Binds the widgets whose dynamic property ``SlicerParameterName`` names a parameter, both ways."""
        isWidget = isinstance(gui, QtWidgets.QWidget)
        widgets = gui.findChildren(QtWidgets.QWidget) if isWidget else vars(gui).values()
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict) -> int:
        connectors = [(self._known(name), parameterWidgets.connector(widget)) for name, widget in mapping.items()]
        for parameter, connector in connectors:
            connector.prepare(parameter)
            connector.write(parameter.read(self.parameterNode))
        stops = [connector.onChanged(self._fromGui(parameter, connector)) for parameter, connector in connectors]
        observer = self.AddObserver("ModifiedEvent", lambda *_: self._toGui(connectors))
        self._nextTag += 1
        self._guis[self._nextTag] = (stops, observer)
        return self._nextTag

    def _fromGui(self, parameter: Parameter, connector):
        def changed(*_) -> None:
            if not self._updatingGui:
                with slicer.util.NodeModify(self):
                    parameter.write(self.parameterNode, connector.read())

        return changed

    def _toGui(self, connectors) -> None:
        if self._updatingGui:
            return
        self._updatingGui = True
        try:
            for parameter, connector in connectors:
                connector.write(parameter.read(self.parameterNode))
        finally:
            self._updatingGui = False

    def disconnectGui(self, tag: int) -> None:
        stops, observer = self._guis.pop(tag, ([], None))
        for stop in stops:
            stop()
        if observer is not None:
            self.RemoveObserver(observer)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified) -> None:
        self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()
