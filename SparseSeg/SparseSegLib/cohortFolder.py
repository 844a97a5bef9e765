"""The cohort folder as the table of cases changes it: rows that come and go, files that are never overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from sparseseg_trainer.case import FILE_NAME as TABLE
from sparseseg_trainer.case import Case, cell, check_case_name, write_row
from sparseseg_trainer.cohort import read_cohort, read_rows, write_rows
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.files import bare_name, cannot_write, full_suffix
from sparseseg_trainer.labels import FILE_NAME as LABELS_FILE
from sparseseg_trainer.labels import Label, read_labels
from sparseseg_trainer.volumes import read_geometry

from .translation import tr as _
from .volumeFiles import fileName

PROPAGATED = "propagated"  # folder with the labels on all slices of cases that were drawn on some
IMAGES = (".nrrd", ".nii", ".nii.gz", ".mha", ".mhd")


def caseNames(folder: Path) -> list[str]:
    """The names of all cases in the order of the table, those included whose files are missing."""
    return [cell(row, "case") for row in rowsOf(folder)]


def addFiles(folder: Path, paths: Iterable[Path]) -> tuple[list[str], list[InputError]]:
    """Adds image files, folders of image files and folders of one DICOM series, which stay where they are.

    Returns the names of the new cases, and why others were left out. Raises InputError if the table cannot be
    written.
    """
    folder, rows = Path(folder), rowsOf(folder)
    added, refused = [], []
    for path in _images(paths):
        try:
            name = fileName(bare_name(path))
            checkNew(folder, name, rows)
            read_geometry(path, name)
        except InputError as error:
            refused.append(error)
            continue
        rows.append(write_row(Case(name, path.absolute()), folder))
        added.append(name)
    if added:
        write_rows(folder, rows)
    return added, refused


def addSeries(folder: Path, name: str, files: Iterable[str]) -> str:
    """Copies the files of one DICOM series into the cohort as a case without a drawing, and returns its name.

    Raises InputError if another case has the name, and if the files cannot be copied.
    """
    folder, rows, name = Path(folder), rowsOf(folder), fileName(name)
    checkNew(folder, name, rows)
    target = freePath(folder / "images", name, "")
    try:
        target.mkdir(parents=True)
        for number, file in enumerate(files):
            shutil.copyfile(file, target / f"{number:05}.dcm")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise cannot_write(target, error.strerror or str(error)) from error
    rows.append(write_row(Case(name, target), folder))
    write_rows(folder, rows)
    return name


def removeCase(folder: Path, name: str) -> None:
    """Takes a case out of the table; its files stay. Raises InputError if the table cannot be written."""
    rows = [row for row in rowsOf(folder) if cell(row, "case") != name]
    if rows:
        write_rows(folder, rows)
    else:
        (Path(folder) / TABLE).unlink(missing_ok=True)


def propagatedPath(folder: Path, name: str) -> Path:
    """Where the cohort keeps a case's label on all slices, if it was propagated."""
    return Path(folder) / PROPAGATED / f"{name}.seg.nrrd"


def rowsOf(folder: Path) -> list[dict[str, str]]:
    """The rows of the table; none if there is no table yet."""
    return read_rows(folder) if (Path(folder) / TABLE).is_file() else []


def labelsIn(folder: Path) -> list[Label]:
    """The labels that the cohort has so far."""
    if (folder / LABELS_FILE).is_file():
        return read_labels(folder)
    return read_cohort(folder).labels if (folder / TABLE).is_file() else []


def checkNew(folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    """Raises InputError ("bad_case_name", "duplicate_case") if there can be no case of this name, or is one already."""
    check_case_name(name)
    if name.casefold() in (cell(row, "case").casefold() for row in rows):
        raise InputError(
            "duplicate_case",
            _("The cohort {folder} has a case '{name}' already.").format(folder=folder.name, name=name),
            _("Rename the volume to add it as another case, or remove the case from the table first."),
        )


def freePath(folder: Path, name: str, suffix: str) -> Path:
    """A path that does not exist yet: files of a case that was removed from the table are kept."""
    path, number = folder / (name + suffix), 2
    while path.exists():
        path, number = folder / f"{name}_{number}{suffix}", number + 1
    return path


def _images(paths: Iterable[Path]) -> list[Path]:
    """The volumes in ``paths``; a folder without image files is taken for a DICOM series."""
    found = []
    for path in map(Path, paths):
        files = sorted(file for file in path.iterdir() if full_suffix(file) in IMAGES) if path.is_dir() else []
        found += files or [path]
    return found
