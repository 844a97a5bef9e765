"""Files that are no volumes, of every kind that users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from phantoms import GEOMETRY, ellipsoid_volume

from sparseseg_trainer.volumes import write_label

LABEL = ellipsoid_volume(0)[1]


def raw(path: Path, array: np.ndarray, vector: bool = False) -> Path:
    image = sitk.GetImageFromArray(array, isVector=vector)
    sitk.WriteImage(image, str(path))
    return path


def written(path: Path) -> Path:
    write_label(path, LABEL, GEOMETRY)
    return path


def bad_image(kind: str, folder: Path) -> Path:
    """A file that is no volume, in the way that ``kind`` says."""
    with_nan = LABEL.astype(np.float32)
    with_nan[3, 4, 5] = np.nan
    arrays = {"nan": with_nan, "2d": LABEL[0], "4d": np.stack([LABEL, LABEL]), "one slice": LABEL[:1]}
    arrays |= {
        "one slice of a time series": LABEL[None, :1],
        "one row": LABEL[:, :1],
        "one column": LABEL[:, :, :1],
        "infinite": np.where(with_nan > 0, np.inf, 1),
    }
    path = folder / "image.nrrd"
    if kind in arrays:
        return raw(path, arrays[kind])
    if kind == "color":
        return raw(path, np.stack([LABEL] * 3, -1), vector=True)
    if kind == "text":
        path.write_text("this is not an image")
    elif kind == "truncated":
        path.write_bytes(written(folder / "whole.nrrd").read_bytes()[:-200])
    elif kind == "truncated nifti":
        path = folder / "image.nii.gz"
        path.write_bytes(written(folder / "whole.nii.gz").read_bytes()[:-200])
    elif kind == "empty folder":
        path = folder / "series"
        path.mkdir()
    elif kind == "empty":
        path.touch()
    return path


BAD_IMAGES = {
    "nan": "not_finite",
    "infinite": "not_finite",
    "2d": "not_3d",
    "4d": "not_3d",
    "one slice": "one_slice",
    "one slice of a time series": "one_slice",
    "one row": "one_slice",
    "one column": "one_slice",
    "color": "color",
    "text": "not_an_image",
    "truncated": "not_an_image",
    "truncated nifti": "not_an_image",
    "empty": "not_an_image",
    "empty folder": "not_an_image",
    "missing": "missing_file",
}
