"""The effects of the segment editor: their names and parameters. The mouse tools themselves need Slicer."""

from __future__ import annotations

from PySide6.QtCore import Property, QObject

from .api import SlicerClass

EFFECTS = (
    *("Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices", "Margin"),
    *("Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume"),
)


class qSlicerSegmentEditorAbstractEffect(SlicerClass, QObject):
    """One tool of the editor: a name and parameters kept in the editor's node."""

    def __init__(self, effectName: str, editor) -> None:
        super().__init__(editor)
        self._editor = editor
        self._name = effectName

    name = Property(str, lambda self: self._name)
    title = Property(str, lambda self: self._name)

    def parameterSetNode(self):
        return self._editor.mrmlSegmentEditorNode()

    def parameter(self, name: str) -> str:
        return self.parameterSetNode().GetAttribute(f"{self._name}.{name}") or ""

    def setParameter(self, name: str, value) -> None:
        self.parameterSetNode().SetAttribute(f"{self._name}.{name}", str(value))

    def setCommonParameter(self, name: str, value) -> None:
        self.parameterSetNode().SetAttribute(name, str(value))

    def active(self) -> bool:
        return self._editor.activeEffect() is self
