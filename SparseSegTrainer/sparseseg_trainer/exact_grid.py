"""Keeping a grid to the last bit in formats that store the product of spacing and direction.

NRRD stores one vector an axis and NIfTI a float32 matrix, and readers divide them by their norm. Rounding
makes them get other last bits than were written, in three of four oblique grids. Here the vectors are chosen
such that ITK reads the same numbers back. They exist for every grid that was itself read from this format.
Of other grids (DICOM, MetaImage) an NRRD file gets the exact numbers in two keys beside the closest vectors;
NIfTI can only hold float32.
"""

from __future__ import annotations

import gzip
import struct
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .geometry import Geometry

SPACING_KEY = "SparseSeg_Spacing"
DIRECTION_KEY = "SparseSeg_Direction"
# Steps of the last bit to try on each component, the nearest first; one is too few for 3 of 10 000 vectors.
NUDGES = np.array(sorted(product(range(-2, 3), repeat=3), key=lambda steps: sum(map(abs, steps))))
NIFTI_MATRIX_BYTE = 280  # where srow_x begins in a NIfTI-1 header
# A NIfTI file rounds spacing and matrix each to float32: this is how far their ratio may be from 1.
FLOAT32_RATIOS = 1 + np.array(sorted(np.linspace(-4e-7, 4e-7, 81), key=abs))


def nrrd_vectors(geometry: Geometry) -> tuple[np.ndarray, bool]:
    """The vectors in mm, one a column, to write to NRRD, and whether ITK reads ``geometry`` from them."""
    columns, exact = [], True
    for axis, spacing in enumerate(geometry.spacing):
        direction = np.array(geometry.direction[axis::3])
        candidates = spacing * direction
        candidates = candidates + NUDGES * np.spacing(np.abs(candidates))
        norms = _norms(candidates)
        good = (norms == spacing) & (candidates * (1 / norms)[:, None] == direction).all(axis=1)
        exact &= bool(good.any())
        columns.append(candidates[np.argmax(good)])  # the first, hence nearest; the plain product if none is good
    return np.stack(columns, axis=1), exact


def nifti_matrix(geometry: Geometry) -> np.ndarray:
    """The 3 x 4 float32 matrix from voxels to mm (RAS, as NIfTI wants it) from which ITK reads ``geometry``.

    The nearest one if there is none: the grid then did not come from a NIfTI file.
    """
    columns = []
    for axis, spacing in enumerate(geometry.spacing):
        direction = np.array(geometry.direction[axis::3])
        candidates = (FLOAT32_RATIOS[:, None] * direction * spacing).astype(np.float32)
        stored = candidates.astype(np.float64)
        good = (stored / _norms(stored)[:, None] == direction).all(axis=1)
        columns.append(candidates[np.argmax(good)])
    lps = np.stack([*columns, np.array(geometry.origin, np.float32)], axis=1)
    return lps * np.array([[-1], [-1], [1]], np.float32)


def patch_nifti(path: Path, geometry: Geometry) -> None:
    """Puts ``nifti_matrix`` into a file that ITK has written: ITK itself rounds it twice."""
    compressed = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if compressed else path.read_bytes())
    struct.pack_into("<12f", content, NIFTI_MATRIX_BYTE, *nifti_matrix(geometry).ravel())
    path.write_bytes(gzip.compress(content, 6, mtime=0) if compressed else content)


def _norms(vectors: np.ndarray) -> np.ndarray:
    """Norms of the rows, summed in ITK's order, for the last bit."""
    return np.sqrt(vectors[:, 0] ** 2 + vectors[:, 1] ** 2 + vectors[:, 2] ** 2)


def place(image: sitk.Image, geometry: Geometry, is_nrrd: bool) -> None:
    """Puts ``image`` on a grid such that ITK writes it exactly, NRRD with keys if need be."""
    image.SetOrigin(geometry.origin)
    if not is_nrrd:
        image.SetSpacing(geometry.spacing)
        image.SetDirection(geometry.direction)
        return
    vectors, exact = nrrd_vectors(geometry)
    image.SetDirection(vectors.ravel().tolist())  # with a spacing of 1, ITK writes the vectors as they are
    if not exact:
        image.SetMetaData(SPACING_KEY, " ".join(repr(float(number)) for number in geometry.spacing))
        image.SetMetaData(DIRECTION_KEY, " ".join(repr(float(number)) for number in geometry.direction))


def exact_geometry(image: sitk.Image | sitk.ImageFileReader) -> Geometry:
    """The grid of an image or header, its last bits from the keys that ``place`` writes where they are."""
    rounded = Geometry.of(image)
    if not (image.HasMetaDataKey(SPACING_KEY) and image.HasMetaDataKey(DIRECTION_KEY)):
        return rounded
    try:
        spacing = tuple(map(float, image.GetMetaData(SPACING_KEY).split()))
        direction = tuple(map(float, image.GetMetaData(DIRECTION_KEY).split()))
        exact = Geometry(rounded.size, spacing, rounded.origin, direction)
        # Another program may have moved the image and kept keys it does not know: then the header is right.
        unchanged = np.allclose(exact.voxel_to_world(), rounded.voxel_to_world(), rtol=1e-14, atol=1e-14)
    except ValueError:
        return rounded
    return exact if unchanged else rounded
