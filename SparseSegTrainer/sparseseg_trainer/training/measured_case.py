"""A case before its volume is read: the size of its slices, and where on them the structures are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..cohort import Case
from ..cohort_grid import side_of_view
from ..errors import InputError
from ..slices import slice_axes, slice_axis, slice_spacing
from ..sparse_volume import read_drawn_slices
from ..volumes import Geometry, read_geometry


@dataclass(frozen=True)
class Drawn:
    """Where the structures are on a case's annotated slices: rows and columns as parts of a slice's."""

    share: float  # of the slice of which most is drawn
    reach: tuple[float, float]  # from the center, 0.5 at the edge
    size: tuple[float, float]
    far: int  # slices from the outermost ones that show a structure to the ends, at most

    @classmethod
    def of(cls, label: np.ndarray, annotated: tuple[int, ...], ends: tuple[int, int]) -> Drawn:
        """Measures ``label`` (slice, row, column), bool, of which something is drawn.

        ``ends``: the first and last slice on which a structure may be.
        """
        shown = [np.flatnonzero(label.any(others)) for others in ((1, 2), (0, 2), (0, 1))]
        low, high = (np.array([some[end] for some in shown[1:]]) for end in (0, -1))
        sides = np.array(label.shape[1:])
        reach, size = np.maximum(sides / 2 - low, high + 1 - sides / 2) / sides, (high + 1 - low) / sides
        share = max(float(label[index].mean()) for index in annotated)
        return cls(share, tuple(reach), tuple(size), int(max(shown[0][0] - ends[0], ends[1] - shown[0][-1])))


@dataclass(frozen=True)
class MeasuredCase:
    """A case's slices by the header of its image alone: how many, rows and columns, and their spacing in mm.

    ``between`` is that from slice to slice.
    """

    case: Case
    geometry: Geometry
    axis: int
    count: int
    size: tuple[int, int]
    spacing: tuple[float, float]
    between: float

    @classmethod
    def of(cls, case: Case) -> MeasuredCase:
        """Reads the header. Raises InputError as ``read_geometry`` does."""
        geometry = read_geometry(case.image, case.name)
        axis = slice_axis(geometry, case.axis)
        count, rows, columns = (geometry.size[along] for along in slice_axes(axis))
        between, *spacing = slice_spacing(geometry, axis)
        return cls(case, geometry, axis, count, (rows, columns), tuple(spacing), between)

    def side(self) -> float:
        """Side in mm of a square as large as a slice."""
        return side_of_view(self.size, self.spacing)

    @cached_property
    def drawn(self) -> Drawn | None:
        """What is drawn, read once; None if nothing is, or the label cannot be used."""
        if self.case.label is None:
            return None
        try:
            label, annotated = read_drawn_slices(self.case, self.geometry, self.axis)
        except InputError:  # reported when the case is read whole
            return None
        if not annotated or not label.any():
            return None
        first, last = self.case.first_slice, self.case.last_slice
        return Drawn.of(label > 0, annotated, (0 if first is None else first, self.count - 1 if last is None else last))
