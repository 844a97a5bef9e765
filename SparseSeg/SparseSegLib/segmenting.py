"""A trained model applied: to a volume of the scene, whose segments come back, or to the cases of a cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sparseseg_trainer.cohort import read_cohort, write_cohort
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.model_info import SUFFIX, read_info
from sparseseg_trainer.slices import slice_axis
from sparseseg_trainer.volumes import read_label

from .dependencies import checkTorch
from .drawnSlices import markPropagated
from .job import writeJob
from .nodeChecks import checkNodes, checkVolume
from .segments import addSegments, createEditorLogic, inOrder, newSegmentation, segmentsOf, writeLabel
from .temporaryJob import TemporaryJob
from .translation import tr as _
from .volumeFiles import geometryOf, writeVolume

RESULTS = "results"  # folder in a cohort's: one folder a model


@dataclass(frozen=True)
class NewSegments:
    """What a model has found in a volume."""

    segmentationNode: object
    segmentIds: list[str]


class SegmentJob(TemporaryJob):
    """A model applied to a volume of the scene; ``finish`` returns the ``NewSegments``. Other segments stay."""

    belongsToScene = True

    def __init__(
        self,
        volumeNode,
        model: Path,
        segmentationNode=None,
        *,
        axis: int | None = None,
        settings: dict | None = None,
        saveStateForUndo: Callable[[], None] | None = None,
    ):
        """``model`` is a model folder or a .sparseseg file; a new segmentation is made if none is given.

        ``axis`` is that along which the user may correct slices later (default: of largest spacing).
        ``saveStateForUndo`` is the window's own (qMRMLSegmentEditorWidget), if it shows this segmentation. Raises
        InputError for volumes and models that cannot be used.
        """
        self.labels = list(read_info(model).labels)
        self.volumeNode, self.segmentationNode = volumeNode, segmentationNode
        self._check()
        self.geometry = geometryOf(volumeNode)
        self._axis = slice_axis(self.geometry, axis)
        self._saveStateForUndo = saveStateForUndo
        super().__init__()
        writeVolume(volumeNode, self.folder / "volume.nrrd")
        writeJob(
            self.folder, "segment", settings or {}, inputs=["volume.nrrd"], model=Path(model).absolute(), out="out"
        )

    def bring(self, result: dict) -> NewSegments:
        """Adds a segment for each label of the model."""
        if result["failed"]:
            raise InputError(*(result["failed"][0][key] for key in ("code", "message", "advice")))
        path = self.folder / "out" / "labels" / "volume.nrrd"
        if self._isChanged():
            self.keep("out")
            raise InputError(
                "nodes_changed",
                _("The volume or the segmentation was changed or removed meanwhile."),
                _("The result is kept in {path}.").format(path=path),
            )
        label = read_label(path, self.geometry)
        node = self.segmentationNode or newSegmentation(self.volumeNode)
        editorLogic = createEditorLogic(node, self.volumeNode)
        (self._saveStateForUndo or editorLogic.SaveStateForUndo)()
        segmentIds = addSegments(node, [replace(entry, name=freeName(node, entry.name)) for entry in self.labels])
        label = inOrder(label, self.labels)
        writeLabel(label, node, segmentIds, self.volumeNode, editorLogic)
        # Nobody has drawn this: slices that are corrected from now on count as annotated, and no others.
        markPropagated(label, self._axis, segmentsOf(node, segmentIds), [{}] * len(segmentIds), (), "")
        return NewSegments(node, segmentIds)

    def _check(self) -> None:
        """Raises InputError for nodes that cannot be worked on."""
        if self.segmentationNode is None:
            checkVolume(self.volumeNode)
        else:
            checkNodes(self.volumeNode, self.segmentationNode)

    def _isChanged(self) -> bool:
        """Whether the nodes were removed or moved while the job ran."""
        if any(node and node.GetScene() is None for node in (self.volumeNode, self.segmentationNode)):
            return True
        try:
            self._check()
        except InputError:
            return True
        return geometryOf(self.volumeNode) != self.geometry


class CohortSegmentJob(TemporaryJob):
    """A model applied to all cases of a cohort; the results lie in ``out``, which is a cohort again.

    ``finish`` returns the trainer's summary: "cases" done, "failed".
    """

    def __init__(self, cohortFolder: Path, model: Path, *, settings: dict | None = None):
        """Raises InputError for a cohort or a model that cannot be used."""
        read_info(model)
        read_cohort(cohortFolder)
        self.out = resultsFolder(cohortFolder, model)
        super().__init__()
        paths = {"inputs": Path(cohortFolder).absolute(), "model": Path(model).absolute(), "out": self.out.absolute()}
        writeJob(self.folder, "segment", settings or {}, **paths)


class EvaluateJob(TemporaryJob):
    """Results compared with the completely drawn cases of their cohort; "mean" of the metrics, "report" to look at."""

    def __init__(self, cohortFolder: Path, results: Path):
        """Raises InputError ("no_reference") if no case is completely drawn."""
        cohort = read_cohort(cohortFolder)
        references = [case for case in cohort.cases if isReference(case)]
        if not references:
            raise InputError(
                "no_reference",
                _("No case of the cohort is drawn on all slices."),
                _("Add a case with every slice drawn, and say so when you add it."),
            )
        super().__init__()
        write_cohort(self.folder / "reference", references, cohort.labels)
        paths = {"predictions": Path(results).absolute(), "reference": "reference"}
        writeJob(self.folder, "evaluate", {}, **paths, out=(Path(results) / "evaluation").absolute())


def isReference(case) -> bool:
    """Whether every slice of the case is drawn or known to be empty."""
    return case.label is not None and case.annotated_slices is None


def resultsFolder(cohortFolder: Path, model: Path) -> Path:
    """Where a model's results on a cohort go."""
    return Path(cohortFolder) / RESULTS / Path(model).name.removesuffix(SUFFIX)


def freeName(segmentationNode, name: str) -> str:
    """``name``, with a number behind it if the segmentation has such a segment already."""
    segmentation = segmentationNode.GetSegmentation()
    taken = {segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()}
    names = (name if number == 1 else f"{name} {number}" for number in range(1, len(taken) + 2))
    return next(free for free in names if free not in taken)


def segment(volumeNode, model, segmentationNode=None, waitForCompletion: bool = True, **options):
    """Segments a volume with a trained model, into new segments: returns them, or the started job.

    ``options`` are those of ``SegmentJob``. Without ``waitForCompletion`` call the job's ``update`` from a timer until
    ``isFinished``, then ``finish``. Raises InputError.
    """
    checkTorch()
    return SegmentJob(volumeNode, model, segmentationNode, **options).run(waitForCompletion)


def segmentCohort(cohortFolder, model, waitForCompletion: bool = True, **options):
    """Segments all cases of a cohort: returns the trainer's summary, or the started job. Raises InputError."""
    checkTorch()
    return CohortSegmentJob(cohortFolder, model, **options).run(waitForCompletion)
