"""What is known of each slice of a case: drawn, filled, or absent beyond the marked ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.slices import to_slices

from .drawnSlices import drawnSlices
from .nodeChecks import checkNodes
from .parameterNode import UNMARKED, CaseParameters, sliceCount
from .segments import drawnSegmentIds, readLabel, segmentsOf

CHECK_BELOW = 0.6  # confidence of slices that are worth a look
REACH = 10.0  # slices from an annotated one over which confidence falls to about 1/e


@dataclass(frozen=True)
class SliceStates:
    """``count`` slices, of which ``drawn`` by the user, and ``filled``: those that hold a structure.

    ``obstacle``: why the drawing cannot be read, with what to do; empty if it can.
    """

    count: int = 0
    drawn: tuple[int, ...] = ()
    filled: tuple[int, ...] = ()
    obstacle: str = ""

    @classmethod
    def of(cls, case: CaseParameters | None) -> SliceStates:
        """Reads what is drawn in the case's segmentation."""
        if case is None:
            return cls()
        count = sliceCount(case.volume, case.axis)
        if case.segmentation is None:
            return cls(count)
        try:
            checkNodes(case.volume, case.segmentation)
            segmentIds = segmentIdsOf(case)
            label = readLabel(case.segmentation, segmentIds, case.volume)
        except InputError as error:
            return cls(count, obstacle=str(error))
        segments = segmentsOf(case.segmentation, segmentIds)
        filled = np.flatnonzero(to_slices(label, case.axis).any(axis=(1, 2)))
        return cls(count, drawnSlices(label, case.axis, segments), tuple(map(int, filled)))

    def toCheck(self, confidence: list[float]) -> list[int]:
        """The slices that are worth a look, the least certain first."""
        doubtful = [index for index in self._propagated(confidence) if confidence[index] < CHECK_BELOW]
        return sorted(doubtful, key=confidence.__getitem__)

    def mostUseful(self, confidence: list[float], candidates: Iterable[int]) -> int:
        """The candidate whose correction would raise the confidence of all slices together most."""

        def gain(candidate: int) -> float:
            raised = ((math.exp(-abs(index - candidate) / REACH), index) for index in self._propagated(confidence))
            return sum(max(0.0, value - confidence[index]) for value, index in raised)

        return max(candidates, key=gain)

    def _propagated(self, confidence: list[float]) -> list[int]:
        return [index for index in self.filled if index < len(confidence) and index not in self.drawn]


def segmentIdsOf(case: CaseParameters) -> list[str]:
    """The segments to propagate: the chosen one, or all that are not empty."""
    if case.segment and case.segmentation.GetSegmentation().GetSegment(case.segment):
        return [case.segment]
    return drawnSegmentIds(case.segmentation, case.volume)


def isAbsent(case: CaseParameters, index: int) -> bool:
    """Whether the slice lies beyond a marked end."""
    before = case.firstSlice != UNMARKED and index < case.firstSlice
    return before or (case.lastSlice != UNMARKED and index > case.lastSlice)
