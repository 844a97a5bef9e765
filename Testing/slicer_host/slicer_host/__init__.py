"""Stands in for the Slicer application in tests: ``start()``, then ``import slicer, qt, ctk`` work as in Slicer 5.12.

The scene, its nodes and logics and ``slicer.util`` are Slicer's own, from the wheel slicer-core. Qt is PySide6 with
PythonQt's manners; Slicer's widgets are small ones made here. What Slicer does not have raises.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import ModuleType

MODULES = Path(__file__).resolve().parents[3] / "SparseSeg"


def start():
    """Starts the host and returns ``slicer``; does nothing when called again."""
    import slicer

    if hasattr(slicer, "qMRMLWidget"):
        return slicer
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if sys.platform == "linux":  # render without a screen, and without trying to find one first
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    if str(MODULES) not in sys.path:
        sys.path.insert(0, str(MODULES))
    from SparseSegLib.headless import startHeadless

    from . import qtManners

    startHeadless()
    qtManners.addManners()
    _installModules(slicer)
    return slicer


def _installModules(slicer) -> None:
    from . import (
        application,
        ctkPaths,
        ctkWidgets,
        editorEffects,
        layoutManager,
        mainWindow,
        mrmlWidgets,
        packaging,
        parameterNodes,
        qtManners,
        scriptedModules,
        segmentEditor,
        segmentWidgets,
        uiLoader,
        views,
        viewWidgets,
    )

    qt, ctk = qtManners.QtModule("qt"), ModuleType("ctk")
    qt.QUiLoader = uiLoader.QUiLoader
    for source in (
        *(ctkWidgets, ctkPaths, mrmlWidgets, segmentWidgets, editorEffects, segmentEditor),
        *(views, viewWidgets, layoutManager, mainWindow, application),
    ):
        for name, cls in vars(source).items():
            if isinstance(cls, type) and "_isHostClass" in vars(cls):
                setattr(ctk if name.startswith("ctk") else slicer, name, cls)
                uiLoader.classes[name] = cls
    sys.modules.update({"qt": qt, "ctk": ctk})
    _install(
        "slicer.packaging", packaging, [name for name in vars(packaging) if name.startswith(("pip_", "load_", "is"))]
    )
    _install("slicer.parameterNodeWrapper", parameterNodes, parameterNodes.EXPORTED)
    _install("slicer.i18n", scriptedModules, ("tr", "translate"))
    scripted = [name for name in vars(scriptedModules) if name.startswith("ScriptedLoadableModule")]
    _install("slicer.ScriptedLoadableModule", scriptedModules, scripted)
    # Keeps the application alive: Qt ends with it.
    slicer.app = application.qSlicerApplication(slicer.app.applicationLogic())


def _install(name: str, source: ModuleType, exported) -> None:
    import slicer

    module = ModuleType(name, source.__doc__)
    vars(module).update({each: getattr(source, each) for each in exported})
    sys.modules[name] = module
    setattr(slicer, name.split(".")[1], module)


def openModule(name: str):
    """Loads the module if need be, enters its window, and returns what the module calls its widget."""
    slicer = start()
    modules = slicer.app.moduleManager()
    module = modules.module(name) or modules._load(MODULES / f"{name}.py")
    representation = module.widgetRepresentation()
    representation.show()
    representation.enter()
    return representation.self()


def setTesting(enabled: bool) -> None:
    """Whether the application runs as with --testing (as at first): message boxes answer themselves."""
    start().app._isTesting = enabled


@contextlib.contextmanager
def raisingErrors():
    """Raises at the end the first error of a slot or an observer in between, which Qt and VTK would only print."""
    errors, hook = [], sys.excepthook
    sys.excepthook = lambda kind, error, trace: errors.append(error)
    try:
        yield
    finally:
        sys.excepthook = hook
    if errors:
        raise errors[0]
