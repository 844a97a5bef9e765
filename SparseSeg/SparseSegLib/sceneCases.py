"""Cases of the scene into a cohort folder and back, in the format that the command line reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from sparseseg_trainer.case import Case, cell, write_row
from sparseseg_trainer.cohort import read_cohort, write_rows
from sparseseg_trainer.dicom import series_files
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.labels import Label, write_labels
from sparseseg_trainer.slices import slice_axis, to_slices
from sparseseg_trainer.volumes import read_label, write_label

from .cohortFolder import caseNames, checkNew, freePath, labelsIn, propagatedPath, rowsOf
from .cohortTable import latestResults
from .drawnSlices import checksumsOf, drawnSlices, markPropagated
from .nodeChecks import checkNodes, checkVolume
from .segments import (
    addSegments,
    createEditorLogic,
    drawnSegmentIds,
    inOrder,
    labelsOf,
    newSegmentation,
    readLabel,
    segmentationFor,
    segmentsOf,
    writeLabel,
)
from .translation import tr as _
from .volumeFiles import caseName, geometryOf, writeVolume

CASE = "SparseSeg.Case"  # attribute of an opened volume: cohort folder and case, as written by ``_mark``


@dataclass
class OpenedCase:
    """A case in the scene."""

    case: Case
    volumeNode: object
    segmentationNode: object


def addCase(
    folder: Path,
    volumeNode,
    segmentationNode,
    *,
    segmentIds: Sequence[str] = (),
    annotatedSlices: Sequence[int] = (),
    axis: int | None = None,
    complete: bool = False,
    name: str = "",
    **extent,
) -> str:
    """Writes the volume and what is drawn on it into the cohort, and returns the name of the case.

    The segments are by default all that are not empty, the annotated slices those that the user drew. ``complete``
    says that every slice is drawn or known to be empty: the case is a reference to measure results by. ``axis``
    (0, 1, 2) is the slice axis. ``extent`` are the fields first_slice, last_slice, reaches_first, reaches_last of
    ``Case``. A case that was opened from this cohort is saved again: its image stays, its label is replaced.
    Raises InputError for nodes that cannot be worked on, if nothing is drawn, if another case has the name or it cannot
    be a file name, and for a case with slices across other axes, which the scene does not keep.
    """
    folder = Path(folder)
    checkNodes(volumeNode, segmentationNode)
    axis = slice_axis(geometryOf(volumeNode), axis)
    segmentIds = list(segmentIds) or drawnSegmentIds(segmentationNode, volumeNode)
    label = readLabel(segmentationNode, segmentIds, volumeNode)
    segments = segmentsOf(segmentationNode, segmentIds)
    annotated = tuple(annotatedSlices) or drawnSlices(label, axis, segments)
    if not annotated:
        raise InputError(
            "nothing_drawn",
            _("Nothing is drawn in '{name}'.").format(name=segmentationNode.GetName()),
            _("Draw the structure on one slice, then add the case."),
        )
    rows = rowsOf(folder)
    opened = openedName(folder, volumeNode)
    old = next((row for row in rows if cell(row, "case") == opened), None) if opened else None
    name = opened or name or caseName(volumeNode)
    if not opened:
        checkNew(folder, name, rows)
    if old and cell(old, "other_slices"):
        raise InputError(
            "other_slices",
            _("The case '{name}' has slices drawn across other axes, which would be lost.").format(name=name),
            _("Change its label file and its row in cohort.csv, or add the volume to another cohort."),
        )
    labels, values = _merged(labelsIn(folder), labelsOf(segmentationNode, segmentIds))
    label = np.array([0, *values], np.uint8 if max(values) < 256 else np.uint16)[label]
    image = _image(folder, name, volumeNode, rows if opened else [])
    case = Case(
        name, image, freePath(folder / "labels", name, ".seg.nrrd"), None if complete else annotated, axis, **extent
    )
    _writeLabels(case, label, geometryOf(volumeNode), labels)
    write_labels(folder, labels)
    new, before = write_row(case, folder), cell(old or {}, "label")
    if old is None:
        rows.append(new)
    else:
        old.update(new | {"group": old.get("group", "")})
    write_rows(folder, rows)
    _removeLabel(folder, before)  # last: until now the table named it
    _mark(volumeNode, folder, name)
    return name


def addVolume(folder: Path, volumeNode) -> str:
    """Writes a volume without a drawing into the cohort, and returns the name of the case. Raises InputError."""
    folder, rows = Path(folder), rowsOf(folder)
    checkVolume(volumeNode)
    name = caseName(volumeNode)
    checkNew(folder, name, rows)
    rows.append(write_row(Case(name, _image(folder, name, volumeNode, [])), folder))
    write_rows(folder, rows)
    _mark(volumeNode, folder, name)
    return name


def openCase(folder: Path, name: str) -> OpenedCase:
    """Brings a case into the scene, or finds it there: its volume, and its segments with names and colors.

    What was propagated comes too, and the drawn slices are known as such; a case without a drawing comes with what a
    model has found last. Raises InputError.
    """
    cohort = read_cohort(folder)
    failure = next((failure for failure in cohort.failed if failure.case == name), None)
    if failure:
        raise InputError(failure.code, failure.message, failure.advice)
    case = next(case for case in cohort.cases if case.name == name)
    for volumeNode in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if openedName(folder, volumeNode) == name:
            return OpenedCase(case, volumeNode, segmentationFor(volumeNode))
    volumeNode = _loadImage(case)
    _mark(volumeNode, folder, name)
    result = _resultOf(folder, name) if case.label is None else None
    if case.label is None and result is None:
        return OpenedCase(case, volumeNode, segmentationFor(volumeNode))
    segmentationNode = newSegmentation(volumeNode)
    if result is None:
        whole = propagatedPath(folder, name)
        _loadLabel(case, whole if whole.is_file() else case.label, cohort.labels, volumeNode, segmentationNode)
    else:
        _loadLabel(case, result.label, result.cohort.labels, volumeNode, segmentationNode)
    return OpenedCase(case, volumeNode, segmentationNode)


def openedName(folder: Path, volumeNode) -> str:
    """The case of this cohort that the volume was opened from or added as; empty if there is none any more."""
    where, _bar, name = (volumeNode.GetAttribute(CASE) or "").rpartition("|")
    return name if where == str(Path(folder).resolve()) and name in caseNames(folder) else ""


def _merged(known: Sequence[Label], drawn: Sequence[Label]) -> tuple[list[Label], list[int]]:
    """All labels, and the value of each drawn one: structures of one name are the same one in all cases."""
    labels, values = list(known), []
    for label in drawn:
        same = next((other for other in labels if other.name.casefold() == label.name.casefold()), None)
        if same is None:
            value = max((other.value for other in labels), default=0) + 1
            same = Label(value, label.name, label.color, label.terminology)
            labels.append(same)
        values.append(same.value)
    return labels, values


def _image(folder: Path, name: str, volumeNode, rows: list[dict[str, str]]) -> Path:
    """The image file of the case: as it is in ``rows``, or else written now."""
    for row in rows:
        if cell(row, "case") == name:
            return folder / cell(row, "image")
    path = freePath(folder / "images", name, ".nrrd")
    writeVolume(volumeNode, path)
    return path


def _writeLabels(case: Case, label: np.ndarray, geometry, labels: Sequence[Label]) -> None:
    """Writes the drawn slices as the case's label, and the whole label beside them if there is more."""
    whole = propagatedPath(case.label.parents[1], case.name)
    drawn = label.copy()
    if case.annotated_slices is not None:
        slices = to_slices(drawn, case.axis)
        slices[[index for index in range(len(slices)) if index not in case.annotated_slices]] = 0
    write_label(case.label, drawn, geometry, labels)
    if np.array_equal(drawn, label):
        whole.unlink(missing_ok=True)
    else:
        write_label(whole, label, geometry, labels)


