"""Volume nodes as the trainer's files see them: the voxel grid in LPS, and image files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import slicer
import vtk

from sparseseg_trainer.volumes import Geometry, write_image


def geometryOf(volumeNode) -> Geometry:
    """The grid of a volume node without its parent transform, every number to the last bit."""
    directions = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(directions)
    rasToLps = (-1.0, -1.0, 1.0)
    return Geometry(
        size=volumeNode.GetImageData().GetDimensions(),
        spacing=volumeNode.GetSpacing(),
        origin=tuple(sign * value for sign, value in zip(rasToLps, volumeNode.GetOrigin(), strict=True)),
        direction=tuple(rasToLps[row] * directions.GetElement(row, column) for row in range(3) for column in range(3)),
    )


def writeVolume(volumeNode, path: Path) -> None:
    """Writes the image of a volume node on its grid. Raises InputError ("no_space", "cannot_write")."""
    write_image(path, np.asarray(slicer.util.arrayFromVolume(volumeNode)), geometryOf(volumeNode))


def caseName(volumeNode) -> str:
    """The volume's name in letters that a file name may have."""
    return fileName(volumeNode.GetName())


def fileName(text: str) -> str:
    """``text`` in letters that a file name may have."""
    return re.sub(r"\.+", ".", re.sub(r"[^\w.-]", "_", text)).strip("._") or "volume"
