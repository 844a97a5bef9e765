"""Widgets from .ui files."""

from __future__ import annotations

from pathlib import Path

import slicer

FOLDER = Path(__file__).resolve().parents[1] / "Resources" / "UI"


def loadInterface(name: str):
    """The widget of the file NAME.ui, and its child widgets by their names."""
    widget = slicer.util.loadUI(str(FOLDER / f"{name}.ui"))
    return widget, slicer.util.childWidgetVariables(widget)
