"""Reading and writing volumes: the only file of the trainer that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .dicom import read_series
from .errors import InputError
from .exact_grid import exact_geometry, patch_nifti, place
from .files import cannot_write, full_suffix, require, require_text, require_writable, whole_file
from .geometry import Geometry, paste
from .labels import Label, default_label
from .segments import flatten_layers, read_segments, segment_keys

__all__ = [
    "Geometry",
    "Volume",
    "read_geometry",
    "read_image",
    "read_label",
    "read_label_names",
    "write_image",
    "write_label",
]

LARGEST_LABEL = 65535

# What ITK says about a file reaches the user as an InputError; its own warnings would only fill the log.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass
class Volume:
    """An image: ``array`` (k, j, i) in the file's own pixel type, on the grid ``geometry``."""

    array: np.ndarray
    geometry: Geometry


def read_image(path: Path, case: str = "") -> Volume:
    """Reads a gray-value volume: NRRD, NIfTI, MetaImage, or a folder with one DICOM series.

    Raises InputError ("missing_file", "bad_path", "not_an_image", "not_3d", "one_slice", "color", "not_finite",
    "several_series", "uneven_slices"); its message names ``case``.
    """
    image = _as_volume(_read(path, case), path, case)
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        kind = image.GetPixelIDTypeAsString()
        raise InputError(
            "color",
            f"{_subject(path, case)}: the image {path} has voxels of type {kind}, not gray values.",
            "Convert it to a volume with one gray value a voxel.",
        )
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            "not_finite",
            f"{_subject(path, case)}: the image {path} has voxels without a value (NaN or infinite).",
            "Replace these voxels by a number, 0 for instance, and save the volume again.",
        )
    return Volume(array, exact_geometry(image))


def read_geometry(path: Path, case: str = "") -> Geometry:
    """The grid of a volume, from the header alone except for DICOM. Raises as ``read_image`` does."""
    if Path(path).is_dir():
        return read_image(path, case).geometry
    reader = _header(path, case)
    if reader.GetDimension() != 3:
        return exact_geometry(_as_volume(_read(path, case), path, case))
    return exact_geometry(_as_volume(reader, path, case))


def read_label(path: Path, geometry: Geometry, case: str = "") -> np.ndarray:
    """Reads a label map (k, j, i), uint8, or uint16 where values pass 255, on exactly the grid ``geometry``.

    A segmentation (.seg.nrrd) may cover a part of the image, as Slicer saves it, and may have layers.
    Raises InputError ("other_grid", "bad_label", "overlap", and those of ``read_image``).
    """
    may_be_cropped = full_suffix(Path(path)) == ".seg.nrrd"  # as far as to the one slice that is drawn
    image = _as_volume(_read(path, case), path, case, fewest=1 if may_be_cropped else 2)
    array = _label_values(image, path, case)
    grid = exact_geometry(image)
    if geometry.same_grid(grid):
        return array
    offset = geometry.offset_of(grid) if may_be_cropped else None
    if offset is None:
        raise InputError(
            "other_grid",
            f"{_subject(path, case)}: the label {path} ({grid}) is not on the image's grid ({geometry}).",
            "Resample the label to the image, or export it with the image as reference.",
        )
    return paste(array, offset, geometry.shape)


def read_label_names(path: Path, case: str = "") -> list[Label]:
    """The labels that a segmentation file names itself, from its header; none for a plain label map."""
    return [label for _, _, label in _segments(_header(path, case), path, case)]


def write_label(path: Path, array: np.ndarray, geometry: Geometry, labels: Sequence[Label] = ()) -> None:
    """Writes a label map (k, j, i) compressed; the suffix gives the format, .seg.nrrd keeps names and colors.

    The grid is kept to the last bit, but NIfTI rounds grids that did not come from NIfTI to float32.
    Raises InputError ("no_space", "cannot_write", "bad_suffix", "bad_path").
    """
    kind = np.uint8 if array.max(initial=0) < 256 else np.uint16
    keys = {}
    if full_suffix(Path(path)) == ".seg.nrrd":
        labels = labels or [default_label(int(value)) for value in np.unique(array) if value]
        keys = segment_keys(labels, geometry.size)
    _write(path, array.astype(kind, copy=False), geometry, keys)


