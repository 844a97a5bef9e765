"""What cannot be propagated is refused in one sentence, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from scenes import moveBy, setBox  # noqa: E402

from sparseseg_trainer.errors import InputError  # noqa: E402
from SparseSegLib.propagation import PropagationJob  # noqa: E402


def refusal(volumeNode, segmentationNode) -> str:
    """The code of the InputError that the nodes raise."""
    with pytest.raises(InputError) as error:
        PropagationJob(volumeNode, segmentationNode)
    assert error.value.message.endswith(".")
    assert error.value.advice.endswith(".")
    return error.value.code


@pytest.mark.parametrize("moved", ["volume", "segmentation"])
def test_a_non_linear_transform_is_refused(an_oblique_volume, a_drawing, moved):
    transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    node = an_oblique_volume if moved == "volume" else a_drawing
    node.SetAndObserveTransformNodeID(transformNode.GetID())
    assert refusal(an_oblique_volume, a_drawing) == "nonlinear_transform"


def test_a_transform_on_one_of_the_two_nodes_is_refused(an_oblique_volume, a_drawing):
    moveBy(a_drawing, np.eye(4))
    assert refusal(an_oblique_volume, a_drawing) == "other_transform"


def test_a_vector_volume_is_refused(a_scene, a_drawing):
    color = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Color")
    slicer.util.updateVolumeFromArray(color, np.zeros((4, 5, 6, 3), np.uint8))
    assert refusal(color, a_drawing) == "color"


def test_a_volume_that_shows_a_sequence_is_refused(an_oblique_volume, a_drawing):
    sequenceNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    browserNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browserNode.AddSynchronizedSequenceNode(sequenceNode)
    browserNode.AddProxyNode(an_oblique_volume, sequenceNode, False)
    assert refusal(an_oblique_volume, a_drawing) == "sequence"


def test_a_segmentation_made_of_surfaces_is_refused(an_oblique_volume, a_drawing):
    a_drawing.GetSegmentation().SetSourceRepresentationName("Closed surface")
    assert refusal(an_oblique_volume, a_drawing) == "not_a_labelmap"


def test_overlapping_segments_are_refused(an_oblique_volume, a_drawing):
    setBox(a_drawing, "Lesion", np.s_[9:10, 150:200, 120:160], an_oblique_volume)
    assert refusal(an_oblique_volume, a_drawing) == "overlap"


@pytest.mark.parametrize("missing", ["volume", "segmentation", "drawing"])
def test_missing_nodes_and_drawings_are_refused(an_oblique_volume, a_drawing, missing):
    if missing == "volume":
        assert refusal(None, a_drawing) == "no_volume"
    elif missing == "segmentation":
        assert refusal(an_oblique_volume, None) == "no_segmentation"
    else:
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        assert refusal(an_oblique_volume, empty) == "nothing_drawn"
