"""What is saved with the scene: what the window shows, and what is known of each volume worked on."""

import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import parameterNodeWrapper

from sparseseg_trainer.slices import slice_axis

from .volumeFiles import geometryOf

CASE = "SparseSegCase"  # the module name of a case's parameter node
UNMARKED = -1  # in place of a slice number


@parameterNodeWrapper
class SceneParameters:
    """What the window shows. ``refine``: the refined result follows the instant one."""

    volume: vtkMRMLScalarVolumeNode
    refine: bool = True
    showCertainty: bool = False


@parameterNodeWrapper
class CaseParameters:
    """What is known of one volume. Slices count from 0 along ``axis`` (0, 1, 2: the volume's i, j, k).

    ``segment``: the ID of the only one to propagate, empty for all. ``confidence``: of each slice, from 0 to 1; empty
    before the first propagation. ``certainty``: the probability of the structures in percent, to lay over the volume.
    """

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    certainty: vtkMRMLScalarVolumeNode
    axis: int = 2
    centralSlice: int = 0
    segment: str = ""
    firstSlice: int = UNMARKED
    lastSlice: int = UNMARKED
    reachesFirst: bool = False
    reachesLast: bool = False
    confidence: list[float]


def caseOf(volumeNode) -> CaseParameters:
    """The case of a volume. In a new one, the slice axis and the slice in the middle are proposed."""
    for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        if node.GetModuleName() == CASE and node.GetNodeReference("volume") == volumeNode:
            return CaseParameters(node)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", f"SparseSeg {volumeNode.GetName()}")
    node.SetModuleName(CASE)
    case = CaseParameters(node)
    with slicer.util.NodeModify(node):
        case.volume = volumeNode
        case.axis = slice_axis(geometryOf(volumeNode))
        case.centralSlice = sliceCount(volumeNode, case.axis) // 2
    return case


def sliceCount(volumeNode, axis: int) -> int:
    """The number of slices along the axis."""
    return volumeNode.GetImageData().GetDimensions()[axis]
