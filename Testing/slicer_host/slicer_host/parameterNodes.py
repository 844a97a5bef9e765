"""``slicer.parameterNodeWrapper``: typed attributes kept in a vtkMRMLScriptedModuleNode, bound to widgets.

Nodes are kept as node references, everything else as text, so that it is saved with the scene.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from pathlib import PurePath

import slicer
from PySide6 import QtWidgets

from . import parameterWidgets

# The names that Slicer 5.12's package has and the host, too.
EXPORTED = ("parameterNodeWrapper", "isParameterNodeWrapper", "Default", "Minimum", "Maximum", "WithinRange", "Choice")


@dataclasses.dataclass
class Minimum:
    """The value is at least this."""

    minimum: float

    def check(self, value) -> bool:
        return value >= self.minimum


@dataclasses.dataclass
class Maximum:
    """The value is at most this."""

    maximum: float

    def check(self, value) -> bool:
        return value <= self.maximum


@dataclasses.dataclass
class WithinRange:
    """The value lies between these two, or is one of them."""

    minimum: float
    maximum: float

    def check(self, value) -> bool:
        return self.minimum <= value <= self.maximum


class Choice:
    """The value is one of these."""

    def __init__(self, choices) -> None:
        self.choices = list(choices)

    def check(self, value) -> bool:
        return value in self.choices


class Default:
    """The value before any is set, or a function that makes it."""

    def __init__(self, value=None, generator=None) -> None:
        self.generator = generator or (lambda: value)


VALIDATORS = (Minimum, Maximum, WithinRange, Choice)
FIRST_VALUES = {int: 0, float: 0.0, str: "", bool: False, list: [], dict: {}, tuple: ()}


class Parameter:
    """One attribute: its type, what it must fulfil, and how it is kept in the node."""

    def __init__(self, name: str, annotated, default) -> None:
        self.name, self.annotated = name, annotated
        isAnnotated = typing.get_origin(annotated) is typing.Annotated
        plain = typing.get_args(annotated)[0] if isAnnotated else annotated
        self.annotations = list(annotated.__metadata__) if isAnnotated else []
        self.optional = typing.get_origin(plain) in (typing.Union, types.UnionType)
        alternatives = typing.get_args(plain) if self.optional else (plain,)
        self.types = [kind for kind in alternatives if kind is not type(None)]
        self.optional = type(None) in alternatives
        origin = typing.get_origin(self.types[0]) or self.types[0]
        self.isNode = isinstance(origin, type) and issubclass(origin, slicer.vtkMRMLNode)
        self.type = origin
        defaults = [item.generator for item in self.annotations if isinstance(item, Default)]
        self.makeDefault = defaults[0] if defaults else (lambda: default) if default is not _NONE else self._first
        if not (self.isNode or issubclass(origin, (enum.Enum, PurePath)) or origin in FIRST_VALUES):
            raise TypeError(f"A parameter node cannot keep {name}: {annotated}")

    def _first(self):
        if self.isNode or self.optional:
            return None
        if issubclass(self.type, enum.Enum):
            return next(iter(self.type))
        if self.type in FIRST_VALUES:
            return FIRST_VALUES[self.type]
        return self.type()

    def check(self, value) -> None:
        allowed = tuple(self.types) if self.isNode else (self.type,)
        isRight = isinstance(value, allowed) or (value is None and (self.optional or self.isNode))
        isRight = isRight or (self.type is float and isinstance(value, int) and not isinstance(value, bool))
        if not isRight or (self.type in (int, float) and isinstance(value, bool)):
            raise ValueError(f"{self.name} must be {self.annotated}, not {value!r}")
        for validator in self.annotations:
            if isinstance(validator, VALIDATORS) and value is not None and not validator.check(value):
                raise ValueError(f"{self.name} must not be {value!r}: {validator}")

    def isIn(self, node) -> bool:
        return bool(node.GetNodeReferenceID(self.name)) if self.isNode else bool(node.HasParameter(self.name))

    def write(self, node, value) -> None:
        self.check(value)
        if self.isNode:
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        elif node.GetParameter(self.name) != self.toText(value) or not self.isIn(node):
            node.SetParameter(self.name, self.toText(value))

    def read(self, node):
        return node.GetNodeReference(self.name) if self.isNode else self.fromText(node.GetParameter(self.name))

    def toText(self, value) -> str:
        if value is None:
            return "None"
        if isinstance(value, enum.Enum):
            return value.name
        return json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)

    def fromText(self, text: str):
        if self.optional and text == "None":
            return None
        if issubclass(self.type, enum.Enum):
            return self.type[text]
        if self.type is bool:
            return text == "True"
        return self.type(json.loads(text)) if self.type in (list, tuple, dict) else self.type(text)


_NONE = object()


def parameterNodeWrapper(cls: type) -> type:
    """Makes the annotated class one whose attributes live in the parameter node given to its constructor."""
    parameters = {
        name: Parameter(name, annotated, getattr(cls, name, _NONE))
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
