"""What a user of the window draws and propagates, step by step."""

from __future__ import annotations

import numpy as np
import slicer
from scenes import data, voxels
from windows import click, panelOf, waitFor

PATIENCE = 120  # seconds; a trainer that starts while the machine is busy takes its time


def hippocampus() -> tuple[object, dict[str, np.ndarray]]:
    """A hippocampus volume, 34 slices, and the masks (k, j, i) of its anterior and posterior part."""
    image = sorted(data("hippocampus/images").iterdir())[0]
    volumeNode = slicer.util.loadVolume(image)
    dense = slicer.util.loadSegmentation(data("hippocampus/labels") / image.name)
    segmentIds = dense.GetSegmentation().GetSegmentIDs()
    masks = [voxels(dense, segmentId, volumeNode) for segmentId in segmentIds]
    slicer.mrmlScene.RemoveNode(dense)
    return volumeNode, dict(zip(("Anterior", "Posterior"), masks, strict=True))


def startDrawing(window, volumeNode, index: int) -> None:
    """Step 1 by clicks: the volume is chosen, and the slice shown."""
    step = panelOf(window, "VolumePanel")
    step.ui.volumeSelector.setCurrentNode(volumeNode)
    waitFor(lambda: window.case is not None and window.case.volume == volumeNode)
    step.ui.sliceSpinBox.value = index
    click(step.ui.showButton)
    waitFor(lambda: panelOf(window, "DrawPanel").ui.contents.enabled)


def drawSlice(window, masks: dict[str, np.ndarray], index: int) -> None:
    """Step 2: draws one slice of each mask (k, j, i) into the segment of that name."""
    case = window.case
    for name, mask in masks.items():
        segmentId = case.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name) or _addSegment(case, name)
        drawn = voxels(case.segmentation, segmentId, case.volume)
        drawn[index] = mask[index]
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            drawn.astype(np.uint8), case.segmentation, segmentId, case.volume
        )


def _addSegment(case, name: str) -> str:
    """Names the one segment that is there at first, or adds one."""
    segmentation = case.segmentation.GetSegmentation()
    first = segmentation.GetNthSegmentID(0)
    isFree = segmentation.GetNumberOfSegments() == 1 and not voxels(case.segmentation, first, case.volume).any()
    segmentId = first if isFree else segmentation.AddEmptySegment()
    segmentation.GetSegment(segmentId).SetName(name)
    return segmentId


def result(window, name: str) -> np.ndarray:
    """What the segment of that name holds (k, j, i)."""
    case = window.case
    segmentId = case.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return voxels(case.segmentation, segmentId, case.volume)


def startPropagation(window, refine: bool = False) -> None:
    """Step 3 by clicks, without waiting for the result."""
    step = panelOf(window, "PropagatePanel")
    waitFor(lambda: step.ui.propagateButton.enabled and step.ui.contents.enabled)
    if step.ui.refineCheckBox.checked != refine:
        click(step.ui.refineCheckBox)
    click(step.ui.propagateButton)


def propagate(window, refine: bool = False) -> str:
    """Step 3 by clicks, until the job has ended; returns what the window says about it."""
    startPropagation(window, refine)
    waitFor(lambda: not window.jobRunner.isRunning(), PATIENCE)
    window.update()
    return window.jobRunner.ui.messageLabel.text
