"""Propagation in the scene: drawn slices of a segmentation in, segments through the whole volume out."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from sparseseg_trainer.cohort import Case, write_cohort
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.slices import slice_axis, to_slices
from sparseseg_trainer.volumes import read_label, write_label

from .drawnSlices import drawnSlices, markPropagated
from .jobClient import JobClient
from .nodeChecks import checkNodes
from .segments import createEditorLogic, drawnSegmentIds, labelsOf, readLabel, writeLabel
from .volumeFiles import geometryOf, writeVolume


class PropagationJob:
    """One propagation, from the nodes to a job folder and back into the same segments.

    Call ``start``, then ``update`` from a timer until ``isFinished``, then ``finish``; or ``wait`` for all of
    it. Raises InputError for nodes that cannot be propagated.
    """

    def __init__(
        self,
        volumeNode,
        segmentationNode,
        *,
        segmentIds: Sequence[str] = (),
        annotatedSlices: Sequence[int] = (),
        firstSlice: int | None = None,
        lastSlice: int | None = None,
        reachesFirst: bool = False,
        reachesLast: bool = False,
        settings: dict | None = None,
        saveStateForUndo: Callable[[], None] | None = None,
    ):
        """``segmentIds`` are those to propagate together (default: all that are not empty).

        ``annotatedSlices``, ``firstSlice`` and ``lastSlice`` are 0-based along the volume's slice axis;
        annotated are by default the slices that the user drew or corrected. ``reachesFirst`` and
        ``reachesLast`` say that the structure reaches the volume's first or last slice, which otherwise
        counts as background. ``settings`` are the trainer's, {"quality": "instant"} for instance.
        ``saveStateForUndo`` is the window's own (qMRMLSegmentEditorWidget) where there is one.
        """
        checkNodes(volumeNode, segmentationNode)
        self.volumeNode = volumeNode
        self.segmentationNode = segmentationNode
        self.geometry = geometryOf(volumeNode)
        self.axis = slice_axis(self.geometry)
        self.segmentIds = list(segmentIds) or drawnSegmentIds(segmentationNode, volumeNode)
        label = readLabel(segmentationNode, self.segmentIds, volumeNode)
        self.annotated = tuple(annotatedSlices) or drawnSlices(label, self.axis, self._segments())
        if not self.annotated:
            raise InputError(
                "nothing_drawn",
                f"Nothing is drawn in '{segmentationNode.GetName()}'.",
                "Draw the structure on one slice, then propagate.",
            )
        self.editorLogic = createEditorLogic(segmentationNode, volumeNode)
        self._saveStateForUndo = saveStateForUndo or self.editorLogic.SaveStateForUndo
        self._stateSaved = False
        # The case is named after the volume, in letters that a file name may have.
        self._case = re.sub(r"[^\w.-]", "_", volumeNode.GetName()).strip("._") or "volume"
        self.client = JobClient(Path(tempfile.mkdtemp(prefix="SparseSeg-")))
        # The volume may be of a patient: its copy goes as soon as the job has ended or is given up.
        self._removeFolder = weakref.finalize(self, shutil.rmtree, self.client.folder, ignore_errors=True)
        extent = {
            "first_slice": firstSlice,
            "last_slice": lastSlice,
            "reaches_first": reachesFirst,
            "reaches_last": reachesLast,
        }
        self._write(label, extent, settings or {})

    def start(self) -> None:
        """Starts the trainer's process."""
        self.client.start()

    def update(self) -> list[dict]:
        """The events since the last call; an instant result among them is already in the segments."""
        events = self.client.poll()
        for event in events:
            self._showPartial(event)
        return events

    def isFinished(self) -> bool:
        """Whether the process has ended; ``finish`` then brings the result."""
        return self.client.isFinished()

    def finish(self) -> None:
        """Brings the result into the segments. Raises InputError or Cancelled if there is none."""
        try:
            result = self.client.result()
            if result["failed"]:
                raise InputError(*(result["failed"][0][key] for key in ("code", "message", "advice")))
            self._import(self.client.folder / "out" / "labels" / f"{self._case}.nrrd")
        except InputError as error:
            self._keepLogsOf(error)
            raise
        finally:
            self._removeFolder()

    def wait(self, onEvent: Callable[[dict], None] = lambda event: None) -> None:
        """Blocks until the result is in the segments; passes events on and raises as ``finish`` does."""

        def handle(event: dict) -> None:
            self._showPartial(event)
            onEvent(event)

        try:
            self.client.wait(handle)
        except BaseException:
            self._removeFolder()
            raise
        self.finish()

    def cancel(self) -> None:
        """Asks the job to stop; ``finish`` then raises Cancelled."""
        self.client.cancel()

    def _keepLogsOf(self, error: InputError) -> None:
        """After an error of the program itself, leaves the logs that its message names, but no image."""
        if error.code in ("internal", "trainer_stopped"):
            for name in ("cohort", "out"):
                shutil.rmtree(self.client.folder / name, ignore_errors=True)
            self._removeFolder.detach()

    def _segments(self) -> list:
        return [self.segmentationNode.GetSegmentation().GetSegment(segmentId) for segmentId in self.segmentIds]

    def _write(self, label, extent: dict, settings: dict) -> None:
        """Writes the job folder: a cohort of one case, of whose label only the annotated slices are kept."""
        folder = self.client.folder
        sparse = label.copy()
        slices = to_slices(sparse, self.axis)
        slices[[index for index in range(len(slices)) if index not in self.annotated]] = 0
        image, labelFile = folder / "cohort" / "image.nrrd", folder / "cohort" / "label.nrrd"
        writeVolume(self.volumeNode, image)
        write_label(labelFile, sparse, self.geometry)
        case = Case(self._case, image, labelFile, self.annotated, self.axis, **extent)
        write_cohort(folder / "cohort", [case], labelsOf(self.segmentationNode, self.segmentIds))
        job = {"schema": 1, "kind": "propagate", "settings": settings, "cohort": "cohort", "out": "out"}
        (folder / "job.json").write_text(json.dumps(job, indent=2), encoding="utf-8")

    def _showPartial(self, event: dict) -> None:
        if event["event"] == "result" and event.get("partial"):
            self._import(self.client.folder / event["label"])

    def _import(self, path: Path) -> None:
        """Brings a label file into the segments, as one step of undo for the whole job."""
        self._checkUnchanged()
        label = read_label(path, self.geometry, self._case)
        # What is drawn stays as it is now, to the last bit, whatever the user has done to it since the start.
        current = readLabel(self.segmentationNode, self.segmentIds, self.volumeNode)
        slices, drawn = to_slices(label, self.axis), list(self.annotated)
        slices[drawn] = to_slices(current, self.axis)[drawn]
        if not self._stateSaved:
            self._saveStateForUndo()
            self._stateSaved = True
        writeLabel(label, self.segmentationNode, self.segmentIds, self.volumeNode, self.editorLogic)
        markPropagated(label, self.axis, self._segments(), drawn)

    def _checkUnchanged(self) -> None:
        """Raises InputError if the nodes were removed or moved while the job ran."""
        scene = self.segmentationNode.GetScene()
        gone = scene is None or self.volumeNode.GetScene() is None or None in self._segments()
        if gone or geometryOf(self.volumeNode) != self.geometry:
            raise InputError(
                "nodes_changed",
                "The volume or the segments were changed or removed during the propagation.",
                "Start the propagation again.",
            )
        checkNodes(self.volumeNode, self.segmentationNode)


def propagate(volumeNode, segmentationNode, waitForCompletion: bool = True, **options) -> PropagationJob:
    """Propagates what is drawn in the segmentation through the volume, into the same segments.

    ``options`` are those of ``PropagationJob``. Without ``waitForCompletion`` the job has just been started:
    call its ``update`` from a timer. ``job.editorLogic.Undo()`` takes the result back. Raises InputError.
    """
    job = PropagationJob(volumeNode, segmentationNode, **options)
    job.start()
    if waitForCompletion:
        job.wait()
    return job
