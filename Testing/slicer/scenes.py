"""What the tests of the Slicer side put into a scene, and how they read it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^123037004^Anatomical Structure~SCT^41216001^Prostate~^^~Anatomic codes - DICOM master list~^^~^^"
)
# A trainer with an instant result, and another one once the file "go" is there.
TWO_STEPS = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
instant = {"label": "instant.nrrd", "confidence": [0.25] * 14}
print(json.dumps({"event": "result", "partial": "instant", **instant}), flush=True)
while not (folder / "go").exists():
    time.sleep(0.02)
(folder / "result.json").write_text(json.dumps({"cases": 1, "failed": []}))
"""


def data(path: str) -> Path:
    """A path in shared/data; skips the test where it is missing."""
    if not (DATA / path).exists():
        pytest.skip(f"{DATA / path} is missing")
    return DATA / path


def draw(volumeNode, boxes: dict[str, tuple[slice, ...]]):
    """A segmentation with one box (k, j, i) a segment, each with a color and a terminology."""
    segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawing")
    segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    for number, (name, box) in enumerate(boxes.items()):
        segmentId = segmentationNode.GetSegmentation().AddEmptySegment(name, name, [0.25 * number, 0.5, 0.75])
        segmentationNode.GetSegmentation().GetSegment(segmentId).SetTerminology(TERMINOLOGY)
        setBox(segmentationNode, name, box, volumeNode)
    return segmentationNode


def setBox(segmentationNode, segmentId: str, box: tuple[slice, ...], volumeNode) -> None:
    """Makes the segment exactly the box, by Slicer's own function."""
    mask = np.zeros(slicer.util.arrayFromVolume(volumeNode).shape, np.uint8)
    mask[box] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentationNode, segmentId, volumeNode)


def voxels(segmentationNode, segmentId: str, volumeNode) -> np.ndarray:
    """The segment's voxels as bool (k, j, i), read by Slicer's own function."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
    return array.astype(bool)


def appearance(segmentationNode) -> list[tuple]:
    """Name, color and terminology of every segment."""
    segmentation = segmentationNode.GetSegmentation()
    segments = [segmentation.GetSegment(segmentId) for segmentId in segmentation.GetSegmentIDs()]
    return [(segment.GetName(), segment.GetColor(), segment.GetTerminology()) for segment in segments]


def moveBy(node, matrix: np.ndarray) -> None:
    """Puts the node under a new linear transform."""
    transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transformNode.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transformNode.GetID())


def orient(volumeNode, directions: np.ndarray) -> None:
    """Gives the volume's axes other directions, RAS, one per column."""
    volumeNode.SetIJKToRASDirectionMatrix(
        slicer.util.vtkMatrixFromArray(np.block([[directions, np.zeros((3, 1))], [0, 0, 0, 1]]))
    )


def onOwnGrid(segmentationNode, segmentId: str, spacing: float, size: int) -> None:
    """Redraws the segment as a cube of ``size`` voxels of ``spacing`` mm, on a grid of its own."""
    bounds = np.zeros(6)
    segmentationNode.GetBounds(bounds)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(size, size, size)
    image.SetSpacing(spacing, spacing, spacing)
    image.SetOrigin((bounds[::2] + bounds[1::2]) / 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, segmentationNode, segmentId)


def finishWith(job, label: np.ndarray):
    """What a job returns that was not started, as if the trainer had written ``label`` (k, j, i)."""
    with (job.client.folder / "cohort" / "cohort.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    writeResult(job, row["case"], label)
    (job.client.folder / "result.json").write_text(json.dumps({"cases": 1, "failed": []}))
    return job.finish()


def writeResult(job, case: str, label: np.ndarray) -> None:
    """Writes what the trainer leaves in the folder ``out`` of a propagation: the label and its confidence."""
    from sparseseg_trainer.slices import to_slices
    from sparseseg_trainer.volumes import write_label

    write_label(job.client.folder / "out" / "labels" / f"{case}.nrrd", label, job.geometry)
    rows = [f"{case},{index},0.5\n" for index in range(len(to_slices(label, job.axis)))]
    (job.client.folder / "out" / "confidence.csv").write_text("".join(["case,slice,confidence\n", *rows]))
