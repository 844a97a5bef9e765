"""A segmentation as a file for others: .seg.nrrd, label maps (NIfTI, NRRD, MetaImage), and DICOM SEG."""

from __future__ import annotations

import shutil
from pathlib import Path

import slicer

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.files import WRITABLE, cannot_write, full_suffix, whole_file
from sparseseg_trainer.volumes import write_label

from .job import writeJob
from .nodeChecks import checkNodes
from .segments import drawnSegmentIds, labelsOf, readLabel
from .temporaryJob import TemporaryJob
from .translation import tr as _
from .volumeFiles import geometryOf

SEGMENTATION, DICOM = ".seg.nrrd", ".dcm"


def exportSegmentation(segmentationNode, volumeNode, path: Path) -> None:
    """Writes the segments; the suffix gives the format.

    A .seg.nrrd file is Slicer's own, with names, colors, terminology and overlaps; label maps are on the volume's grid
    and have the values 1, 2, ... in the order of the segments that are not empty. Raises InputError ("nothing_drawn",
    "overlap", "bad_suffix", "no_space", "cannot_write").
    """
    path = Path(path)
    segmentIds = _checked(segmentationNode, volumeNode)
    if full_suffix(path) not in WRITABLE:
        raise InputError(
            "bad_suffix",
            _("{name} has a suffix that cannot be written.").format(name=path.name),
            _("Use one of {suffixes}.").format(suffixes=", ".join(WRITABLE)),
        )
    if full_suffix(path) == SEGMENTATION:
        _writeSegmentation(segmentationNode, path)
    else:
        write_label(path, readLabel(segmentationNode, segmentIds, volumeNode), geometryOf(volumeNode))


class DicomExportJob(TemporaryJob):
    """The segments that are not empty as a DICOM Segmentation object.

    The trainer writes it (highdicom) in a process of its own. ``finish`` returns the path of the file.
    """

    def __init__(self, segmentationNode, volumeNode, path: Path):
        """Raises InputError for nodes that cannot be exported, and for a volume that is no DICOM series."""
        segmentIds = _checked(segmentationNode, volumeNode)
        files = seriesFiles(volumeNode)
        label = readLabel(segmentationNode, segmentIds, volumeNode)
        super().__init__()
        labels = labelsOf(segmentationNode, segmentIds)
        write_label(self.folder / "label.seg.nrrd", label, geometryOf(volumeNode), labels)
        (self.folder / "series").mkdir()
        for number, file in enumerate(files):
            shutil.copyfile(file, self.folder / "series" / f"{number:05}.dcm")
        paths = {"label": "label.seg.nrrd", "series": "series", "out": Path(path).absolute()}
        writeJob(self.folder, "export", {}, **paths)

    def bring(self, result: dict) -> Path:
        """The file that was written."""
        return Path(result["out"])


def hasSlicersExporter() -> bool:
    """Whether Slicer's own DICOM SEG exporter is there (extension QuantitativeReporting)."""
    return "DICOMSegmentationPlugin" in getattr(slicer.modules, "dicomPlugins", {})


def exportWithSlicer(segmentationNode, volumeNode, path: Path) -> None:
    """Writes a DICOM Segmentation object with Slicer's own exporter. Raises InputError if it writes nothing."""
    _checked(segmentationNode, volumeNode)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(segmentationNode)
    hierarchy.SetItemParent(item, hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volumeNode)))
    exporter = slicer.modules.dicomPlugins["DICOMSegmentationPlugin"]()
    exportables = exporter.examineForExport(item)
    with whole_file(path) as temporary:
        folder = temporary.with_suffix(".export")
        folder.mkdir(parents=True)
        try:
            for exportable in exportables:
                exportable.directory = str(folder)
            problem = exporter.export(exportables)
            written = sorted(folder.rglob("*.dcm"))
            if not written:
                raise cannot_write(Path(path), problem or _("Slicer's exporter gave no file"))
            shutil.move(written[0], temporary)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def seriesFiles(volumeNode) -> list[Path]:
    """The DICOM files of the volume. Raises InputError ("not_dicom") if it was not loaded from DICOM."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    if instances and database:
        names = [database.fileForInstance(instance) for instance in instances]
    else:
        storage = volumeNode.GetStorageNode()
        names = [storage.GetNthFileName(n) for n in range(storage.GetNumberOfFileNames())] if storage else []
    files = [Path(name) for name in names if name]
    if not files or not all(_isDicom(file) for file in files):
        raise InputError(
            "not_dicom",
            _("'{name}' was not loaded from a DICOM series.").format(name=volumeNode.GetName()),
            _("Load the volume with Slicer's DICOM module, or export as .seg.nrrd or NIfTI."),
        )
    return files


def _isDicom(file: Path) -> bool:
    """Whether a DICOM file's mark is where it belongs."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _checked(segmentationNode, volumeNode) -> list[str]:
    """The segments that are not empty. Raises InputError for nodes that cannot be exported."""
    checkNodes(volumeNode, segmentationNode)
    segmentIds = drawnSegmentIds(segmentationNode, volumeNode)
    if not segmentIds:
        raise InputError(
            "nothing_drawn",
            _("Nothing is drawn in '{name}'.").format(name=segmentationNode.GetName()),
            _("Draw or segment a structure, then export it."),
        )
    return segmentIds


def _writeSegmentation(segmentationNode, path: Path) -> None:
    """Slicer's own format, by Slicer; the node keeps the file that it is saved to with the scene."""
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    try:
        with whole_file(path) as temporary:
            storage.SetFileName(str(temporary))
            if not storage.WriteData(segmentationNode):
                raise cannot_write(path)
    finally:
        slicer.mrmlScene.RemoveNode(storage)
