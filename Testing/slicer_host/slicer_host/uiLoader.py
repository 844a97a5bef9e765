"""``qt.QUiLoader``: Qt's own loader, which also makes Slicer's classes and refuses what these do not have."""

from __future__ import annotations

from xml.etree import ElementTree

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtUiTools import QUiLoader as QtUiLoader

from . import api

classes: dict[str, type] = {}


class QUiLoader(QtUiLoader):
    """Loads a .ui file.

    Raises:
        AttributeError: a property, signal or slot in the file does not exist.
    """

    def load(self, device, parent=None):
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        for element in tree.iter("widget"):
            self._check(element)
        connections = tree.find("connections")
        if connections is not None:
            tree.remove(connections)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(tree)))
        buffer.open(QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        for connection in connections if connections is not None else []:
            self._connect(widget, **{element.tag: element.text for element in connection if element.tag != "hints"})
        return widget

    @staticmethod
    def _check(element) -> None:
        """A wrong property would silently become a dynamic one: refuse it. (stdset=0 marks the wanted dynamic ones.)"""
        className = element.get("class")
        if className.startswith(api.PREFIXES) and className not in classes:
            raise AttributeError(f"{className} is not in Testing/slicer_host: add it there if Slicer has it")
        cls = classes.get(className)
        for tag in element.findall("property"):
            name = tag.get("name")
            if cls and tag.get("stdset") != "0" and cls.staticMetaObject.indexOfProperty(name) < 0:
                raise AttributeError(api.whyMissing(cls, name))

    @staticmethod
    def _connect(top, sender: str, signal: str, receiver: str, slot: str) -> None:
        found = {top.objectName: top, **{child.objectName: child for child in top.findChildren(object)}}
        found[sender].connect(signal, found[receiver], slot)

    def createWidget(self, className: str, parent=None, name: str = ""):
        if className not in classes:
            return super().createWidget(className, parent, name)
        widget = classes[className](parent)
        widget.objectName = name
        return widget
