"""Slicer's main window, for pictures: menus, the module panel on the left, the views on the right."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QComboBox, QDockWidget, QFrame, QLabel, QMainWindow, QScrollArea, QToolBar

from .api import SlicerClass

MENUS = ("File", "Edit", "View", "Help")
# Roles and colors of the dark style's palette (active and disabled).
DARK = {
    QPalette.Window: "#323232",
    QPalette.WindowText: "#ffffff",
    QPalette.Base: "#3c3c3c",
    QPalette.AlternateBase: "#464646",
    QPalette.Text: "#ffffff",
    QPalette.Button: "#404040",
    QPalette.ButtonText: "#ffffff",
    QPalette.BrightText: "#ff4444",
    QPalette.ToolTipBase: "#505050",
    QPalette.ToolTipText: "#ffffff",
    QPalette.PlaceholderText: "#a0a0a0",
    QPalette.Link: "#5aa0ff",
    QPalette.Highlight: "#2a6fbf",
    QPalette.HighlightedText: "#ffffff",
}
DIMMED = (QPalette.WindowText, QPalette.Text, QPalette.ButtonText)


class qSlicerMainWindow(SlicerClass, QMainWindow):
    """The window with one module open."""

    def __init__(self, moduleWidget, panelWidth: int = 500) -> None:
        super().__init__()
        self.objectName, self.windowTitle = "qSlicerMainWindow", "3D Slicer"
        for title in MENUS:
            self.menuBar().addMenu(title)
        toolBar, modules = QToolBar(self), QComboBox()
        modules.addItem(moduleWidget.moduleName)
        modules.minimumWidth = 160
        toolBar.movable = False
        toolBar.addWidget(QLabel(" Modules: "))
        toolBar.addWidget(modules)
        self.addToolBar(toolBar)
        panel, self._scroll = QDockWidget(self), QScrollArea()
        panel.setTitleBarWidget(QLabel(f"<b>&nbsp;{moduleWidget.moduleName}</b>"))
        panel.features = QDockWidget.NoDockWidgetFeatures
        self._scroll.widgetResizable = True
        self._scroll.setFrameShape(QFrame.NoFrame)
        self._scroll.horizontalScrollBarPolicy = Qt.ScrollBarAlwaysOff
        self._scroll.setWidget(moduleWidget.parent)
        panel.setWidget(self._scroll)
        self._scroll.setFixedWidth(panelWidth)
        self.addDockWidget(Qt.LeftDockWidgetArea, panel)
        self.setCentralWidget(slicer.app.layoutManager().viewport())
        self.resize(1366, 768)


def setDark(dark: bool) -> None:
    """Gives the application the palette of Slicer's dark or light style."""
    palette = QPalette() if not dark else QPalette(QColor(DARK[QPalette.Button]), QColor(DARK[QPalette.Window]))
    for role, color in DARK.items() if dark else ():
        palette.setColor(role, QColor(color))
        if role in DIMMED:
            palette.setColor(QPalette.Disabled, role, QColor("#808080"))
    slicer.app.setPalette(palette)
