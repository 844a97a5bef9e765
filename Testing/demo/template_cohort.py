"""A small cohort of brains that never lived, from the T1 template and tissue maps that nilearn ships.

Every case is the same template (ICBM 152, real MR averaged over 152 people), bent by a smooth random
deformation and with a random contrast, bias field and noise. It shows that everything works together; it is
not a benchmark.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from sparseseg_trainer.cohort import Case, write_cohort
from sparseseg_trainer.labels import Label
from sparseseg_trainer.volumes import Geometry, write_image, write_label

RESOLUTION = 3  # mm, so that the demo ends within minutes on two cores
DISPLACEMENT = 3.0  # mm, the standard deviation of the random deformations
SMOOTHNESS = 30.0  # mm, over which they change
BRAIN = Label(
    1,
    "Brain",
    (0.98, 0.98, 0.88),
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^123037004^Anatomical Structure~SCT^12738006^Brain~^^~Anatomic codes - DICOM master list~^^~^^",
)


def write_template_cohort(folder: Path, names: list[str], seed: int) -> None:
    """Writes a cohort with one deformed template, and the full mask of its brain tissue, for each name."""
    image, brain, geometry = _load_template()
    random = np.random.default_rng(seed)
    cases = []
    for name in names:
        positions = _random_positions(image.shape, random)
        moved = map_coordinates(image, positions, order=1)
        label = map_coordinates(brain, positions, order=1) >= 0.5
        case = Case(name, folder / "images" / f"{name}.nrrd", folder / "labels" / f"{name}.nrrd")
        write_image(case.image, _random_contrast(moved, random), geometry)
        write_label(case.label, label, geometry)
        cases.append(case)
    write_cohort(folder, cases, [BRAIN])


@cache
def _load_template() -> tuple[np.ndarray, np.ndarray, Geometry]:
    """Template and probability of gray or white matter (k, j, i) from 0 to 1, and their grid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nilearn announces future changes of its defaults
        from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

        image, gray, white = (
            load(resolution=RESOLUTION)
            for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
        )
    # nilearn's axes point right, anterior, superior; those of the geometry left, posterior, superior.
    x, y, z = image.affine[:3, 3]
    directions = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
    geometry = Geometry(image.shape, (float(RESOLUTION),) * 3, (-x, -y, z), directions)
    return image.get_fdata().T, (gray.get_fdata() + white.get_fdata()).T, geometry


def _random_positions(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Where each voxel comes from: (3, k, j, i), in voxels."""
    smooth = [gaussian_filter(random.standard_normal(shape), SMOOTHNESS / RESOLUTION, mode="wrap") for _ in shape]
    displacement = np.stack([field / field.std() for field in smooth]) * DISPLACEMENT / RESOLUTION
    return np.indices(shape) + displacement


def _random_contrast(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The image as uint16 with another gamma, a bias field of 10 %, and noise of 2 % of the largest value."""
    coarse = random.normal(1, 0.1, (4, 4, 4))
    bias = zoom(coarse, np.array(image.shape) / coarse.shape, order=3)
    changed = np.clip(image, 0, 1) ** random.uniform(0.7, 1.5) * bias + random.normal(0, 0.02, image.shape)
    return np.clip(1000 * changed, 0, 4095).astype(np.uint16)
