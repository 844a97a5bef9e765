"""A scene without the Slicer application: what plain Python with the wheel slicer-core lacks of it.

Gives ``slicer`` a scene, module logics and file input and output, so that ``slicer.util.loadVolume``,
``loadSegmentation``, ``saveNode``, ``saveScene`` and the array functions work as in Slicer.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import slicer

LOGICS = {
    "Colors": "vtkMRMLColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


def startHeadless() -> None:
    """Gives ``slicer`` a scene and what goes with it; does nothing inside Slicer or when called again."""
    if hasattr(slicer, "mrmlScene"):
        return
    slicer.mrmlScene = slicer.vtkMRMLScene()
    # Without a root folder, storage nodes look for absolute paths below the current folder.
    slicer.mrmlScene.SetRootDirectory(tempfile.gettempdir())
    _addCache(slicer.mrmlScene)
    applicationLogic = slicer.vtkSlicerApplicationLogic()
    applicationLogic.SetMRMLScene(slicer.mrmlScene)
    applicationLogic.SetTemporaryPath(tempfile.gettempdir())
    # The application logic does not own the module logics, so they are all kept in slicer.modules.
    slicer.modules = SimpleNamespace()
    for moduleName, className in LOGICS.items():
        addModuleLogic(applicationLogic, moduleName, className)
    _addGenericColors()
    slicer.app = SimpleNamespace(
        applicationLogic=lambda: applicationLogic,
        coreIOManager=IOManager,
        pauseRender=lambda: None,
        resumeRender=lambda: None,
    )


def addModuleLogic(applicationLogic, moduleName: str, className: str) -> None:
    """Makes the logic of one of Slicer's modules known to the application logic and in ``slicer.modules``."""
    logic = getattr(slicer, className)()
    logic.SetMRMLApplicationLogic(applicationLogic)
    logic.SetMRMLScene(slicer.mrmlScene)
    applicationLogic.SetModuleLogic(moduleName, logic)
    setattr(slicer.modules, moduleName.lower(), SimpleNamespace(logic=lambda: logic))


def _addCache(scene) -> None:
    """Gives the scene the folder in which scene bundles (.mrb) are unpacked."""
    ioManager, cacheManager = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
    # A folder of its own: the cache manager looks at, and could remove, everything in it.
    folder = tempfile.mkdtemp(prefix="SparseSeg-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cacheManager.SetRemoteCacheDirectory(folder)
    cacheManager.SetMRMLScene(scene)
    ioManager.SetCacheManager(cacheManager)
    scene.SetCacheManager(cacheManager)
    scene.SetDataIOManager(ioManager)


def _addGenericColors() -> None:
    """Adds the color node that label maps refer to, which Slicer reads from a file."""
    colors = slicer.vtkMRMLColorTableNode()
    colors.SetTypeToRandom()
    colors.SetName("GenericColors")
    colors.SetSingletonTag("FileGenericColors.txt")
    colors.SetSaveWithScene(False)
    slicer.mrmlScene.AddNode(colors)


class IOManager:
    """The part of qSlicerCoreIOManager that the load and save functions of ``slicer.util`` call."""

    def loadNodes(self, fileType: str, properties: dict, nodes, messages) -> bool:
        """Loads a volume or a segmentation file and adds the node to the collection ``nodes``; or loads a .mrb."""
        path = Path(properties["fileName"])
        if fileType == "SceneFile":
            if properties.get("clear", True):
                slicer.mrmlScene.Clear(False)
            return slicer.mrmlScene.ReadFromMRB(str(path), False, messages)
        name = properties.get("name") or path.name.split(".")[0]
        if fileType == "VolumeFile":
            node = slicer.modules.volumes.logic().AddArchetypeVolume(
                str(path), name, int(properties.get("labelmap", 0))
            )
        elif fileType == "SegmentationFile":
            node = slicer.modules.segmentations.logic().LoadSegmentationFromFile(str(path), True, name)
        else:
            raise NotImplementedError(f"Files of type {fileType} need Slicer itself.")
        if node is not None:
            nodes.AddItem(node)
        return node is not None

    def fileWriterFileType(self, node) -> str:
        """The kind of file that ``node`` is written to."""
        return node.GetClassName()

    def saveNodes(self, fileType: str, properties: dict, messages) -> bool:
        """Saves a node, or the scene with all its data as .mrb."""
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            if not path.endswith(".mrb"):
                raise NotImplementedError("Scenes are saved as .mrb here; other forms need Slicer itself.")
            return slicer.mrmlScene.WriteToMRB(path, None, messages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode()
        return bool(node.GetStorageNode().SetFileName(path) or node.GetStorageNode().WriteData(node))
