"""What Python sees of Slicer's own Qt classes, and a base class that allows nothing else.

``api.json`` has the names, written by ``make_api.py``. A host class cannot even be defined with a public name that
Slicer's class does not have, and using a name that it does not have raises.
"""

from __future__ import annotations

import json
from pathlib import Path

from PySide6 import QtCore

TABLE = json.loads((Path(__file__).parent / "api.json").read_text())
PREFIXES = ("ctk", "qMRML", "qSlicer")


def lineage(className: str) -> list[str]:
    """The class and those of its bases that are Slicer's own, nearest first."""
    names, found = [className], []
    while names:
        name = names.pop(0)
        if name in TABLE:
            found.append(name)
            names += TABLE[name]["bases"]
    return found


def members(className: str, kind: str) -> set[str]:
    """Names of a kind ("properties", "readOnly", "signals", "methods") in the class and its bases."""
    return {member for name in lineage(className) for member in TABLE[name][kind]}


def signalNames(className: str) -> set[str]:
    """The signals without their arguments."""
    return {signal.split("(")[0] for signal in members(className, "signals")}


def slicerName(cls: type) -> str | None:
    """The nearest of Slicer's classes that ``cls`` is or derives from."""
    return next((base.__name__ for base in cls.__mro__ if "_isHostClass" in vars(base)), None)


def whyMissing(cls: type, name: str) -> str:
    """One sentence on an attribute that ``cls`` lacks."""
    className = slicerName(cls)
    if className is None:
        return f"{cls.__name__} has no '{name}'"
    everything = signalNames(className).union(
        *(members(className, kind) for kind in ("properties", "readOnly", "methods"))
    )
    if name in everything:
        return f"{className}.{name} exists in Slicer but not yet in Testing/slicer_host: add it there"
    return f"{className} has no '{name}' in Slicer (see slicer-api.json)"


def _kind(value) -> str | None:
    if isinstance(value, QtCore.Property):
        return "properties" if value.fset else "readOnly"
    if isinstance(value, QtCore.Signal):
        return "signals"
    return "methods" if callable(value) else None


class SlicerClass:
    """Base of the host's ``ctk*``, ``qMRML*`` and ``qSlicer*`` classes: their public names must be Slicer's."""

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__ not in TABLE:
            if cls.__name__.startswith(PREFIXES) and cls.__module__.startswith("slicer_host"):
                raise TypeError(f"{cls.__name__} is not in api.json: run make_api.py, or it is no class of Slicer")
            return
        cls._isHostClass = True
        for name, value in list(vars(cls).items()):
            if not name.startswith("_") and name != "staticMetaObject":
                cls._check(name, value)

    def _changed(self, name: str) -> None:
        """A ``Setting`` has a new value."""

    @classmethod
    def _check(cls, name: str, value) -> None:
        kind = _kind(value)
        if any(hasattr(base, name) for base in cls.__mro__[1:]):  # a virtual function of Qt or of a host base
            return
        if isinstance(value, int) and name[0].isupper():  # an enum's value: slicer-api.json lists none
            return
        known = signalNames(cls.__name__) if kind == "signals" else members(cls.__name__, kind) if kind else set()
        if kind == "readOnly":
            known |= members(cls.__name__, "properties")
        if name not in known:
            raise TypeError(f"{cls.__name__} has no '{name}' among its {kind or 'attributes'} in Slicer")


class Setting(QtCore.Property):
    """A property of a Slicer class that keeps what it is given and tells ``_changed(name)``, if there is one."""

    def __init__(self, propertyType, name: str, default) -> None:
        attribute = f"_{name}"

        def write(widget, value) -> None:
            setattr(widget, attribute, value)
            widget._changed(name)

        super().__init__(propertyType, lambda widget: getattr(widget, attribute, default), write)
