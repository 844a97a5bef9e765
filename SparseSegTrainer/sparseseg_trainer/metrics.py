"""What a segmentation is measured by, one structure in one case at a time.

Overlap, boundary and volume, as osman2024 (eq. 8-11) reports them, HD95, and the figures of specktor2023 and zheng2020
(ADB is the mean of both surfaces' mean distances, which ASSD pools). Every case gets a number: two empty masks agree
(overlap 1, distance 0); where only one is empty, overlap is 0, distances are the volume's diagonal and the score is
marked as failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, find_objects, label, minimum_filter
from scipy.spatial import KDTree

BAND = 0.02  # width of the boundary IoU's band, as a part of the slice's diagonal


@dataclass(frozen=True)
class Scores:
    """The figures of one structure in one case: ratios from 0 to 1, distances in mm, volumes in ml."""

    dice: float
    iou: float
    boundary_iou: float
    assd: float
    hd95: float
    ravd: float
    volume_ml: float
    reference_ml: float
    failed: bool = False
    hausdorff: float = math.nan  # nan in results that were measured before there was this figure
    slice_assd: float = math.nan
    adb: float = math.nan
    rand: float = math.nan
    hvsmr: float = math.nan


def measure(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]) -> Scores:
    """Compare two boolean masks (slice, row, column) of one shape; ``spacing`` is (slice, row, column) in mm.

    Raises ``ValueError`` when the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"masks of different shapes: {prediction.shape} and {reference.shape}")
    predicted, true = int(prediction.sum()), int(reference.sum())
    if not (predicted and true):
        return _score_empty(predicted, true, reference.shape, spacing, failed=predicted != true)
    band = max(1, round(BAND * float(np.hypot(*reference.shape[1:]))))
    # Nothing outside the box of both masks changes a figure, and most of a volume is outside.
    box = find_objects((prediction | reference).view(np.uint8))[0]
    prediction, reference = prediction[box], reference[box]
    there, back = surface_distances(prediction, reference, spacing)
    shared = int((prediction & reference).sum())
    assd = float((there.sum() + back.sum()) / (len(there) + len(back)))
    dice, adb = 2 * shared / (predicted + true), float(there.mean() + back.mean()) / 2
    hausdorff = float(max(there.max(), back.max()))
    return Scores(
        dice=dice,
        iou=shared / (predicted + true - shared),
        boundary_iou=boundary_iou(prediction, reference, band),
        assd=assd,
        hd95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        ravd=abs(predicted - true) / true,
        volume_ml=_millilitres(predicted, spacing),
        reference_ml=_millilitres(true, spacing),
        hausdorff=hausdorff,
        slice_assd=slice_assd(prediction, reference, spacing, assd),
        adb=adb,
        rand=rand_f_score(prediction, reference),
        hvsmr=hvsmr_score(dice, adb, hausdorff),
    )


def measure_missing(reference: np.ndarray, spacing: tuple[float, float, float]) -> Scores:
    """The scores of a case that has no prediction: failed, overlap 0, even where the reference is empty."""
    return _score_empty(0, int(reference.sum()), reference.shape, spacing, failed=True)


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances in mm from each surface voxel of one mask to the other's surface: (there, back).

    A surface voxel is one that the erosion by its face neighbors removes, the volume's border counting as
    outside: MONAI's convention, whose ``get_edge_surface_distance`` gives the same numbers. ASSD pools both
    sets of distances (osman2024 eq. 10), HD95 is the larger of their two 95th percentiles. A tree over the
    surface voxels takes a fifth of the time and memory of distance maps over the volume. Neither mask may be
    empty.
    """
    a, b = (np.argwhere(mask ^ binary_erosion(mask)) * np.asarray(spacing) for mask in (prediction, reference))
    there = KDTree(b, leafsize=32).query(a)[0]
    back = KDTree(a, leafsize=32).query(b)[0]
    return there, back


def slice_assd(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float], otherwise: float):
    """Mean over slices of the distance in mm between both outlines, those of one slice pooled (specktor2023, 2D ASSD).

    Slices that only one mask reaches have no distance and are left out; where no slice is left it is ``otherwise``.
    """
    slices = zip(prediction, reference, strict=True)
    both = [surface_distances(ours, theirs, spacing[1:]) for ours, theirs in slices if ours.any() and theirs.any()]
    return float(np.mean([np.concatenate(distances).mean() for distances in both])) if both else otherwise


def boundary_iou(prediction: np.ndarray, reference: np.ndarray, band: int) -> float:
    """Intersection over union of the masks' boundary bands, drawn per slice and counted over the volume.

    osman2024 eq. 8, with the band of Cheng et al. 2021 (Boundary IoU): the mask's pixels that ``band``
    erosions by 3 x 3 pixels remove. The paper's own numbers are plain IoU (see ``Scores.iou``). The masks may
    not both be empty.
    """
    window = (1, 2 * band + 1, 2 * band + 1)
    bands = [
        mask & (minimum_filter(mask.view(np.uint8), window, mode="constant", cval=0) == 0)
        for mask in (np.ascontiguousarray(prediction), np.ascontiguousarray(reference))
    ]
    return float((bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum())


def rand_f_score(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Harmonic mean of the Rand merge and split scores (Arganda-Carreras et al. 2015), for connected parts of a mask.

    Parts hang together by faces. Only voxels of the reference count; each that the prediction leaves out is a part of
    its own. The reference may not be empty.
    """
    ours, theirs = (label(mask)[0][reference].astype(np.int64) for mask in (prediction, reference))
    found, missing = ours > 0, float((ours == 0).sum())
    pairs = ours[found] * (int(theirs.max()) + 1) + theirs[found]
    joint, own, true = (float(np.square(np.bincount(part)).sum()) for part in (pairs, ours[found], theirs))
    return 2 * (joint + missing) / (own + missing + true)


def mask_dice(found: np.ndarray, reference: np.ndarray) -> float:
    """Dice of two masks, bool, of which one at least is not empty."""
    return 2 * float((found & reference).sum()) / float(found.sum() + reference.sum())


def hvsmr_score(dice: float, adb: float, hausdorff: float) -> float:
    """One structure's part of the overall score of HVSMR 2016, the sum of these (zheng2020, "3D HVSMR Dataset")."""
    return dice / 2 - adb / 4 - hausdorff / 30


def diagonal(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> float:
    """The length in mm of the volume's diagonal: the distance given to a structure that was not found."""
    return float(np.linalg.norm(np.multiply(shape, spacing)))


def _score_empty(predicted: int, true: int, shape, spacing, failed: bool) -> Scores:
    """Scores where a mask of ``predicted`` voxels or one of ``true`` voxels is empty."""
    overlap, distance = float(not failed), diagonal(shape, spacing) if failed else 0.0
    return Scores(
        dice=overlap,
        iou=overlap,
        boundary_iou=overlap,
        assd=distance,
        hd95=distance,
        ravd=float(failed),  # eq. 11 has no value for an empty reference; 1 is what an empty prediction gets
        volume_ml=_millilitres(predicted, spacing),
        reference_ml=_millilitres(true, spacing),
        failed=failed,
        hausdorff=distance,
        slice_assd=distance,
        adb=distance,
        rand=overlap,
        hvsmr=hvsmr_score(overlap, distance, distance),
    )


def _millilitres(voxels: int, spacing: tuple[float, float, float]) -> float:
    return voxels * float(np.prod(spacing)) / 1000
