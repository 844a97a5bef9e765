"""How large segments are, in milliliters: by Slicer's Segment Statistics where it is there."""

from __future__ import annotations

from collections.abc import Sequence

from .segments import milliliters

VOLUME = "LabelmapSegmentStatisticsPlugin.volume_cm3"


def segmentVolumes(segmentationNode, segmentIds: Sequence[str], volumeNode) -> dict[str, float]:
    """The volume in ml of each of these segments, by its ID; the volume node gives the grid."""
    try:
        from SegmentStatistics import SegmentStatisticsLogic
    except ImportError:  # plain Python with the wheel slicer-core
        return {segmentId: milliliters(segmentationNode, segmentId, volumeNode) for segmentId in segmentIds}
    logic = SegmentStatisticsLogic()
    # Parameters of its own: those of the user's Segment Statistics may leave out hidden segments, or volumes.
    parameters = logic.createParameterNode()
    logic.setParameterNode(parameters)
    parameters.SetParameter("Segmentation", segmentationNode.GetID())
    parameters.SetParameter("visibleSegmentsOnly", "False")
    logic.computeStatistics()
    statistics = logic.getStatistics()
    return {segmentId: float(statistics.get((segmentId, VOLUME), 0)) for segmentId in segmentIds}
