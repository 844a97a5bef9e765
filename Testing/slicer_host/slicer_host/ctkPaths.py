"""``ctk``: the widgets for paths of files and folders."""

from __future__ import annotations

from PySide6.QtCore import Property, QDir, QSettings, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QSizePolicy, QToolButton, QWidget

from .api import Setting, SlicerClass


class ctkPathLineEdit(SlicerClass, QWidget):
    """A line for the path of a file or folder, with the recent ones and a button to browse."""

    Files, Dirs, Drives, NoDot, NoDotDot, Readable, Writable = 0x2, 0x1, 0x4, 0x2000, 0x4000, 0x10, 0x20
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    filters = Setting(int, "filters", Files)
    nameFilters = Setting("QStringList", "nameFilters", [])
    label = Setting(str, "label", "")
    settingKey = Setting(str, "settingKey", "")
    showBrowseButton = Setting(bool, "showBrowseButton", True)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._combo, self._button = QComboBox(self), QToolButton(self)
        self._combo.editable = True
        self._combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self._button.text = "..."
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        layout.addWidget(self._button)
        self._button.clicked.connect(lambda _: self.browse())
        self._combo.editTextChanged.connect(self.currentPathChanged.emit)

    def _changed(self, name: str) -> None:
        self._button.visible = self.showBrowseButton
        if name == "settingKey":
            self.retrieveHistory()

    def comboBox(self) -> QComboBox:
        return self._combo

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    currentPath = Property(str, lambda self: self._combo.currentText, setCurrentPath)

    def browse(self) -> None:
        if self.filters & self.Dirs:
            path = QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        else:
            path, _ = QFileDialog.getOpenFileName(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        if path:
            self.currentPath = path

    def addCurrentPathToHistory(self) -> None:
        paths = [self.currentPath, *(path for path in self._history() if path != self.currentPath)]
        QSettings().setValue(self.settingKey, paths)
        self.retrieveHistory()

    def retrieveHistory(self) -> None:
        path = self.currentPath
        self._combo.blockSignals(True)
        self._combo.clear()
        self._combo.addItems(self._history())
        self._combo.setEditText(path)
        self._combo.blockSignals(False)

    def _history(self) -> list[str]:
        kept = QSettings().value(self.settingKey) if self.settingKey else None
        return [kept] if isinstance(kept, str) else list(kept or [])


class ctkDirectoryButton(SlicerClass, QWidget):
    """A button that shows a folder and asks for another when clicked."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption = Setting(str, "caption", "")

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._button = QPushButton(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(lambda _: self.browse())
        self._path = QDir.currentPath()
        self._button.text = self._path

    def _setDirectory(self, path: str) -> None:
        if path != self._path:
            self._path = path
            self._button.text = path
            self.directoryChanged.emit(path)

    directory = Property(str, lambda self: self._path, _setDirectory)

    def browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, self.caption, self._path)
        if path:
            self.directory = path
            self.directorySelected.emit(path)
