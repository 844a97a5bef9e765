"""What a user could do without this project: copy the slice, or follow it by optical flow or demons."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import map_coordinates

from sparseseg_trainer.sparse_volume import SparseVolume
from sparseseg_trainer.working_grid import WorkingGrid

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
    """The drawn slice carried to its neighbors (S, H, W) on the working grid, background beyond marked ends."""
    [centre] = volume.annotated
    working = WorkingGrid(volume.image, volume.label[centre] > 0)
    slices = working.slices.numpy()
    grid = np.mgrid[: slices.shape[1], : slices.shape[2]]
    carried = np.empty((len(slices), len(volume.values) + 1, *slices.shape[1:]), np.float32)
    carried[centre] = working.soft_label(volume.label[centre], len(volume.values)).numpy()
    for step, stop in ((1, len(slices)), (-1, -1)):
        for index in range(centre + step, stop, step):
            where = grid + field(slices[index - step], slices[index])
            for layer, result in zip(carried[index - step], carried[index], strict=True):
                map_coordinates(layer, where, result, order=1, mode="nearest")
    label = working.full_label(torch.from_numpy(carried))
    if volume.first is not None:
        label[: volume.first] = 0
        label[volume.last + 1 :] = 0
    label[centre] = volume.label[centre]
    return label


PEERS = {
    "copy": lambda volume: carry(volume, copied),
    "farneback": lambda volume: carry(volume, farneback),
    "demons": lambda volume: carry(volume, demons),
}
