"""What SparseSeg cannot work on, said before anything is computed."""

from __future__ import annotations

import slicer

from sparseseg_trainer.errors import InputError

from .translation import tr as _


def checkNodes(volumeNode, segmentationNode) -> None:
    """Raises InputError unless the two nodes can be worked on together.

    Refused are missing and empty nodes, vector volumes, sequences, surfaces as source, and transforms other
    than one and the same linear transform on both nodes: everything is computed in the volume's IJK.
    """
    checkVolume(volumeNode)
    if segmentationNode is None:
        raise InputError(
            "no_segmentation", _("No segmentation is selected."), _("Select the segmentation to propagate.")
        )
    _checkSource(segmentationNode)
    _checkSequence(segmentationNode)
    _checkLinear(segmentationNode)
    if volumeNode.GetTransformNodeID() != segmentationNode.GetTransformNodeID():
        raise InputError(
            "other_transform",
            _("'{volume}' and '{segmentation}' are under different transforms.").format(
                volume=volumeNode.GetName(), segmentation=segmentationNode.GetName()
            ),
            _("Put both under the same transform, or harden the transforms (Data module)."),
        )


def checkVolume(volumeNode) -> None:
    """Raises InputError unless the volume can be worked on: see ``checkNodes``."""
    if volumeNode is None or volumeNode.GetImageData() is None:
        raise InputError("no_volume", _("No volume with an image is selected."), _("Load and select a volume."))
    components = volumeNode.GetImageData().GetNumberOfScalarComponents()
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or components != 1:
        raise InputError(
            "color",
            _("'{name}' is a vector volume, with {n} values a voxel.").format(name=volumeNode.GetName(), n=components),
            _("Convert it to a scalar volume (Vector to Scalar Volume module), or select one of its frames."),
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
            _("The source of the segmentation '{name}' is '{source}', not label maps.").format(
                name=segmentationNode.GetName(), source=source
            ),
            _("In the Segmentations module, create 'Binary labelmap' and make it the source."),
        )


def _checkSequence(node) -> None:
    for browserNode in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", node.GetScene()):
        if browserNode.IsProxyNodeID(node.GetID()):
            raise InputError(
                "sequence",
                _("'{name}' shows a sequence, whose frames would share one result.").format(name=node.GetName()),
                _("Copy the frame to work on (Data module, Clone), and select the copy."),
            )


def _checkLinear(node) -> None:
    transformNode = node.GetParentTransformNode()
    if transformNode is not None and not transformNode.IsTransformToWorldLinear():
        raise InputError(
            "nonlinear_transform",
            _("'{name}' is under a non-linear transform.").format(name=node.GetName()),
            _("Harden the transform (Data module, right click on the node), then try again."),
        )
