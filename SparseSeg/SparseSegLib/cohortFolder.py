"""Cases of the scene into a cohort folder and back: what the table of cases works on, and the command line reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from sparseseg_trainer.case import Case, cell, write_row
from sparseseg_trainer.cohort import read_cohort, read_rows, write_rows
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.files import full_suffix
from sparseseg_trainer.labels import FILE_NAME as LABELS_FILE
from sparseseg_trainer.labels import Label, read_labels, write_labels
from sparseseg_trainer.slices import slice_axis, to_slices
from sparseseg_trainer.volumes import read_geometry, read_label, write_label

from .drawnSlices import checksumsOf, drawnSlices, markPropagated
from .nodeChecks import checkNodes, checkVolume
from .segments import (
    addSegments,
    createEditorLogic,
    drawnSegmentIds,
    inOrder,
    labelsOf,
    readLabel,
    segmentsOf,
    writeLabel,
)
from .volumeFiles import caseName, fileName, geometryOf, writeVolume

TABLE = "cohort.csv"
IMAGES = (".nrrd", ".nii", ".nii.gz", ".mha", ".mhd")
CASE = "SparseSeg.Case"  # attribute of an opened volume: cohort folder and case, as written by ``_mark``


@dataclass
class OpenedCase:
    """A case in the scene."""

    case: Case
    volumeNode: object
    segmentationNode: object


def caseNames(folder: Path) -> list[str]:
    """The names of all cases in the order of the table, those included whose files are missing."""
    return [cell(row, "case") for row in _rows(folder)]


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
    Raises InputError for nodes that cannot be worked on, if nothing is drawn, and if another case has the name.
    """
    folder = Path(folder)
    checkNodes(volumeNode, segmentationNode)
    axis = slice_axis(geometryOf(volumeNode)) if axis is None else axis
    segmentIds = list(segmentIds) or drawnSegmentIds(segmentationNode, volumeNode)
    label = readLabel(segmentationNode, segmentIds, volumeNode)
    segments = segmentsOf(segmentationNode, segmentIds)
    annotated = tuple(annotatedSlices) or drawnSlices(label, axis, segments)
    if not annotated:
        raise InputError(
            "nothing_drawn",
            f"Nothing is drawn in '{segmentationNode.GetName()}'.",
            "Draw the structure on one slice, then add the case.",
        )
    rows = _rows(folder)
    opened = openedName(folder, volumeNode)
    name = opened or name or caseName(volumeNode)
    if not opened:
        _checkNew(folder, name, rows)
    labels, values = _merged(_labels(folder), labelsOf(segmentationNode, segmentIds))
    label = np.array([0, *values], np.uint8 if max(values) < 256 else np.uint16)[label]
    image = _image(folder, name, volumeNode, rows if opened else [])
    case = Case(
        name, image, _free(folder / "labels", name, ".seg.nrrd"), None if complete else annotated, axis, **extent
    )
    _writeLabels(case, label, geometryOf(volumeNode), labels)
    write_labels(folder, labels)
    old = next((row for row in rows if cell(row, "case") == opened), None) if opened else None
    new = write_row(case, folder)
    if old is None:
        rows.append(new)
    else:
        _removeLabel(folder, old)
        old.update(new | {"group": old.get("group", "")})
    write_rows(folder, rows)
    _mark(volumeNode, folder, name)
    return name


def addVolume(folder: Path, volumeNode) -> str:
    """Writes a volume without a drawing into the cohort, and returns the name of the case. Raises InputError."""
    folder, rows = Path(folder), _rows(folder)
    checkVolume(volumeNode)
    name = caseName(volumeNode)
    _checkNew(folder, name, rows)
    rows.append(write_row(Case(name, _image(folder, name, volumeNode, [])), folder))
    write_rows(folder, rows)
    _mark(volumeNode, folder, name)
    return name


def addFiles(folder: Path, paths: Iterable[Path]) -> tuple[list[str], list[InputError]]:
    """Adds image files, folders of image files and folders of one DICOM series, which stay where they are.

    Returns the names of the new cases, and why others were left out. Raises InputError if the table cannot be
    written.
    """
    folder, rows = Path(folder), _rows(folder)
    added, refused = [], []
    for path in _images(paths):
        try:
            name = _nameOf(path)
            _checkNew(folder, name, rows)
            read_geometry(path, name)
        except InputError as error:
            refused.append(error)
            continue
        rows.append(write_row(Case(name, path.absolute()), folder))
        added.append(name)
    if added:
        write_rows(folder, rows)
    return added, refused


def openCase(folder: Path, name: str) -> OpenedCase:
    """Brings a case into the scene, or finds it there: its volume, and its segments with names and colors.

    What was propagated comes too, and the drawn slices are known as such. Raises InputError.
    """
    cohort = read_cohort(folder)
    failure = next((failure for failure in cohort.failed if failure.case == name), None)
    if failure:
        raise InputError(failure.code, failure.message, failure.advice)
    case = next(case for case in cohort.cases if case.name == name)
    for volumeNode in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if openedName(folder, volumeNode) == name:
            return OpenedCase(case, volumeNode, _segmentationOf(volumeNode))
    volumeNode = _loadImage(case)
    _mark(volumeNode, folder, name)
    segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{name} segmentation")
    segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    if case.label is not None:
        _loadLabel(folder, case, cohort.labels, volumeNode, segmentationNode)
    return OpenedCase(case, volumeNode, segmentationNode)


