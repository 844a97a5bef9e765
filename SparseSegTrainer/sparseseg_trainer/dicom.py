"""Reading a folder with one DICOM series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError

DESCRIPTION = "0008|103e"
POSITION = "0020|0032"
# Distances between slices may differ by this part, as decimals in the files do; a missing slice doubles one.
UNEVEN = 0.05


def read_series(folder: Path, subject: str) -> sitk.Image:
    """Reads the one series in ``folder``; ``subject`` begins the messages.

    Raises InputError ("not_an_image", "several_series", "uneven_slices").
    """
    reader = sitk.ImageSeriesReader()
    reader.MetaDataDictionaryArrayUpdateOn()
    reader.SetFileNames(series_files(folder, subject))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(
            "not_an_image",
            f"{subject}: the DICOM series in {folder} cannot be read.",
            "Check that all its files are there and belong to one volume.",
        ) from error
    _check_distances(reader, image.GetSize()[2] if image.GetDimension() == 3 else 1, folder, subject)
    return image


def series_files(folder: Path, subject: str) -> list[str]:
    """The files of the one series in ``folder``, in the order of their slices.

    Raises InputError ("not_an_image", "several_series").
    """
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise InputError(
            "not_an_image",
            f"{subject}: the folder {folder} has no DICOM series.",
            "Give a volume file, or a folder with the files of one DICOM series; "
            "a folder of volumes needs a cohort.csv, or name its files.",
        )
    if len(series) > 1:
        names = ", ".join(_series_name(folder, uid) for uid in series)
        raise InputError(
            "several_series",
            f"{subject}: the folder {folder} has {len(series)} DICOM series ({names}).",
            "Put each series into a folder of its own and give one of them.",
        )
    return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0]))


def _check_distances(reader: sitk.ImageSeriesReader, count: int, folder: Path, subject: str) -> None:
    """Raises InputError if slices are missing: their volume would be too short, and labels on it wrong."""
    if not all(reader.HasMetaDataKey(index, POSITION) for index in range(count)):
        return
    positions = [np.array(reader.GetMetaData(index, POSITION).split("\\"), float) for index in range(count)]
    distances = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if count > 2 and np.ptp(distances) > UNEVEN * np.median(distances):
        raise InputError(
            "uneven_slices",
            f"{subject}: the slices of the DICOM series in {folder} lie {distances.min():.3g} to "
            f"{distances.max():.3g} mm apart, not evenly.",
            "Add the missing files, or put only the files of one volume into the folder.",
        )


def _series_name(folder: Path, uid: str) -> str:
    reader = sitk.ImageFileReader()
    reader.SetFileName(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)[0])
    reader.ReadImageInformation()
    description = reader.GetMetaData(DESCRIPTION).strip() if reader.HasMetaDataKey(DESCRIPTION) else ""
    return description or uid
