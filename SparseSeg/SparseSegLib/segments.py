"""Segments as label arrays and back: the only file of the Slicer side that touches segment arrays.

Label arrays are (k, j, i) on the grid of a volume node; segment number n of a list of segment IDs has the
value n + 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.labels import Label

from .translation import tr as _


def readLabel(segmentationNode, segmentIds: Sequence[str], volumeNode) -> np.ndarray:
    """The segments as one label array (k, j, i), uint8, or uint16 for more than 255 segments.

    Segments on another grid are resampled as Slicer does (nearest neighbor); what lies outside the volume is
    left out. Raises InputError ("overlap") if two segments share a voxel.
    """
    kind = np.uint8 if len(segmentIds) < 256 else np.uint16
    label = np.zeros(volumeNode.GetImageData().GetDimensions()[::-1], kind)
    for value, segmentId in enumerate(segmentIds, start=1):
        box, mask = _readPart(segmentationNode, segmentId, volumeNode)
        hidden = label[box][mask]
        if hidden.any():
            labels = labelsOf(segmentationNode, [segmentIds[hidden.max() - 1], segmentId])
            raise InputError(
                "overlap",
                _("In '{segmentation}', '{first}' and '{second}' overlap.").format(
                    segmentation=segmentationNode.GetName(), first=labels[0].name, second=labels[1].name
                ),
                _("Propagate one of them at a time, or make them exclude each other (Segment Editor, Masking)."),
            )
        label[box][mask] = value
    return label


def writeLabel(label: np.ndarray, segmentationNode, segmentIds: Sequence[str], volumeNode, editorLogic) -> None:
    """Replaces the content of the segments by ``label``, in their own names, colors and terminology.

    ``editorLogic`` comes from ``createEditorLogic``; all other segments stay as they are, even where they
    overlap.
    """
    segmentation = segmentationNode.GetSegmentation()
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    with slicer.util.NodeModify(segmentationNode):
        for value, segmentId in enumerate(segmentIds, start=1):
            image = _image(volumeNode)
            vtk_to_numpy(image.GetPointData().GetScalars())[:] = (label == value).ravel()
            layer = _layer(segmentationNode, segmentId)
            if not slicer.vtkOrientedImageDataResample.DoGeometriesMatch(image, layer):
                # The editor would resample the result to the grid of the old content.
                segmentation.SeparateSegmentLabelmap(segmentId)
                slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(segmentationNode, segmentId)
            editorLogic.ModifySegmentByLabelmap(
                segmentationNode, segmentId, image, editorLogic.ModificationModeSet, True, False
            )


def segmentationFor(volumeNode):
    """The segmentation to draw the volume's structures in: the one that refers to it, or a new one with a segment."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node.GetNodeReference(role) == volumeNode:
            return node
    node = newSegmentation(volumeNode)
    node.GetSegmentation().AddEmptySegment()
    return node


