"""What parameter nodes can keep: types, validators and defaults, and their form as text in the node."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from pathlib import PurePath

import slicer

NONE = object()  # in place of a default


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
        self.makeDefault = defaults[0] if defaults else (lambda: default) if default is not NONE else self._first
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
