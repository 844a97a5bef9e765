"""``slicer.app``, its managers, and the modules that it has loaded."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

import slicer
from PySide6.QtCore import Property, QObject, QSettings, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication, QVBoxLayout

from SparseSegLib.headless import IOManager, addModuleLogic

from .api import Setting, SlicerClass
from .layoutManager import qSlicerLayoutManager
from .mrmlWidgets import qSlicerWidget


class qSlicerCoreApplication(SlicerClass, QApplication):
    """The application, without its main window."""

    startupWorkingPath = Property(str, lambda self: os.getcwd())
    slicerHome = Property(str, lambda self: self._folder)
    temporaryPath = Property(
        str, lambda self: self._temporaryPath, lambda self, path: setattr(self, "_temporaryPath", path)
    )
    cachePath = Property(str, lambda self: self._folder)
    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 12)

    def __init__(self, applicationLogic) -> None:
        super().__init__(["Slicer"])
        self.organizationName, self.applicationName = "slicer.org", "Slicer"
        self._folder = self._temporaryPath = tempfile.mkdtemp(prefix="slicer_host_")
        QSettings.setDefaultFormat(QSettings.IniFormat)
        QSettings.setPath(QSettings.IniFormat, QSettings.UserScope, self._folder)
        self._applicationLogic = applicationLogic
        self._modules = qSlicerModuleManager(self)
        self._isTesting = True

        for moduleName, className in (("Plots", "vtkSlicerPlotsLogic"), ("Cameras", "vtkSlicerCamerasModuleLogic")):
            addModuleLogic(applicationLogic, moduleName, className)

    def applicationLogic(self):
        return self._applicationLogic

    def mrmlScene(self):
        return slicer.mrmlScene

    def coreIOManager(self):
        return IOManager()

    def moduleManager(self):
        return self._modules

    def settings(self) -> QSettings:
        return QSettings()

    def userSettings(self) -> QSettings:
        return QSettings()

    def revisionUserSettings(self) -> QSettings:
        return QSettings()

    def testingEnabled(self) -> bool:
        return self._isTesting

    def startupEnvironment(self) -> dict[str, str]:
        return dict(os.environ)

    def pauseRender(self) -> None:
        self._applicationLogic.PauseRender()

    def resumeRender(self) -> None:
        self._applicationLogic.ResumeRender()


class qSlicerApplication(qSlicerCoreApplication):
    """The application with its views."""

    startupCompleted = Signal()
    _layoutManager = None

    def ioManager(self):
        return self.coreIOManager()

    def layoutManager(self) -> qSlicerLayoutManager:
        if self._layoutManager is None:
            self._layoutManager = qSlicerLayoutManager(self)
        return self._layoutManager


class qSlicerModuleManager(SlicerClass, QObject):
    """The scripted modules that have been loaded, by name."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._loaded: dict[str, qSlicerScriptedLoadableModule] = {}

    def module(self, name: str):
        return self._loaded.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._loaded)

    def _load(self, path: Path):
        module = qSlicerScriptedLoadableModule(path, self)
        self._loaded[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        self.moduleLoaded.emit(module.name)
        return module


class qSlicerScriptedLoadableModule(SlicerClass, QObject):
    """A module written in Python: the texts that it has set, and its window."""

    title = Setting(str, "title", "")
    helpText = Setting(str, "helpText", "")
    acknowledgementText = Setting(str, "acknowledgementText", "")
    categories = Setting("QStringList", "categories", [])
    contributors = Setting("QStringList", "contributors", [])
    dependencies = Setting("QStringList", "dependencies", [])
    icon = Setting(QIcon, "icon", QIcon())
    hidden = Setting(bool, "hidden", False)
    name = Property(str, lambda self: self._path.stem)
    path = Property(str, lambda self: str(self._path))

    def __init__(self, path: Path, parent=None) -> None:
        super().__init__(parent)
        self._path, self._representation = Path(path), None
        if str(self._path.parent) not in sys.path:
            sys.path.insert(0, str(self._path.parent))
        self._python = getattr(importlib.import_module(self.name), self.name)(self)

    def widgetRepresentation(self):
        if self._representation is None:
            self._representation = self.createNewWidgetRepresentation()
        return self._representation

    def createNewWidgetRepresentation(self):
        return qSlicerScriptedLoadableModuleWidget(self.name)


class qSlicerAbstractModuleWidget(qSlicerWidget):
    """A module's window inside the module panel."""

    _isEntered = False
    isEntered = Property(bool, lambda self: self._isEntered)

    def enter(self) -> None:
        if not self._isEntered:
            self._isEntered = True
            self._python.enter()

    def exit(self) -> None:
        if self._isEntered:
            self._isEntered = False
            self._python.exit()


class qSlicerScriptedLoadableModuleWidget(qSlicerAbstractModuleWidget):
    """The window of a module written in Python."""

    moduleName = Property(str, lambda self: self._moduleName)

    def __init__(self, moduleName: str) -> None:
        super().__init__()
        self._moduleName = moduleName
        self.setLayout(QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)
        self._create()

    def _create(self) -> None:
        module = sys.modules[self._moduleName]
        self._python = getattr(module, f"{self._moduleName}Widget")(self)
        setattr(slicer.modules, f"{self._moduleName}Widget", self._python)
        self._python.setup()

    def reload(self) -> None:
        self._create()

    def self(self):
        return self._python
