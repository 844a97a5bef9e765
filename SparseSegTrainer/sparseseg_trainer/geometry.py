"""Where the voxels of a volume are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

# Grids are the same if spacings agree to this fraction and no corner lies further off than this part of a
# voxel: that forgives formats that round (NIfTI to float32, DICOM to decimals), and nothing that matters.
SPACING_TOLERANCE = 1e-4
CORNER_TOLERANCE = 0.02


@dataclass(frozen=True)
class Geometry:
    """A volume's grid as SimpleITK gives it: size (i, j, k) in voxels, spacing and origin in mm, LPS.

    ``direction`` holds the 9 cosines of the 3 x 3 matrix, row by row; column a is the direction of axis a.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Geometry:
        """The grid of an image, or of a reader that has read the header."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the array (k, j, i)."""
        return self.size[::-1]

    def voxel_to_world(self) -> np.ndarray:
        """The 3 x 3 matrix that turns a voxel offset (i, j, k) into mm."""
        return np.reshape(self.direction, (3, 3)) * self.spacing

    def offset_of(self, other: Geometry) -> tuple[int, int, int] | None:
        """The voxel (i, j, k) of this grid where ``other`` begins, None if their voxels do not coincide."""
        if not np.allclose(self.spacing, other.spacing, rtol=SPACING_TOLERANCE, atol=0):
            return None
        matrix = self.voxel_to_world()
        offset = np.linalg.solve(matrix, np.subtract(other.origin, self.origin))
        whole = np.round(offset)
        corners = np.array(list(product(*((0, size - 1) for size in other.size))))
        here = self.origin + (corners + whole) @ matrix.T
        there = other.origin + corners @ other.voxel_to_world().T
        if np.abs(here - there).max() > CORNER_TOLERANCE * min(self.spacing):
            return None
        return tuple(int(index) for index in whole)

    def same_grid(self, other: Geometry) -> bool:
        """Whether both are the same grid, up to what file formats round."""
        return self.size == other.size and self.offset_of(other) == (0, 0, 0)

    def __str__(self) -> str:
        size = " x ".join(str(count) for count in self.size)
        spacing = " x ".join(f"{step:.4g}" for step in self.spacing)
        origin = ", ".join(f"{position:.4g}" for position in self.origin)
        return f"{size} voxels of {spacing} mm from ({origin})"


def paste(array: np.ndarray, offset: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """Zeros of ``shape`` with ``array`` (k, j, i) from voxel ``offset`` (i, j, k) on, cut at the borders."""
    result = np.zeros(shape, array.dtype)
    starts = offset[::-1]
    inside = [slice(max(0, a), max(0, min(n, a + m))) for a, m, n in zip(starts, array.shape, shape, strict=True)]
    source = [slice(part.start - a, max(part.start, part.stop) - a) for part, a in zip(inside, starts, strict=True)]
    result[tuple(inside)] = array[tuple(source)]
    return result
