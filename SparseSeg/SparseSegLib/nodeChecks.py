"""What SparseSeg cannot work on, said before anything is computed."""

from __future__ import annotations

import slicer

from sparseseg_trainer.errors import InputError

HARDEN = "Harden the transform (Data module, right click on the node), then try again."


def checkNodes(volumeNode, segmentationNode) -> None:
    """Raises InputError unless the two nodes can be worked on together.

    Refused are missing and empty nodes, vector volumes, sequences, surfaces as source, and transforms other
    than one and the same linear transform on both nodes: everything is computed in the volume's IJK.
    """
    checkVolume(volumeNode)
    if segmentationNode is None:
        raise InputError("no_segmentation", "No segmentation is selected.", "Select the segmentation to propagate.")
    _checkSource(segmentationNode)
    _checkSequence(segmentationNode)
    _checkLinear(segmentationNode)
    if volumeNode.GetTransformNodeID() != segmentationNode.GetTransformNodeID():
        raise InputError(
            "other_transform",
            f"'{volumeNode.GetName()}' and '{segmentationNode.GetName()}' are under different transforms.",
            "Put both under the same transform, or harden the transforms (Data module).",
        )


def checkVolume(volumeNode) -> None:
    """Raises InputError unless the volume can be worked on: see ``checkNodes``."""
    if volumeNode is None or volumeNode.GetImageData() is None:
        raise InputError("no_volume", "No volume with an image is selected.", "Load and select a volume.")
    components = volumeNode.GetImageData().GetNumberOfScalarComponents()
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or components != 1:
        raise InputError(
            "color",
            f"'{volumeNode.GetName()}' is a vector volume, with {components} values a voxel.",
            "Convert it to a scalar volume (Vector to Scalar Volume module), or select one of its frames.",
        )
    _checkSequence(volumeNode)
    _checkLinear(volumeNode)


def _checkSource(segmentationNode) -> None:
    segmentation = segmentationNode.GetSegmentation()
    source = segmentation.GetSourceRepresentationName()
    labelmap = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if segmentation.GetNumberOfSegments() and source != labelmap:
        raise InputError(
            "not_a_labelmap",
            f"The source of the segmentation '{segmentationNode.GetName()}' is '{source}', not label maps.",
            "In the Segmentations module, create 'Binary labelmap' and make it the source.",
        )


def _checkSequence(node) -> None:
    for browserNode in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", node.GetScene()):
        if browserNode.IsProxyNodeID(node.GetID()):
            raise InputError(
                "sequence",
                f"'{node.GetName()}' shows a sequence, whose frames would share one result.",
                "Copy the frame to work on (Data module, Clone), and select the copy.",
            )


def _checkLinear(node) -> None:
    transformNode = node.GetParentTransformNode()
    if transformNode is not None and not transformNode.IsTransformToWorldLinear():
        raise InputError("nonlinear_transform", f"'{node.GetName()}' is under a non-linear transform.", HARDEN)