def removeCase(folder: Path, name: str) -> None:
    """Takes a case out of the table; its files stay. Raises InputError if the table cannot be written."""
    rows = [row for row in _rows(folder) if cell(row, "case") != name]
    if rows:
        write_rows(folder, rows)
    else:
        (Path(folder) / TABLE).unlink(missing_ok=True)


def openedName(folder: Path, volumeNode) -> str:
    """The case of this cohort that the volume was opened from or added as; empty if there is none any more."""
    where, _, name = (volumeNode.GetAttribute(CASE) or "").rpartition("|")
    return name if where == str(Path(folder).resolve()) and name in caseNames(folder) else ""


def propagatedPath(folder: Path, name: str) -> Path:
    """Where the cohort keeps a case's label on all slices, if it was propagated before it was added."""
    return Path(folder) / "propagated" / f"{name}.seg.nrrd"


def _rows(folder: Path) -> list[dict[str, str]]:
    """The rows of the table; none if there is no table yet."""
    return read_rows(folder) if (Path(folder) / TABLE).is_file() else []


def _labels(folder: Path) -> list[Label]:
    """The labels that the cohort has so far."""
    if (folder / LABELS_FILE).is_file():
        return read_labels(folder)
    return read_cohort(folder).labels if (folder / TABLE).is_file() else []


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


def _checkNew(folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    if name.casefold() in (cell(row, "case").casefold() for row in rows):
        raise InputError(
            "duplicate_case",
            f"The cohort {folder.name} has a case '{name}' already.",
            "Rename the volume to add it as another case, or remove the case from the table first.",
        )


def _image(folder: Path, name: str, volumeNode, rows: list[dict[str, str]]) -> Path:
    """The image file of the case: as it is in ``rows``, or else written now."""
    for row in rows:
        if cell(row, "case") == name:
            return folder / cell(row, "image")
    path = _free(folder / "images", name, ".nrrd")
    writeVolume(volumeNode, path)
    return path


def _free(folder: Path, name: str, suffix: str) -> Path:
    """A path that does not exist yet: files of a case that was removed from the table are kept."""
    path, number = folder / (name + suffix), 2
    while path.exists():
        path, number = folder / f"{name}_{number}{suffix}", number + 1
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


def _removeLabel(folder: Path, row: dict[str, str]) -> None:
    """Removes the label of a case that is saved again, if it lies in the cohort."""
    path = (folder / cell(row, "label")).resolve()
    if cell(row, "label") and path.parent == (folder / "labels").resolve():
        path.unlink(missing_ok=True)


def _images(paths: Iterable[Path]) -> list[Path]:
    """The volumes in ``paths``; a folder without image files is taken for a DICOM series."""
    found = []
    for path in map(Path, paths):
        files = sorted(file for file in path.iterdir() if full_suffix(file) in IMAGES) if path.is_dir() else []
        found += files or [path]
    return found


def _nameOf(path: Path) -> str:
    name = path.name[: -len(full_suffix(path))] if full_suffix(path) and not path.is_dir() else path.resolve().name
    return fileName(name)


def _loadImage(case: Case):
    """The case's volume as a node. Raises InputError ("not_an_image")."""
    path = sorted(case.image.iterdir())[0] if case.image.is_dir() else case.image
    try:
        volumeNode = slicer.util.loadVolume(str(path), {"name": case.name, "singleFile": False})
    except RuntimeError as error:
        raise InputError(
            "not_an_image", f"Slicer cannot read the volume {case.image}.", "Check that the file is complete."
        ) from error
    volumeNode.SetName(case.name)
    return volumeNode


def _loadLabel(folder: Path, case: Case, labels: Sequence[Label], volumeNode, segmentationNode) -> None:
    geometry, whole = geometryOf(volumeNode), propagatedPath(folder, case.name)
    axis = slice_axis(geometry) if case.axis is None else case.axis
    label = read_label(whole if whole.is_file() else case.label, geometry, case.name)
    label = inOrder(label, labels)
    segmentIds = addSegments(segmentationNode, labels)
    writeLabel(label, segmentationNode, segmentIds, volumeNode, createEditorLogic(segmentationNode, volumeNode))
    annotated = case.annotated_slices or tuple(np.flatnonzero(to_slices(label, axis).any(axis=(1, 2))))
    drawn = [
        {index: checksum for index, checksum in checksums.items() if index in annotated}
        for checksums in checksumsOf(label, axis, len(labels))
    ]
    markPropagated(label, axis, segmentsOf(segmentationNode, segmentIds), drawn, annotated, "")


def _segmentationOf(volumeNode):
    """The segmentation that belongs to an opened volume; a new one if it was removed."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node.GetNodeReference(role) == volumeNode:
            return node
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    return node


def _mark(volumeNode, folder: Path, name: str) -> None:
    volumeNode.SetAttribute(CASE, f"{Path(folder).resolve()}|{name}")


def copySeries(folder: Path, name: str, files: Iterable[str]) -> Path:
    """Copies the files of a DICOM series into the cohort and returns their folder. Raises InputError."""
    target = _free(Path(folder) / "images", name, "")
    try:
        target.mkdir(parents=True)
        for file in files:
            shutil.copy2(file, target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise InputError(
            "cannot_write",
            f"The DICOM series {name} could not be copied to {target}: {error.strerror or error}.",
            "Check that the disk has room and that you may write there.",
        ) from error
    return target
