"""The overlay of certain and uncertain voxels: the probability of the structures in percent, over the volume."""

from __future__ import annotations

import numpy as np
import slicer

from .parameterNode import CaseParameters

LEAST = 5  # percent; below, voxels are certainly outside and stay as they are
OPACITY = 0.5


def setCertainty(case: CaseParameters, probability: np.ndarray) -> None:
    """Puts the probability (k, j, i; from 0 to 1) into the case's overlay."""
    node = case.certainty
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{case.volume.GetName()} probability")
        case.certainty = node
    slicer.util.updateVolumeFromArray(node, np.round(100 * probability.clip(0, 1)).astype(np.uint8))
    node.CopyOrientation(case.volume)
    node.SetAndObserveTransformNodeID(case.volume.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    displayNode = node.GetDisplayNode()
    colors = slicer.modules.colors.logic().GetColorTableNodeID(slicer.vtkMRMLColorTableNode.ReverseRainbow)
    displayNode.SetAndObserveColorNodeID(colors)
    displayNode.SetAutoWindowLevel(False)
    displayNode.SetWindowLevelMinMax(0, 100)
    displayNode.SetThreshold(LEAST, 100)
    displayNode.SetApplyThreshold(True)


def showCertainty(case: CaseParameters, visible: bool) -> None:
    """Lays the case's overlay over the volume in all slice views, or takes it away."""
    if case.certainty and slicer.app.layoutManager():
        slicer.util.setSliceViewerLayers(foreground=case.certainty if visible else None, foregroundOpacity=OPACITY)
