"""Widgets from .ui files."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer

FOLDER = Path(__file__).resolve().parents[1] / "Resources" / "UI"


def loadInterface(name: str):
    """The widget of the file NAME.ui, and its child widgets by their names."""
    widget = slicer.util.loadUI(str(FOLDER / f"{name}.ui"))
    return widget, slicer.util.childWidgetVariables(widget)


def openPath(path: Path) -> None:
    """Opens a file or folder with the program that the user has for it."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))