def _removeLabel(folder: Path, label: str) -> None:
    """Removes the file that the table had as the label of a case (empty: none), if it lies in the cohort."""
    path = (folder / label).resolve()
    if label and path.parent == (folder / "labels").resolve():
        path.unlink(missing_ok=True)


def _loadImage(case: Case):
    """The case's volume as a node. Raises InputError ("not_an_image", "several_series")."""
    path = series_files(case.image, f"Case {case.name}")[0] if case.image.is_dir() else case.image
    try:
        volumeNode = slicer.util.loadVolume(str(path), {"name": case.name, "singleFile": False})
    except RuntimeError as error:
        raise InputError(
            "not_an_image",
            _("Slicer cannot read the volume {path}.").format(path=case.image),
            _("Check that the file is complete."),
        ) from error
    volumeNode.SetName(case.name)
    return volumeNode


def _resultOf(folder: Path, name: str) -> Case | None:
    """The case among the latest results of a model; None if it has none."""
    results = latestResults(folder)
    cases = read_cohort(results).cases if results else []
    return next((case for case in cases if case.name == name), None)


def _loadLabel(case: Case, path: Path, labels: Sequence[Label], volumeNode, segmentationNode) -> None:
    """Brings the label file into the segmentation, where the slices that the case says to be drawn count as such."""
    geometry = geometryOf(volumeNode)
    axis = slice_axis(geometry, case.axis)
    label = inOrder(read_label(path, geometry, case.name), labels)
    segmentIds = addSegments(segmentationNode, labels)
    writeLabel(label, segmentationNode, segmentIds, volumeNode, createEditorLogic(segmentationNode, volumeNode))
    annotated = range(len(to_slices(label, axis))) if case.annotated_slices is None else case.annotated_slices
    annotated = () if case.label is None else annotated
    drawn = [
        {index: checksum for index, checksum in checksums.items() if index in annotated}
        for checksums in checksumsOf(label, axis, len(labels))
    ]
    markPropagated(label, axis, segmentsOf(segmentationNode, segmentIds), drawn, annotated, "")


def _mark(volumeNode, folder: Path, name: str) -> None:
    volumeNode.SetAttribute(CASE, f"{Path(folder).resolve()}|{name}")