def write_image(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes an image (k, j, i) as ``write_label`` does; bool becomes uint8 and float16 float32."""
    wider = {"bool": np.uint8, "float16": np.float32}.get(array.dtype.name, array.dtype)
    _write(path, array.astype(wider, copy=False), geometry, {})


def _subject(path: Path, case: str) -> str:
    return f"Case {case}" if case else Path(path).name


def _not_an_image(path: Path, case: str) -> InputError:
    return InputError(
        "not_an_image",
        f"{_subject(path, case)}: {path} is damaged, incomplete, or not an image.",
        "Give a complete NRRD, NIfTI or MetaImage file, or a folder with one DICOM series.",
    )


def _header(path: Path, case: str) -> sitk.ImageFileReader:
    path = Path(path)
    require(path, _subject(path, case))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _not_an_image(path, case) from error
    return reader


def _read(path: Path, case: str) -> sitk.Image:
    path = Path(path)
    if path.is_dir():
        require_text(path, _subject(path, case))
        return read_series(path, _subject(path, case))
    reader = _header(path, case)
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise _not_an_image(path, case) from error


def _as_volume(image: sitk.Image | sitk.ImageFileReader, path: Path, case: str, fewest: int = 2):
    """Checks that an image, or a reader that has read a header, holds one volume of at least ``fewest`` slices."""
    size = image.GetSize()
    extent = " x ".join(map(str, size))
    if len(size) > 3 and set(size[3:]) == {1}:  # a time series of one volume, as some converters write
        return _as_volume(image[(slice(None),) * 3 + (0,) * (len(size) - 3)], path, case, fewest)
    if len(size) != 3:
        raise InputError(
            "not_3d",
            f"{_subject(path, case)}: {path} has {len(size)} dimensions ({extent}), not 3.",
            "Give a volume of several slices" + (", one time point of it." if len(size) > 3 else "."),
        )
    if min(size) < fewest:
        raise InputError(
            "one_slice",
            f"{_subject(path, case)}: {path} has one slice only ({extent} voxels).",
            "Give a volume of several slices; for DICOM, the folder of the whole series.",
        )
    return image


def _segments(header: sitk.Image | sitk.ImageFileReader, path: Path, case: str) -> list[tuple[int, int, Label]]:
    keys = {key: header.GetMetaData(key) for key in header.GetMetaDataKeys() if key.startswith("Segment")}
    try:
        return read_segments(keys)
    except (ValueError, KeyError) as error:
        raise _not_an_image(path, case) from error


def _label_values(image: sitk.Image, path: Path, case: str) -> np.ndarray:
    array = sitk.GetArrayViewFromImage(image)
    segments = _segments(image, path, case)
    if array.ndim == 4 and segments:
        try:
            array = flatten_layers(array, segments)
        except IndexError as error:
            raise _not_an_image(path, case) from error
        except ValueError as error:
            raise InputError(
                "overlap",
                f"{_subject(path, case)}: in {path} {error}.",
                "Make the segments exclude each other (Segment Editor, Masking) and save again.",
            ) from error
    problem = _label_problem(array)
    if problem:
        raise InputError(
            "bad_label",
            f"{_subject(path, case)}: the label {path} has {problem}.",
            f"Give a label map of whole numbers, 0 for background and 1 to {LARGEST_LABEL} for structures.",
        )
    return array.astype(np.uint8 if array.max() < 256 else np.uint16)


def _label_problem(array: np.ndarray) -> str:
    """What keeps ``array`` from being a label map, or nothing."""
    if array.ndim != 3 or array.dtype.kind == "c":
        return "several numbers a voxel"
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        return "values that are not whole numbers"
    if array.min() < 0:
        return f"negative values ({array.min():g})"
    return f"values above {LARGEST_LABEL}" if array.max() > LARGEST_LABEL else ""


def _write(path: Path, array: np.ndarray, geometry: Geometry, keys: dict[str, str]) -> None:
    path = Path(path)
    require_writable(path)
    suffix = full_suffix(path)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    place(image, geometry, is_nrrd=suffix.endswith("nrrd"))
    for key, value in keys.items():
        image.SetMetaData(key, value)
    with whole_file(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            if suffix.startswith(".nii"):
                patch_nifti(temporary, geometry)
            # The compressing writers of ITK keep silent when the disk is full: look at what is there.
            written = sitk.GetArrayFromImage(sitk.ReadImage(str(temporary)))
            complete = np.array_equal(written, array, equal_nan=array.dtype.kind == "f")
        except (RuntimeError, EOFError):
            complete = False
        if not complete:
            raise cannot_write(path)
