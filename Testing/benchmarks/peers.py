"""What a user could do without this project: copy the slice, or follow it by optical flow or demons."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates
from sparseseg_trainer.sparse_volume import SparseVolume

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (moving, fixed) -> (2, H, W) displacement in pixels


def copied(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """No displacement at all."""
    return np.zeros((2, *fixed.shape))


def farneback(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Farneback's optical flow, OpenCV's usual settings."""
    bytes_of = [(255 * image).astype(np.uint8) for image in (fixed, moving)]
    flow = cv2.calcOpticalFlowFarneback(*bytes_of, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return np.stack([flow[..., 1], flow[..., 0]])


def demons(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """SimpleITK's diffeomorphic demons, 30 iterations, smoothing of 1.5 pixels."""
    filter_ = sitk.DiffeomorphicDemonsRegistrationFilter()
    filter_.SetNumberOfIterations(30)
    filter_.SetStandardDeviations(1.5)
    filter_.SetNumberOfThreads(2)
    field = sitk.GetArrayFromImage(filter_.Execute(*(sitk.GetImageFromArray(image) for image in (fixed, moving))))
    return np.stack([field[..., 1], field[..., 0]]).astype(np.float32)


def carry(volume: SparseVolume, field: Field) -> np.ndarray:
    """The drawn slice carried from neighbour to neighbour (S, H, W), background beyond marked ends."""
    [centre] = volume.annotated
    classes = int(volume.label.max())
    grid = np.mgrid[: volume.image.shape[1], : volume.image.shape[2]]
    result = volume.label.copy()
    for step, stop in ((1, len(result)), (-1, -1)):
        soft = [(volume.label[centre] == value).astype(np.float32) for value in range(classes + 1)]
        for index in range(centre + step, stop, step):
            where = grid + field(volume.image[index - step], volume.image[index])
            soft = [map_coordinates(layer, where, order=1, mode="nearest") for layer in soft]
            result[index] = np.argmax(soft, axis=0)
    if volume.first is not None:
        result[: volume.first] = 0
        result[volume.last + 1 :] = 0
    return result


PEERS = {
    "copy": lambda volume: carry(volume, copied),
    "farneback": lambda volume: carry(volume, farneback),
    "demons": lambda volume: carry(volume, demons),
}
