"""The slice view that is drawn in: turned to the plane of a volume's slices, and which of them it shows."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

VIEW = "Red"
ALIGNED = 0.999  # least cosine between the view's normal and the slice axis for the view to show one slice
PRESETS = ("Sagittal", "Coronal", "Axial")  # whose normals are right, anterior, superior


def sliceNode():
    """The node of the view, or None where there are no views."""
    layoutManager = slicer.app.layoutManager()
    return layoutManager.sliceWidget(VIEW).mrmlSliceNode() if layoutManager else None


def showSlice(volumeNode, axis: int, index: int) -> None:
    """Shows one slice of the volume alone in the layout, large, centered and in its own plane."""
    layoutManager = slicer.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slicer.util.setSliceViewerLayers(background=volumeNode)
    turnTo(sliceNode(), volumeNode, axis)
    layoutManager.sliceWidget(VIEW).fitSliceToBackground()
    goToSlice(volumeNode, axis, index)


def turnTo(node, volumeNode, axis: int) -> None:
    """Turns a slice node to the plane of the volume's slices along the axis, as upright as they allow."""
    normal = _ijkToRas(volumeNode)[:3, axis]
    normal = normal / np.linalg.norm(normal)
    node.SetOrientation(PRESETS[int(np.argmax(np.abs(normal)))])
    view = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    normal = normal * np.sign(normal @ view[:3, 2])
    right = view[:3, 0] - (view[:3, 0] @ normal) * normal
    # RotateToVolumePlane goes to the nearest plane of the volume, so it needs the right normal beforehand.
    node.SetSliceToRASByNTP(*normal, *right, *view[:3, 3], 0)
    node.RotateToVolumePlane(volumeNode)


def goToSlice(volumeNode, axis: int, index: int) -> None:
    """Moves the view to a slice of the volume; how it is turned and magnified stays."""
    center = (np.array(volumeNode.GetImageData().GetDimensions()) - 1) / 2
    center[axis] = index
    sliceNode().JumpSliceByOffsetting(*(_ijkToRas(volumeNode) @ [*center, 1])[:3])


def shownSlice(volumeNode, axis: int) -> int | None:
    """The slice that the view shows, or None if it shows none or cuts through several."""
    node = sliceNode()
    if node is None:
        return None
    view, ijkToRas = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()), _ijkToRas(volumeNode)
    direction = ijkToRas[:3, axis] / np.linalg.norm(ijkToRas[:3, axis])
    index = round(float((np.linalg.inv(ijkToRas) @ view[:, 3])[axis]))
    inside = 0 <= index < volumeNode.GetImageData().GetDimensions()[axis]
    return index if inside and abs(direction @ view[:3, 2]) >= ALIGNED else None


def _ijkToRas(volumeNode) -> np.ndarray:
    """From voxels to the world, (4, 4), with the volume's linear transform."""
    ijkToRas, toWorld = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volumeNode.GetParentTransformNode(), None, toWorld)
    return slicer.util.arrayFromVTKMatrix(toWorld) @ slicer.util.arrayFromVTKMatrix(ijkToRas)