def newSegmentation(volumeNode):
    """An empty segmentation that belongs to the volume."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    return node


def createEditorLogic(segmentationNode, volumeNode):
    """A segment editor logic with its own undo history, whose edits leave other segments alone."""
    scene = segmentationNode.GetScene()
    editorNode = slicer.vtkMRMLSegmentEditorNode()
    # One a segmentation: the undo history belongs to the segmentation of the node.
    editorNode.SetSingletonTag(f"SparseSeg{segmentationNode.GetID()}")
    editorNode.SetSaveWithScene(False)
    editorNode = scene.AddNode(editorNode)
    editorNode.SetOverwriteMode(editorNode.OverwriteNone)
    editorNode.SetAndObserveSegmentationNode(segmentationNode)
    editorNode.SetAndObserveSourceVolumeNode(volumeNode)
    editorLogic = slicer.vtkSlicerSegmentEditorLogic()
    editorLogic.SetMRMLScene(scene)
    editorLogic.SetSegmentEditorNode(editorNode)
    return editorLogic


def addSegments(segmentationNode, labels: Sequence[Label]) -> list[str]:
    """Adds an empty segment for each label, with its name, color and terminology, and returns their IDs."""
    segmentation = segmentationNode.GetSegmentation()
    segmentIds = []
    for label in labels:
        segmentIds.append(segmentation.AddEmptySegment("", label.name, label.color))
        segmentation.GetSegment(segmentIds[-1]).SetTerminology(label.terminology)
    return segmentIds


def segmentsOf(segmentationNode, segmentIds: Sequence[str]) -> list:
    """The segments of these IDs; None for one that is not there."""
    return [segmentationNode.GetSegmentation().GetSegment(segmentId) for segmentId in segmentIds]


def labelsOf(segmentationNode, segmentIds: Sequence[str]) -> list[Label]:
    """Value, name, color and terminology of each segment."""
    segments = segmentsOf(segmentationNode, segmentIds)
    return [
        Label(value, segment.GetName(), segment.GetColor(), segment.GetTerminology())
        for value, segment in enumerate(segments, start=1)
    ]


def inOrder(label: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """``label`` with n + 1 in place of the value of the n-th of ``labels``, as ``writeLabel`` wants it.

    Raises InputError ("unknown_label") for a value that none of them has.
    """
    numbers = np.zeros(int(max([label.max(initial=0), *(entry.value for entry in labels)])) + 1, np.uint16)
    numbers[[entry.value for entry in labels]] = np.arange(1, len(labels) + 1)
    unknown = np.setdiff1d(label[numbers[label] == 0], [0])
    if unknown.size:
        raise InputError(
            "unknown_label",
            _("The label has the value {value}, which has no name.").format(value=unknown[0]),
            _("Add it to labels.json in the folder of the cohort, or correct the label."),
        )
    return numbers[label]


def drawnSegmentIds(segmentationNode, volumeNode) -> list[str]:
    """The IDs of the segments that are not empty, in their order."""
    segmentIds = segmentationNode.GetSegmentation().GetSegmentIDs()
    return [segmentId for segmentId in segmentIds if _readPart(segmentationNode, segmentId, volumeNode)[1].any()]


def milliliters(segmentationNode, segmentId: str, volumeNode) -> float:
    """The segment's volume on the volume's grid."""
    return float(_readPart(segmentationNode, segmentId, volumeNode)[1].sum() * np.prod(volumeNode.GetSpacing()) / 1000)


def _layer(segmentationNode, segmentId: str):
    """The layer that holds the segment: possibly shared, smaller than the volume or on another grid."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    return segmentationNode.GetSegmentation().GetSegment(segmentId).GetRepresentation(name)


def _readPart(segmentationNode, segmentId: str, volumeNode) -> tuple[tuple[slice, ...], np.ndarray]:
    """A box in the volume's grid (k, j, i) outside of which the segment is empty, and its voxels there as bool."""
    layer, grid = _layer(segmentationNode, segmentId), _grid(volumeNode)
    if layer is None or layer.IsEmpty():
        return np.s_[0:0, 0:0, 0:0], np.zeros((0, 0, 0), bool)
    if not slicer.vtkOrientedImageDataResample.DoGeometriesMatch(grid, layer):
        return np.s_[:, :, :], _resampled(segmentationNode, segmentId, volumeNode)
    # On the volume's own grid nothing has to be copied but the box: this runs after every stroke.
    extent, size = layer.GetExtent(), grid.GetDimensions()
    voxels = vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(layer.GetDimensions()[::-1])
    inVolume, inLayer = [], []
    for axis in (2, 1, 0):
        start, stop = max(extent[2 * axis], 0), min(extent[2 * axis + 1] + 1, size[axis])
        inVolume.append(slice(start, max(start, stop)))
        inLayer.append(slice(start - extent[2 * axis], max(start, stop) - extent[2 * axis]))
    value = segmentationNode.GetSegmentation().GetSegment(segmentId).GetLabelValue()
    return tuple(inVolume), voxels[tuple(inLayer)] == value


def _resampled(segmentationNode, segmentId: str, volumeNode) -> np.ndarray:
    """The segment, which lies on another grid, as bool (k, j, i) on the volume's."""
    reference, segment, mask = _image(volumeNode), slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    segmentationNode.GetBinaryLabelmapRepresentation(segmentId, segment)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(segment, reference, mask)
    return vtk_to_numpy(mask.GetPointData().GetScalars()).reshape(reference.GetDimensions()[::-1]) > 0


def _grid(volumeNode):
    """An image without voxels on the volume's grid, without the transform that both nodes share."""
    ijkToRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(volumeNode.GetImageData().GetDimensions())
    image.SetGeometryFromImageToWorldMatrix(ijkToRas)
    return image


def _image(volumeNode):
    """An image of unsigned char on the volume's grid."""
    image = _grid(volumeNode)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    return image
