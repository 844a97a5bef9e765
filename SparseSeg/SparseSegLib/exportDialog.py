"""Exporting the segmentation of the volume in the window: where to, in which format, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from .dependencies import ensureDependencies
from .exporting import DICOM, DicomExportJob, exportSegmentation, exportWithSlicer, hasSlicersExporter
from .fileDialogs import askNewFile
from .parameterNode import CaseParameters
from .segments import drawnSegmentIds
from .volumeFiles import caseName

DICOM_PACKAGE = "highdicom>=0.28"


def exportObstacle(window) -> str:
    """Why nothing can be exported; empty if something can."""
    case = window.case
    if case is None:
        return window.volumeObstacle
    if case.segmentation and drawnSegmentIds(case.segmentation, case.volume):
        return ""
    return _("There is nothing to export: draw or segment a structure first.")


def askAndExport(window, jobPlace, say: Callable[[Callable[[], str]], None]) -> None:
    """Asks for a file and writes it; ``say`` runs what is done at once and shows what it returns or raises."""
    case = window.case
    filters = [
        _("Segmentation") + " (*.seg.nrrd)",
        _("NIfTI label map") + " (*.nii.gz)",
        _("DICOM Segmentation") + " (*.dcm)",
    ]
    path = askNewFile(_("Export the segmentation"), filters, f"{caseName(case.volume)}.seg.nrrd")
    if path is None:
        return
    if path.suffix == DICOM and not hasSlicersExporter():
        window.jobRunner.run(
            lambda: _createJob(case, path), jobPlace, onFinished=lambda written: say(lambda: _written(written))
        )
    else:
        say(lambda: _export(case, path))


def _createJob(case: CaseParameters, path: Path) -> DicomExportJob:
    ensureDependencies(DICOM_PACKAGE)
    return DicomExportJob(case.segmentation, case.volume, path)


def _export(case: CaseParameters, path: Path) -> str:
    if path.suffix == DICOM:
        exportWithSlicer(case.segmentation, case.volume, path)
    else:
        exportSegmentation(case.segmentation, case.volume, path)
    return _written(path)


def _written(path: Path) -> str:
    return _("The segmentation is in {path}.").format(path=path)
