"""Propagation in the scene: drawn slices of a segmentation in, segments through the whole volume out."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparseseg_trainer.cohort import Case, write_cohort
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.slices import slice_axis, to_slices
from sparseseg_trainer.volumes import read_image, read_label, write_label

from .dependencies import checkTorch
from .drawnSlices import checksumsOf, concernedSlices, drawnSlices, markPropagated
from .job import writeJob
from .nodeChecks import checkNodes
from .segments import createEditorLogic, drawnSegmentIds, labelsOf, readLabel, segmentsOf, writeLabel
from .temporaryJob import TemporaryJob
from .translation import tr as _
from .volumeFiles import caseName, geometryOf, writeVolume


@dataclass(frozen=True)
class PropagationResult:
    """What a propagation tells beyond the segments.

    ``slices``: how many the volume has. ``confidence``: of each one that the propagation was allowed to change, from
    0 to 1. ``probability``: of all segments together (k, j, i), if asked for with the setting "probabilities".
    """

    slices: int
    confidence: dict[int, float]
    probability: np.ndarray | None = None


class PropagationJob(TemporaryJob):
    """One propagation, from the nodes to a job folder and back into the same segments.

    Slices that the user has drawn stay as they are. After corrections, only what lies between them and the drawn
    slices around them changes. Raises InputError for nodes that cannot be propagated.
    """

    belongsToScene = True

    def __init__(
        self,
        volumeNode,
        segmentationNode,
        *,
        axis: int | None = None,
        segmentIds: Sequence[str] = (),
        annotatedSlices: Sequence[int] = (),
        firstSlice: int | None = None,
        lastSlice: int | None = None,
        reachesFirst: bool = False,
        reachesLast: bool = False,
        settings: dict | None = None,
        saveStateForUndo: Callable[[], None] | None = None,
        onInstant: Callable[[PropagationResult], None] = lambda result: None,
    ):
        """``segmentIds`` are those to propagate together (default: all that are not empty).

        ``annotatedSlices``, ``firstSlice`` and ``lastSlice`` are 0-based along ``axis`` (0, 1, 2: the volume's i, j,
        k; default: that of largest spacing); annotated are by default the slices that the user drew or corrected;
        given here, the whole volume may change. ``reachesFirst`` and ``reachesLast`` say that the structure reaches
        the volume's first or last slice, which otherwise counts as background. ``settings`` are the trainer's,
        {"quality": "instant"} for instance. ``saveStateForUndo`` is the window's own (qMRMLSegmentEditorWidget) where
        there is one. ``onInstant`` hears of the instant result, once it is in the segments.
        """
        checkNodes(volumeNode, segmentationNode)
        self.volumeNode = volumeNode
        self.segmentationNode = segmentationNode
        self.geometry = geometryOf(volumeNode)
        self.axis = slice_axis(self.geometry, axis)
        self.segmentIds = list(segmentIds) or drawnSegmentIds(segmentationNode, volumeNode)
        label = readLabel(segmentationNode, self.segmentIds, volumeNode)
        self.annotated = tuple(annotatedSlices) or drawnSlices(label, self.axis, self._segments())
        if not self.annotated:
            raise InputError(
                "nothing_drawn",
                _("Nothing is drawn in '{name}'.").format(name=segmentationNode.GetName()),
                _("Draw the structure on one slice, then propagate."),
            )
        extent = {
            "first_slice": firstSlice,
            "last_slice": lastSlice,
            "reaches_first": reachesFirst,
            "reaches_last": reachesLast,
        }
        self._ends = ",".join(str(end) for end in extent.values())
        slices = to_slices(label, self.axis)
        if annotatedSlices:
            self._concerned = set(range(len(slices)))
        else:
            self._concerned = concernedSlices(label, self.axis, self._segments(), self.annotated, self._ends)
        slices[[index for index in range(len(slices)) if index not in self.annotated]] = 0
        self._drawn = checksumsOf(label, self.axis, len(self.segmentIds))
        self.editorLogic = createEditorLogic(segmentationNode, volumeNode)
        self._saveStateForUndo = saveStateForUndo or self.editorLogic.SaveStateForUndo
        self._stateSaved = False
        self._onInstant = onInstant
        self._case = caseName(volumeNode)
        super().__init__()
        self._write(label, extent, settings or {})

    def onEvent(self, event: dict) -> None:
        """Shows an instant result, which the refined one replaces later."""
        if event["event"] == "result" and event.get("partial") and not self._change():
            self._import(self.folder / event["label"])
            self._onInstant(self._told(event["confidence"]))

    def bring(self, result: dict) -> PropagationResult:
        """Brings the result into the segments."""
        if result["failed"]:
            raise InputError(*(result["failed"][0][key] for key in ("code", "message", "advice")))
        path = self.folder / "out" / "labels" / f"{self._case}.nrrd"
        if change := self._change():
            self.keep("out")
            raise InputError("nodes_changed", change, _("The result is kept in {path}.").format(path=path))
        self._import(path)
        with (self.folder / "out" / "confidence.csv").open(encoding="utf-8", newline="") as file:
            confidence = [float(row["confidence"]) for row in csv.DictReader(file)]
        return self._told(confidence, self._probability())

    def _told(self, confidence: Sequence[float], probability: np.ndarray | None = None) -> PropagationResult:
        """What is told of a result whose slices have this ``confidence``."""
        concerned = {index: value for index, value in enumerate(confidence) if index in self._concerned}
        return PropagationResult(len(confidence), concerned, probability)

    def _segments(self) -> list:
        return segmentsOf(self.segmentationNode, self.segmentIds)

    def _write(self, label, extent: dict, settings: dict) -> None:
        """Writes the job folder: a cohort of one case, whose label has only the annotated slices."""
        image, labelFile = self.folder / "cohort" / "image.nrrd", self.folder / "cohort" / "label.nrrd"
        writeVolume(self.volumeNode, image)
        write_label(labelFile, label, self.geometry)
        case = Case(self._case, image, labelFile, self.annotated, self.axis, **extent)
        write_cohort(self.folder / "cohort", [case], labelsOf(self.segmentationNode, self.segmentIds))
        writeJob(self.folder, "propagate", settings, cohort="cohort", out="out")

    def _import(self, path: Path) -> None:
        """Brings a label file into the segments, as one step of undo for the whole job."""
        label = read_label(path, self.geometry, self._case)
        # What is drawn stays as it is now, to the last bit, whatever the user has done to it since the start.
        current = readLabel(self.segmentationNode, self.segmentIds, self.volumeNode)
        byUser = {*self.annotated, *drawnSlices(current, self.axis, self._segments())}
        slices = to_slices(label, self.axis)
        kept = [index for index in range(len(slices)) if index in byUser or index not in self._concerned]
        slices[kept] = to_slices(current, self.axis)[kept]
        if not self._stateSaved:
            self._saveStateForUndo()
            self._stateSaved = True
        writeLabel(label, self.segmentationNode, self.segmentIds, self.volumeNode, self.editorLogic)
        markPropagated(label, self.axis, self._segments(), self._drawn, byUser, self._ends)

    def _change(self) -> str:
        """How the nodes were changed since the start so that they cannot take the result; empty if they can."""
        scene = self.segmentationNode.GetScene()
        if scene is None or self.volumeNode.GetScene() is None or None in self._segments():
            return _("The volume or the segments were removed during the propagation.")
        try:
            checkNodes(self.volumeNode, self.segmentationNode)
            readLabel(self.segmentationNode, self.segmentIds, self.volumeNode)  # segments may overlap by now
        except InputError as error:
            return error.message
        if geometryOf(self.volumeNode) != self.geometry:
            return _("'{name}' was changed during the propagation.").format(name=self.volumeNode.GetName())
        return ""

    def _probability(self) -> np.ndarray | None:
        paths = list((self.folder / "out" / "probabilities").glob(f"{self._case}_*.nrrd"))
        return sum(read_image(path).array for path in paths) if paths else None


def propagate(volumeNode, segmentationNode, waitForCompletion: bool = True, **options) -> PropagationJob:
    """Propagates what is drawn in the segmentation through the volume, into the same segments.

    ``options`` are those of ``PropagationJob``. Without ``waitForCompletion`` the job has just been started:
    call its ``update`` from a timer. ``job.editorLogic.Undo()`` takes the result back. Raises InputError.
    """
    checkTorch()
    job = PropagationJob(volumeNode, segmentationNode, **options)
    job.start()
    if waitForCompletion:
        job.wait()
    return job
