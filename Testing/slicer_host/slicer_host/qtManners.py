"""``qt``: PySide6 with the manners of PythonQt, through which Slicer shows Qt to Python.

Properties are attributes, ``connect("clicked(bool)", function)`` works, objects have a ``name`` and a
``className()``, and assigning an attribute that does not exist raises. PySide6's own inventions are hidden.
"""

from __future__ import annotations

import inspect
from types import MethodType, ModuleType

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import QMetaObject, QObject

from . import api

QT_MODULES = (QtCore, QtGui, QtWidgets)
HIDDEN = ("QEnum", "QFlag")

_plainGetAttribute = QObject.__getattribute__
_connections: dict[int, list[tuple]] = {}


def addManners() -> None:
    """Changes PySide6's classes in this process; does nothing when called again."""
    if QObject.__getattribute__ is _getAttribute:
        return
    for module in QT_MODULES:
        for cls in [getattr(module, name) for name in dir(module)]:
            if isinstance(cls, type) and issubclass(cls, QObject):
                _propertiesToAttributes(cls)
                if "__setattr__" in vars(cls):
                    cls.__setattr__ = _setAttribute
    QObject.connect, QObject.disconnect = connect, disconnect  # of the class: qt.QObject.connect(sender, ...)
    QObject.name = property(lambda self: self.objectName, lambda self, name: self.setObjectName(name))
    QObject.className = lambda self: self.metaObject().className()
    QObject.__getattribute__ = _getAttribute


def _propertiesToAttributes(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        described = meta.property(index)
        name, getter = described.name(), vars(cls).get(described.name())
        isGetter = inspect.ismethoddescriptor(getter) and not isinstance(getter, staticmethod)
        # A class with a getter of its own (virtual ones such as sizeHint) must be asked through that getter.
        if index >= meta.propertyOffset() or isGetter:
            read = getter if isGetter else lambda self, n=name: QObject.property(self, n)
            attribute = Attribute(read, _setter(cls, name) if described.isWritable() else None)
            attribute.original = vars(cls).get(name, attribute)
            setattr(cls, name, attribute)


class Attribute(property):
    """A Qt property as an attribute; asked of the class, it is Qt's function of that name (QTimer.singleShot)."""

    def __get__(self, instance, owner=None):
        return super().__get__(instance, owner) if instance is not None else self.original


def _setter(cls: type, name: str):
    method = f"set{name[0].upper()}{name[1:]}"
    hasMethod = hasattr(cls, method)

    def write(self, value) -> None:
        if hasMethod:
            getattr(self, method)(value)
        elif not QObject.setProperty(self, name, value):
            raise TypeError(f"{type(self).__name__}.{name} cannot be {value!r}")

    return write


def _setAttribute(self, name: str, value) -> None:
    cls = type(self)
    owner = next((base for base in cls.__mro__ if name in vars(base)), None)
    isHost = "_isHostClass" in vars(cls)
    isModules = not isHost and not cls.__module__.startswith("PySide6")
    attribute = vars(owner)[name] if owner is not None else None
    if isinstance(attribute, QtCore.Property) and attribute.fset is not None:
        attribute.fset(self, value)
    elif isinstance(attribute, property):
        attribute.__set__(self, value)
    elif isModules or (isHost and name.startswith("_")) or isinstance(value, QtCore.SignalInstance):
        self.__dict__[name] = value
    elif not (isinstance(value, QObject) and value.objectName == name):  # PySide6's loader of .ui files tries this
        raise AttributeError(f"cannot assign: {api.whyMissing(cls, name)}")


def _getAttribute(self, name: str):
    if name in ("connect", "disconnect"):  # PySide6 answers these of an object before it asks the class
        return MethodType(globals()[name], self)
    try:
        return _plainGetAttribute(self, name)
    except AttributeError:
        if hasattr(type(self), name):  # the error comes from within a property
            raise
        raise AttributeError(api.whyMissing(type(self), name)) from None


def connect(sender: QObject, signal: str, *target) -> bool:
    """PythonQt's ``sender.connect("clicked(bool)", function)`` or ``sender.connect("clicked()", receiver, "close()")``.

    As in PythonQt, the function is kept alive and gets no more arguments than it takes.

    Raises:
        AttributeError: the sender has no such signal, or the receiver no such slot.
    """
    instance, argumentCount = _signal(sender, signal)
    function = target[0] if len(target) == 1 else getattr(target[0], target[1].split("(")[0])
    forward = _forwarder(function, argumentCount)
    instance.connect(forward)
    pointer = shiboken6.getCppPointer(sender)[0]
    if pointer not in _connections:
        sender.destroyed.connect(lambda *_: _connections.pop(pointer, None))
    _connections.setdefault(pointer, []).append((_normal(signal), target, instance, forward))
    return True


def disconnect(sender: QObject, signal: str, *target) -> bool:
    """Undoes ``connect``; without a target, undoes all connections of the signal. False if there was none."""
    _signal(sender, signal)
    kept, found = [], False
    for entry in _connections.get(shiboken6.getCppPointer(sender)[0], []):
        if entry[0] == _normal(signal) and (not target or entry[1] == target):
            entry[2].disconnect(entry[3])
            found = True
        else:
            kept.append(entry)
    if found:
        _connections[shiboken6.getCppPointer(sender)[0]] = kept
    return found


def _normal(signature: str) -> str:
    return bytes(QMetaObject.normalizedSignature(signature).data()).decode().replace("const ", "")


def _signal(sender: QObject, signal: str):
    """The signal's PySide6 object and the number of its arguments."""
    signature = _normal(signal)
    name, arguments = signature.rstrip(")").split("(", 1)
    className = api.slicerName(type(sender))
    ofSlicer = className is not None and name in api.signalNames(className)
    known = (
        signature in api.members(className, "signals")
        if ofSlicer
        else sender.metaObject().indexOfSignal(signature) >= 0
    )
    if not known:
        raise AttributeError(f"{className or type(sender).__name__} has no signal '{signal}'")
    instance = getattr(sender, name)
    if ofSlicer and arguments == "bool":
        instance = instance[bool]
    return instance, len(arguments.split(",")) if arguments else 0


def _forwarder(function, count: int):
    """A function of exactly ``count`` arguments, by which PySide6 chooses what to send, that hands on what fits."""
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    accepted = count
    if code is not None and not code.co_flags & inspect.CO_VARARGS:
        accepted = min(count, code.co_argcount - (plain is not function))
    return (
        lambda: function(),
        lambda a: function(*(a,)[:accepted]),
        lambda a, b: function(*(a, b)[:accepted]),
        lambda a, b, c: function(*(a, b, c)[:accepted]),
        lambda a, b, c, d: function(*(a, b, c, d)[:accepted]),
    )[count]


class QtModule(ModuleType):
    """The module ``qt``: every ``Q...`` name of QtCore, QtGui and QtWidgets, and nothing else."""

    def __getattr__(self, name: str):
        if name.startswith("Q") and name not in HIDDEN:
            for module in QT_MODULES:
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"Slicer's qt has no '{name}'")
