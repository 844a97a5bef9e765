"""DICOM Segmentation objects (PS3.3 A.51): a label map in the study of the series that it belongs to.

Needs highdicom, an optional extra that is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dicom import series_files
from .dicom_segments import LONGEST_TEXT, PROGRAM, describe, first_item, label_of, version
from .errors import InputError
from .files import require, whole_file
from .geometry import Geometry
from .labels import Label, default_label
from .terminology import parse_entry
from .volumes import read_geometry

# Attributes of patient and study that a segmentation copies from the series.
REQUIRED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)


def write_dicom_seg(
    path: Path,
    array: np.ndarray,
    geometry: Geometry,
    series: Path,
    labels: Sequence[Label],
    algorithm: str = "semiautomatic",
    description: str = PROGRAM,
) -> list[Label]:
    """Writes a label map (k, j, i) on the grid of the DICOM ``series`` (a folder) as a binary segmentation.

    One segment a label that has a voxel, numbered from 1 in the order of the values, with name, color and codes;
    each has a frame a slice, empty ones too, so that the file holds the whole grid. ``algorithm`` is "manual",
    "semiautomatic" or "automatic". Returns the labels that went as "Tissue" because they have no codes.
    Raises InputError ("missing_package", "missing_file", "other_grid", "empty_label", "unknown_label",
    "no_frame_of_reference", "multi_frame", "no_space", "cannot_write", and those of ``read_image``).
    """
    highdicom = _highdicom()
    path, series = Path(path), Path(series)
    values = [int(value) for value in np.unique(array) if value]
    named = _named(values, labels, path)
    sources = _sources(series, geometry)
    numbers = np.zeros(values[-1] + 1, np.uint16)
    numbers[values] = np.arange(1, len(values) + 1)
    segments = [describe(number, label, algorithm) for number, label in enumerate(named, start=1)]
    segmentation = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=numbers[array],
        segmentation_type="BINARY",
        segment_descriptions=segments,
        omit_empty_frames=False,
        series_instance_uid=highdicom.UID(),
        series_number=1 + 100 * (int(sources[0].get("SeriesNumber") or 0) % 1_000_000),
        series_description=description[:LONGEST_TEXT],
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=PROGRAM,
        software_versions=version(),
        device_serial_number="none",
        specific_character_set="ISO_IR 192",
    )
    with whole_file(path) as temporary:
        segmentation.save_as(temporary)
    return [label for label in named if parse_entry(label.terminology) is None]


def read_dicom_seg(path: Path) -> tuple[np.ndarray, Geometry, list[Label]]:
    """The label map (k, j, i) of a DICOM segmentation, its grid, and its labels, whose values are 1, 2, 3 ...

    The grid begins and ends with the slices that the file holds. Raises InputError ("missing_package",
    "missing_file", "not_a_segmentation", "overlap").
    """
    highdicom = _highdicom()
    from pydicom.errors import InvalidDicomError

    path = Path(path)
    require(path, path.name)
    try:
        segmentation = highdicom.seg.segread(path)
        array, geometry = _volume(segmentation)
        labels = [label_of(segmentation.get_segment_description(n)) for n in segmentation.segment_numbers]
    except RuntimeError as error:
        raise InputError(
            "overlap",
            f"{path.name}: segments of {path} overlap, but a voxel can have one label only.",
            "Make the segments exclude each other where the file was made.",
        ) from error
    except (InvalidDicomError, ValueError, TypeError, AttributeError, OSError, KeyError) as error:
        raise InputError(
            "not_a_segmentation",
            f"{path.name}: {path} is not a DICOM segmentation with one label a voxel on evenly spaced slices.",
            "Give a DICOM Segmentation object of binary type.",
        ) from error
    kind = np.uint8 if len(labels) < 256 else np.uint16
    return np.ascontiguousarray(array, kind), geometry, labels


def _highdicom():
    try:
        import highdicom
    except ModuleNotFoundError as error:
        raise InputError(
            "missing_package",
            "DICOM segmentations need the Python package highdicom, which is not installed.",
            "Install it with: pip install highdicom.",
        ) from error
    return highdicom


def _named(values: list[int], labels: Sequence[Label], path: Path) -> list[Label]:
    """The label of each value, default ones if there are no ``labels``."""
    if not values:
        raise InputError("empty_label", f"{path} was not written: the label is empty.", "Segment something first.")
    known = {label.value: label for label in labels or map(default_label, values)}
    missing = [value for value in values if value not in known]
    if missing:
        raise InputError(
            "unknown_label",
            f"{path} was not written: the label has the value {missing[0]}, missing in labels.json.",
            "Add it to labels.json, or correct the label.",
        )
    return [known[value] for value in values]


def _sources(series: Path, geometry: Geometry) -> list:
    """The headers of the series' files, slice by slice, if the label is on their grid."""
    from pydicom import dcmread

    require(series, series.name)
    grid = read_geometry(series)
    if not geometry.same_grid(grid):
        raise InputError(
            "other_grid",
            f"The label ({geometry}) is not on the grid of the DICOM series {series} ({grid}).",
            "Give the series from which the segmented volume was loaded.",
        )
    headers = [dcmread(file, stop_before_pixels=True) for file in series_files(series, series.name)]
    if len(headers) != grid.size[2]:
        raise InputError(
            "multi_frame",
            f"The DICOM series {series} keeps several slices a file.",
            "Save the segmentation as .seg.nrrd and convert it with another program.",
        )
    if "FrameOfReferenceUID" not in headers[0]:
        raise InputError(
            "no_frame_of_reference",
            f"The DICOM series {series} has no frame of reference, to which a segmentation has to refer.",
            "Save the segmentation as .seg.nrrd instead.",
        )
    for header in headers:  # anonymizers remove what the standard wants to be there, if only empty
        for keyword in REQUIRED:
            if keyword not in header:
                setattr(header, keyword, "")
    return headers


def _volume(segmentation) -> tuple[np.ndarray, Geometry]:
    """The label map (k, j, i) of the segments' numbers and its grid, from the decimals of the frames."""
    across, down = np.reshape(np.array(_frame_item(segmentation, "PlaneOrientation").ImageOrientationPatient), (2, 3))
    direction = np.stack([across, down, np.cross(across, down)], axis=1).astype(float)
    direction /= np.linalg.norm(direction, axis=0)
    frames = segmentation.PerFrameFunctionalGroupsSequence
    positions = np.array([frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames], float)
    positions = positions[np.argsort(positions @ direction[:, 2], kind="stable")]

    volume = segmentation.get_volume(combine_segments=True)
    # Images are stacked along the cross product of their axes; highdicom may do so or the other way round.
    array = volume.array if volume.affine[:3, 0] @ direction[:, 2] > 0 else volume.array[::-1]
    row_spacing, column_spacing = map(float, _frame_item(segmentation, "PixelMeasures").PixelSpacing)
    depth = float(np.linalg.norm(positions[-1] - positions[0])) / max(len(array) - 1, 1)
    return array, Geometry(
        size=array.shape[::-1],
        spacing=(column_spacing, row_spacing, depth),
        origin=tuple(positions[0].tolist()),
        direction=tuple(direction.ravel().tolist()),
    )


def _frame_item(segmentation, name: str):
    """The functional group ``name`` that all frames share, or that of the first frame."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    first = segmentation.PerFrameFunctionalGroupsSequence[0]
    return first_item(shared, f"{name}Sequence") or first_item(first, f"{name}Sequence")
