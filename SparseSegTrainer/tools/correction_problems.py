"""Random problems that the correction network learns from: real hippocampi, and made-up structures in real and made-up
surroundings, drawn on one slice or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, zoom
from torch.nn.functional import interpolate

from sparseseg_trainer import slices, volumes
from sparseseg_trainer.case import Case
from sparseseg_trainer.cleanup import keep_largest
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.sparse_volume import SparseVolume, load_case

HELD_OUT = 5  # one in so many hippocampi is kept for reporting and never learned from, as in the benchmarks
HIPPOCAMPI = 0.4  # of the problems
CUT_OFF = 0.12  # of the ends: the structure leaves the volume there, as the user says
LEAST_SLICES, LEAST_AREA = 5, 12  # of a structure, and pixels of a drawing


class Problems:
    """Makes random problems of the openly licensed volumes in the folder ``data``."""

    def __init__(self, data: Path, seed: int):
        self.random = np.random.default_rng(seed)
        cases = sorted(read_cohort(data / "hippocampus").cases, key=lambda case: case.name)
        self.hippocampi = [case for number, case in enumerate(cases) if number % HELD_OUT]
        surroundings = [data / "dicom" / "ProstateX-0000_T2"] * 2
        surroundings += [data / "spinal_cord" / name for name in ("t1w.nii.gz", "t2.nii.gz", "t2s.nii.gz")]
        self.surroundings = [slices.normalise(volumes.read_image(path).array) for path in surroundings]

    def next(self) -> tuple[SparseVolume, np.ndarray]:
        """A volume of which some slices are drawn, and the whole structure (slice, row, column), bool."""
        while True:
            make = self._hippocampus if self.random.random() < HIPPOCAMPI else self._made_up
            image, structure = make()
            present = np.flatnonzero(structure.any((1, 2)))
            if len(present) < LEAST_SLICES:
                continue
            reaches = self.random.random(2) < CUT_OFF
            image, structure, present = _cut_off(image, structure, present, *reaches)
            first, last = int(present[0]), int(present[-1])
            drawn = round(first + (last - first) * np.clip(self.random.normal(0.5, 0.13), 0.15, 0.85))
            drawings = {int(drawn)}
            if self.random.random() < 0.15:
                drawings.add(int(self.random.integers(first, last + 1)))
            drawings = sorted(index for index in drawings if structure[index].sum() > LEAST_AREA)
            if drawings:
                ends = (first, last) if self.random.random() < 0.5 else (None, None)
                ends = [None if cut else end for cut, end in zip(reaches, ends, strict=True)]
                return _drawn(image, structure, drawings, ends, reaches), structure

    def _hippocampus(self) -> tuple[np.ndarray, np.ndarray]:
        """One of its parts or both, cut along any axis, at any size."""
        random, volume = self.random, load_case(self.hippocampi[self.random.integers(len(self.hippocampi))])
        part = random.integers(3)
        structure = volume.label == part if part else volume.label > 0
        axis, size = random.integers(3), np.exp(random.uniform(np.log(0.9), np.log(2.2)) + random.uniform(-0.2, 0.2, 3))
        size[0] *= random.choice([1, 1, 1, 0.5])
        image, structure = (np.moveaxis(array, axis, 0) for array in (volume.image, structure))
        return zoom(image, size, order=1), zoom(structure.astype(np.float32), size, order=1) > 0.5

    def _made_up(self) -> tuple[np.ndarray, np.ndarray]:
        """A smooth structure with a bent axis among neighbours of which some look alike, with vessels that leave it."""
        random = self.random
        shape = int(random.integers(20, 90)), *(int(side) for side in random.integers(90, 150, 2))
        half = np.array([shape[0] * random.uniform(0.2, 0.45), *np.exp(random.uniform(np.log(5), np.log(30), 2))])
        center = np.array([shape[0] * random.uniform(0.42, 0.58), shape[1] / 2, shape[2] / 2])
        structure = keep_largest(self._blob(shape, center, half))
        image = self._surroundings(shape)
        inside = random.uniform(0, 1)
        if random.random() < 0.3:
            inside = image[structure].mean() + random.choice([-1, 1]) * random.uniform(0.12, 0.4)
        image *= random.uniform(0.5, 1)
        for _ in range(random.integers(0, 5)):
            beside, size = center + 1.2 * half * random.normal(size=3), half * random.uniform(0.3, 0.9, 3)
            neighbour = self._blob(shape, beside, size)
            grey = inside + random.normal(0, 0.04) if random.random() < 0.5 else random.uniform(0, 1)
            image[neighbour & ~structure] = grey
        for _ in range(random.integers(0, 4)):
            image[self._vessel(structure) & ~structure] = inside
        if random.random() < 0.35:
            image[(gaussian_filter(structure.astype(np.float32), 1.5) > 0.15) & ~structure] = random.uniform(0, 1)
        texture = random.uniform(0, 0.12) * self._noise(shape, shape / random.uniform(3, 10, 3))
        image[structure] = inside + texture[structure]
        return self._as_scanned(image), structure

    def _blob(self, shape: tuple[int, ...], center: np.ndarray, half: np.ndarray) -> np.ndarray:
        """The inside (slice, row, column) of a random closed surface of about this center and these half axes."""
        random = self.random
        z, y, x = (np.arange(size, dtype=np.float32) for size in shape)
        along = ((z - center[0]) / half[0])[:, None, None]
        bend = 0.35 * half[1:, None] * random.normal(size=(2, 2))
        y, x = (
            axis - middle - first * along - second * along**2
            for axis, middle, (first, second) in zip((y[:, None], x), center[1:], bend, strict=True)
        )
        angle, egg = random.uniform(0, np.pi), 1 + random.uniform(-0.4, 0.4) * np.clip(along, -1.2, 1.2)
        turned = np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y
        radius = sum((side / size / egg) ** 2 for side, size in zip(turned, half[1:], strict=True))
        rough = random.uniform(0.1, 0.8) * self._noise(shape, shape / half * random.uniform(1.2, 3, 3))
        return 1 - np.abs(along) ** random.choice([2, 2, 2.5, 4]) - radius + rough > 0

    def _vessel(self, structure: np.ndarray) -> np.ndarray:
        """A straight tube (slice, row, column) that begins somewhere in the structure."""
        random, places = self.random, np.argwhere(structure)
        if not len(places):
            return structure
        way = random.normal(size=3) * (len(structure) / 80, 1, 1)
        way /= np.linalg.norm(way)
        grid = np.ogrid[*map(slice, structure.shape)]
        from_start = [side - begin for side, begin in zip(grid, random.choice(places), strict=True)]
        along = sum(side * part for side, part in zip(from_start, way, strict=True))
        away = sum((side - along * part) ** 2 for side, part in zip(from_start, way, strict=True))
        return (along > 0) & (away < random.uniform(2, 6) ** 2)

    def _surroundings(self, shape: tuple[int, ...]) -> np.ndarray:
        """Regions of random grey values, a piece of a real volume, or the mean of both."""
        random = self.random
        cells = np.array(shape) / (random.uniform(8, 40), *random.uniform(10, 35, 2))
        regions = np.stack([self._noise(shape, cells) for _ in range(random.integers(3, 7))])
        image = random.uniform(0, 1, len(regions))[regions.argmax(0)].astype(np.float32)
        share = random.choice([0, 0.5, 1], p=[0.3, 0.4, 0.3])
        return (1 - share) * image + share * self._piece(shape)

    def _piece(self, shape: tuple[int, ...]) -> np.ndarray:
        """A random piece of a real volume, brought to this shape."""
        random, volume = self.random, self.surroundings[self.random.integers(len(self.surroundings))]
        thick = min(volume.shape) < 40
        volume = np.moveaxis(volume, np.argmin(volume.shape) if thick else random.integers(3), 0)
        size = [side if side < 60 else int(side * random.uniform(0.35, 0.9)) for side in volume.shape]
        start = [random.integers(side - some + 1) for side, some in zip(volume.shape, size, strict=True)]
        piece = volume[*(slice(begin, begin + some) for begin, some in zip(start, size, strict=True))]
        return _resized(piece, shape, order=1)

    def _as_scanned(self, image: np.ndarray) -> np.ndarray:
        """Blurred, unevenly bright and noisy, in [0, 1]."""
        random, shape = self.random, image.shape
        blur = random.uniform(0.4, 1.3)
        image = gaussian_filter(image, (random.uniform(0, 0.7), blur, blur))
        grain = random.uniform(0, 0.8)
        noise = gaussian_filter(random.standard_normal(shape), (0, grain, grain))
        image = image * (1 + 0.15 * random.random() * self._noise(shape, (3, 3, 3)))
        image += random.uniform(0.005, 0.06) * noise
        return slices.normalise(image.astype(np.float32))

    def _noise(self, shape: tuple[int, ...], cells: np.ndarray | tuple[int, ...]) -> np.ndarray:
        """Smooth random values with so many ups and downs along each axis."""
        coarse = self.random.standard_normal([max(2, int(count)) for count in cells]).astype(np.float32)
        third = [max(some, side // 3) for some, side in zip(coarse.shape, shape, strict=True)]
        smooth = _resized(coarse, third, order=3)  # the rest of the way linearly: a tenth of the time
        return interpolate(torch.from_numpy(smooth)[None, None], shape, mode="trilinear")[0, 0].numpy()


def _cut_off(image: np.ndarray, structure: np.ndarray, present: np.ndarray, low: bool, high: bool) -> tuple:
    """Image, structure and the slices that show it, cut off a third of the structure on these sides."""
    third = len(present) // 3
    part = slice(present[third] if low else None, present[-1 - third] + 1 if high else None)
    structure = structure[part]
    return image[part], structure, np.flatnonzero(structure.any((1, 2)))


def _drawn(
    image: np.ndarray, structure: np.ndarray, drawn: list[int], ends: Sequence[int | None], reaches: Sequence[bool]
) -> SparseVolume:
    """The volume of which these slices are drawn, and what is said of both of its ends."""
    label = np.zeros(structure.shape, np.uint8)
    label[drawn] = structure[drawn]
    reaches_first, reaches_last = map(bool, reaches)
    case = Case("problem", Path("problem"), reaches_first=reaches_first, reaches_last=reaches_last)
    spacing = (1.0, 1.0, 1.0)
    grid = volumes.Geometry(image.shape[::-1], spacing, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    image = np.ascontiguousarray(image, np.float32)
    return SparseVolume(case, image, label, tuple(drawn), *ends, 2, grid, spacing, (1,))


def _resized(array: np.ndarray, shape: Sequence[int], order: int) -> np.ndarray:
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    resized = zoom(array, factors, order=order, mode="nearest", grid_mode=True)
    return resized[*map(slice, shape)]
