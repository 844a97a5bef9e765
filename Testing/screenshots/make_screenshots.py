"""Pictures of the module's window for the documents: ``make screenshots``. Some minutes on two cores.

Every click is one on the real window, every result one of the real trainer. The images are the T1 template that
comes with the package nilearn, bent at random as for the demo: no patients, no download.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "Resources" / "Screenshots"
for folder in ("slicer_host", "slicer", "demo"):
    sys.path.insert(0, str(ROOT / "Testing" / folder))

import slicer_host  # noqa: E402

slicer = slicer_host.start()

import numpy as np  # noqa: E402
import qt  # noqa: E402
import template_cohort  # noqa: E402
from drawing import drawSlice, propagate, startDrawing  # noqa: E402
from slicer_host.mainWindow import setDark  # noqa: E402
from windows import click, panelOf, waitFor  # noqa: E402

from sparseseg_trainer.sparsify import sparsify  # noqa: E402

MODULE = "SparseSeg"
TRAINING = {"device": "cpu", "steps": 40, "epochs": 6, "semi_epochs": 6, "K1": 2, "K2": 5}
COLOR = (0.85, 0.5, 0.2)  # the same in every run
LARGEST = 400_000  # bytes of a picture


class Camera:
    """Takes pictures of the window with one panel unfolded."""

    def __init__(self, moduleWidget) -> None:
        self.window = moduleWidget.window
        self.mainWindow = slicer.qSlicerMainWindow(moduleWidget)
        self.mainWindow.show()

    def unfold(self, name: str):
        chosen = panelOf(self.window, name)
        for panel in self.window.panels:
            panel.ui.collapsibleButton.collapsed = panel is not chosen
        return chosen

    def settle(self) -> None:
        """Lets everything that waits be done: layout, delayed updates, rendering."""
        end = time.monotonic() + 0.6
        waitFor(lambda: time.monotonic() > end)

    def take(self, name: str) -> None:
        self.settle()
        path = PICTURES / f"{name}.png"
        image = self.mainWindow.grab().toImage()
        image.save(str(path))
        if path.stat().st_size > LARGEST:  # 256 colors make it smaller, and show the same
            image.convertToFormat(qt.QImage.Format_Indexed8).save(str(path))
        print(path.relative_to(ROOT), f"{path.stat().st_size / 1000:.0f} kB", flush=True)


def main() -> None:
    folder = Path(tempfile.gettempdir()) / "Study"  # the pictures show it
    folder.mkdir()
    PICTURES.mkdir(exist_ok=True)
    try:
        with slicer_host.raisingErrors():
            walk(folder)
    finally:
        shutil.rmtree(folder)


def walk(folder: Path) -> None:
    """Through all panels, in the order of the work."""
    template_cohort.RESOLUTION = 2  # finer than in the demo
    template_cohort.write_template_cohort(folder / "drawn", ["Brain MR"], seed=0)
    for name in ("Cohort", "Model"):
        slicer.app.settings().setValue(f"{MODULE}/{name}Folder", str(folder / f"{name.lower()}s"))
    camera = Camera(slicer_host.openModule(MODULE))
    drawAndPropagate(camera, folder / "drawn")
    template_cohort._load_template.cache_clear()
    template_cohort.RESOLUTION = 3  # as in the demo, so that the training takes minutes
    template_cohort.write_template_cohort(folder / "dense", [f"Volunteer {n}" for n in range(1, 7)], seed=1)
    template_cohort.write_template_cohort(folder / "new", ["New volunteer"], seed=2)
    sparsify(folder / "dense", folder / "cohorts")
    train(camera)
    segment(camera, folder / "new")


def drawAndPropagate(camera: Camera, folder: Path) -> None:
    """Steps 1 to 3."""
    volumeNode = slicer.util.loadVolume(folder / "images" / "Brain MR.nrrd", {"name": "Brain MR"})
    dense = slicer.util.loadLabelVolume(folder / "labels" / "Brain MR.nrrd")
    mask = slicer.util.arrayFromVolume(dense) > 0
    slicer.mrmlScene.RemoveNode(dense)
    middle = len(mask) // 2
    panel = camera.unfold("VolumePanel")
    startDrawing(camera.window, volumeNode, middle)
    camera.take("volume")

    draw = camera.unfold("DrawPanel")
    drawSlice(camera.window, {"Brain": mask}, middle)
    segment = camera.window.case.segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetTerminology(template_cohort.BRAIN.terminology)
    segment.SetColor(*COLOR)
    first, last = np.flatnonzero(mask.any(axis=(1, 2)))[[0, -1]]
    for index, button in ((first, draw.ui.firstButton), (last, draw.ui.lastButton), (middle, None)):
        panel.ui.strip.setCurrentCell(*divmod(int(index), panel.ui.strip.columnCount))
        if button:
            click(button)
    draw.ui.segmentEditor.setActiveEffectByName("Paint")
    camera.take("draw")

    camera.unfold("PropagatePanel")
    print(propagate(camera.window), flush=True)
    segmentation = camera.window.case.segmentation
    segmentation.CreateClosedSurfaceRepresentation()
    showFourViews(camera)
    camera.take("propagate")
    setDark(True)
    camera.unfold("VolumePanel")
    camera.take("dark")
    setDark(False)


def showFourViews(camera: Camera) -> None:
    """Three slices and the structure in 3D, without its box."""
    layoutManager = slicer.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    for node in slicer.util.getNodesByClass("vtkMRMLViewNode"):
        node.SetBoxVisible(False)
        node.SetAxisLabelsVisible(False)
    camera.settle()
    layoutManager.resetSliceViews()
    layoutManager.resetThreeDViews()


def train(camera: Camera) -> None:
    """Steps 4 and 5."""
    camera.unfold("CohortPanel")
    camera.window.update()
    camera.take("cohort")
    panel = camera.unfold("TrainPanel")
    panel.moreSettings = TRAINING
    panel.ui.presetBox.currentIndex = panel.ui.presetBox.findData("fast")
    panel.ui.nameEdit.text = "Brain"
    click(panel.ui.trainButton)
    runner = camera.window.jobRunner
    waitFor(lambda: len(panel.plot.points("target/dice")) > 3 or not runner.isRunning(), 900)
    camera.take("train")
    waitFor(lambda: not runner.isRunning(), 900)
    print(runner.ui.messageLabel.text, flush=True)


def segment(camera: Camera, folder: Path) -> None:
    """Step 6, on a volume that the model has not seen."""
    camera.window.case.segmentation.SetDisplayVisibility(False)
    volumeNode = slicer.util.loadVolume(folder / "images" / "New volunteer.nrrd", {"name": "New volunteer"})
    camera.window.case.segmentation.GetDisplayNode().SetVisibility(False)
    startDrawing(camera.window, volumeNode, 30)
    panel = camera.unfold("SegmentPanel")
    panel.enter()
    camera.window.update()
    click(panel.ui.segmentButton)
    waitFor(lambda: not camera.window.jobRunner.isRunning(), 300)
    camera.window.case.segmentation.CreateClosedSurfaceRepresentation()
    showFourViews(camera)
    camera.take("segment")


if __name__ == "__main__":
    main()
