"""The module's window in the host, and what a user does with it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
for folder in ("slicer_host", "trainer"):  # the host; made-up volumes
    sys.path.insert(0, str(TESTING / folder))

import slicer_host  # noqa: E402


def newWindow(folder: Path):
    """A window as after the start of Slicer, whose cohort and models are in ``folder``."""
    slicer = slicer_host.start()
    import qt

    slicer.mrmlScene.Clear(False)
    qt.QSettings().clear()
    return reopened(folder)


def reopened(folder: Path):
    """Another window over the same scene and settings."""
    sys.modules.pop("SparseSeg", None)  # tests without the host have imported it with other base classes
    import qt

    from SparseSeg import SparseSegLogic
    from SparseSegLib.machineSettings import MachineSettings
    from SparseSegLib.window import Window

    container = qt.QWidget()
    layout = qt.QVBoxLayout(container)
    settings = MachineSettings()
    settings.cohortFolder, settings.modelFolder = str(folder / "cohort"), str(folder / "models")
    window = Window(layout, SparseSegLogic())
    window.container = container
    container.resize(480, 900)
    container.show()
    window.enter()
    return window


def panelOf(window, name: str):
    """The panel of this class."""
    return next(panel for panel in window.panels if type(panel).__name__ == name)


def waitFor(condition, seconds: float = 60) -> None:
    """Lets the application work until the condition holds."""
    import slicer

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        slicer.app.processEvents()
        time.sleep(0.02)


def finish(window) -> str:
    """Waits until no job runs any more, and returns what the window says about it."""
    waitFor(lambda: not window.jobRunner.isRunning())
    window.update()
    return window.jobRunner.ui.messageLabel.text


def click(button) -> None:
    """Clicks as a user does, who cannot click what is disabled."""
    assert button.enabled, button.toolTip
    button.click()


def answering(monkeypatch, answer: bool) -> list[str]:
    """Answers Slicer's questions; returns the list that these are added to."""
    import slicer

    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: asked.append(text) or answer)
    return asked


def tableTexts(table) -> list[list[str]]:
    """What a table shows, row by row."""
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def phantom(name: str, number: int = 0):
    """A small volume in the scene with a bright ellipsoid (slices 3 to 10), and the ellipsoid (k, j, i)."""
    import slicer
    from phantoms import GEOMETRY, ellipsoid_volume

    image, label = ellipsoid_volume(number)
    volumeNode = slicer.util.addVolumeFromArray(image, name=name)
    volumeNode.SetSpacing(GEOMETRY.spacing)
    return volumeNode, label


def drawOn(window, volumeNode, label, slices, name: str = "Ellipsoid"):
    """Chooses the volume and draws the label's slices into a segment, as the user does; the segmentation."""
    import numpy as np
    import slicer
    from scenes import TERMINOLOGY

    case = window.chooseVolume(volumeNode)
    segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} drawing")
    segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    segmentId = segmentationNode.GetSegmentation().AddEmptySegment(name, name, [0.2, 0.6, 0.4])
    segmentationNode.GetSegmentation().GetSegment(segmentId).SetTerminology(TERMINOLOGY)
    drawn = np.zeros(label.shape, np.uint8)
    drawn[slices] = label[slices]
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentationNode, segmentId, volumeNode)
    case.segmentation = segmentationNode
    window.update()
    return segmentationNode


def writeCohort(folder: Path, cases: int = 3, complete: int = 0) -> None:
    """A cohort of phantoms: central slices drawn, of the first ``complete`` cases all slices."""
    from phantoms import GEOMETRY, ellipsoid_volume
    from scenes import TERMINOLOGY

    from sparseseg_trainer.cohort import Case, write_cohort
    from sparseseg_trainer.labels import Label
    from sparseseg_trainer.volumes import write_image, write_label

    written = []
    for number in range(cases):
        image, label = ellipsoid_volume(number)
        drawn = None if number < complete else (7,)
        case = Case(f"case{number}", folder / f"images/{number}.nrrd", folder / f"labels/{number}.nrrd", drawn)
        write_image(case.image, image, GEOMETRY)
        write_label(case.label, label, GEOMETRY)
        written.append(case)
    write_cohort(folder, written, [Label(1, "Ellipsoid", (0.2, 0.6, 0.4), TERMINOLOGY)])


TINY = {"device": "cpu", "width": 4, "batch": 4, "steps": 2, "epochs": 3, "semi_epochs": 3, "K1": 1, "K2": 2}
TINY |= {"baseline_epochs": 2, "semi_scales": [1.0, 0.75]}
