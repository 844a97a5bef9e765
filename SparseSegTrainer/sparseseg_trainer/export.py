"""The job "export": a segmentation as a DICOM Segmentation object or a file of another format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .dicom_seg import read_dicom_seg, write_dicom_seg
from .errors import InputError
from .files import full_suffix, require_other_files
from .geometry import Geometry
from .labels import FILE_NAME, Label, read_labels
from .reporting import Reporter
from .settings import CheckedSettings
from .sparse_volume import label_values
from .volumes import read_geometry, read_label, read_label_names, write_label

DICOM = ".dcm"


@dataclass(frozen=True)
class ExportSettings(CheckedSettings):
    """What a DICOM file says of itself: how the segments were made, and the name of its series."""

    algorithm: Literal["manual", "semiautomatic", "automatic"] = "semiautomatic"
    description: str = "SparseSeg"


def export(
    label: Path,
    out: Path,
    series: Path | None = None,
    settings: ExportSettings = ExportSettings(),
    reporter: Reporter | None = None,
) -> dict:
    """Writes the segmentation ``label`` to ``out``; the suffix says how (.dcm, .seg.nrrd, .nrrd, .nii.gz, .mha).

    ``series`` is the folder of the DICOM series that was segmented, needed for .dcm. Names, colors and codes come
    from the label file itself (.seg.nrrd, .dcm), else from labels.json in its folder or the one above, where
    ``propagate`` and ``segment`` write it. Raises InputError ("missing_series", and those of ``read_label``,
    ``write_label`` and ``write_dicom_seg``) and ``Cancelled``.
    """
    reporter, label, out = reporter or Reporter(), Path(label), Path(out)
    require_other_files([label], [out])
    to_dicom = full_suffix(out) == DICOM
    if to_dicom and series is None:
        raise InputError(
            "missing_series",
            f"{out} needs the DICOM series that was segmented.",
            "Give its folder with --series, or choose another format, .seg.nrrd for instance.",
        )
    reporter.progress("export", 0.1, label.name)
    array, geometry, labels = _read(label, series)
    reporter.progress("export", 0.5, out.name)
    if to_dicom:
        for unknown in write_dicom_seg(out, array, geometry, series, labels, settings.algorithm, settings.description):
            reporter.warn(f"{unknown.name} has no terminology: its code is that of Tissue.")
    else:
        write_label(out, array, geometry, labels)
    return {"out": str(out), "segments": [entry.name for entry in labels if (array == entry.value).any()]}


def _read(label: Path, series: Path | None) -> tuple[np.ndarray, Geometry, list[Label]]:
    """The label map (k, j, i), its grid (that of ``series``, if given) and its labels."""
    if full_suffix(label) != DICOM:
        geometry = read_geometry(series or label)
        array = read_label(label, geometry)
        return array, geometry, read_label_names(label) or _labels_beside(label, array)
    array, geometry, labels = read_dicom_seg(label)
    grid = read_geometry(series) if series else geometry
    # The decimals of DICOM files differ in the last bits from the grid that image readers make of them.
    return array, grid if grid.same_grid(geometry) else geometry, labels


def _labels_beside(label: Path, array: np.ndarray) -> list[Label]:
    folders = (label.parent, label.parent.parent)
    folder = next((folder for folder in folders if (folder / FILE_NAME).is_file()), label.parent)
    return read_labels(folder, label_values(array))
