"""The slices of a cohort by their headers, and the grid that brings them to one scale."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from ..case_loop import run_cases, some_left
from ..cohort import Case, CaseFailure, Cohort
from ..cohort_grid import choose_grid, side_of_view
from ..errors import InputError
from ..reporting import Reporter
from ..slices import slice_axes, slice_axis, slice_spacing
from ..sparse_volume import read_drawn_slices
from ..volumes import Geometry, read_geometry

# When the spacing in the files is not believed: in enough cases, whose fields of view differ (standard deviation of the
# logarithm of their area), what is drawn grows with them. The slope of both logarithms is 0 if people are the same size
# whatever the field of view, and 1 if they are the same part of it; 0.9 to 1.1 in PROMISE12, whose spacing was lost.
LEAST_CASES, DIFFERENT, STEEP = 12, 0.2, 0.6


@dataclass(frozen=True)
class MeasuredCase:
    """A case's slices by the header of its image alone: how many, rows and columns, and their spacing in mm."""

    case: Case
    geometry: Geometry
    axis: int
    count: int
    size: tuple[int, int]
    spacing: tuple[float, float]

    @classmethod
    def of(cls, case: Case) -> MeasuredCase:
        """Reads the header. Raises InputError as ``read_geometry`` does."""
        geometry = read_geometry(case.image, case.name)
        axis = slice_axis(geometry, case.axis)
        count, rows, columns = (geometry.size[along] for along in slice_axes(axis))
        return cls(case, geometry, axis, count, (rows, columns), slice_spacing(geometry, axis)[1:])

    def side(self) -> float:
        """Side in mm of a square as large as a slice."""
        return side_of_view(self.size, self.spacing)

    def drawn_share(self) -> float | None:
        """The largest part of a slice that is drawn; None if nothing is, or the label cannot be used."""
        if self.case.label is None:
            return None
        try:
            drawn, annotated = read_drawn_slices(self.case, self.geometry, self.axis)
        except InputError:  # reported when the case is read whole
            return None
        return max(((drawn[index] > 0).mean() for index in annotated), default=0.0) or None


def measure(cohort: Cohort, pixels: int, size_by: str, failed: list[CaseFailure], reporter: Reporter):
    """The cases whose headers can be read, and the grid for them; the others join ``failed``.

    ``pixels`` and ``size_by`` are as in the settings. Raises InputError ("no_case") if none is left.
    """
    measured = some_left(run_cases(cohort.cases, failed, MeasuredCase.of, "measure", reporter), cohort.failed + failed)
    sizes, spacings = [found.size for found in measured], [found.spacing for found in measured]
    return measured, choose_grid(sizes, spacings, pixels, _field_of_view(measured, size_by, reporter))


def _field_of_view(measured: list[MeasuredCase], size_by: str, reporter: Reporter) -> float | None:
    """``CohortGrid.field_of_view``, with a word to the user if it is by what was drawn that the spacing is doubted."""
    if size_by == "spacing" or (size_by == "auto" and not _spacing_is_doubtful(measured, reporter)):
        return None
    return statistics.median(found.side() for found in measured)


def _spacing_is_doubtful(measured: list[MeasuredCase], reporter: Reporter) -> bool:
    """Whether what is drawn is larger in mm where the field of view is larger, as if all volumes showed the same.

    Labels are read only where the fields of view differ.
    """
    if not _views_differ([found for found in measured if found.case.label is not None]):
        return False
    drawn = []
    for found in measured:
        reporter.check_cancelled()
        if share := found.drawn_share():
            drawn.append((found, share))
    if not _views_differ([found for found, _ in drawn]):
        return False
    views = [math.log(found.side() ** 2) for found, _ in drawn]
    areas = [math.log(share * found.side() ** 2) for found, share in drawn]
    doubtful = statistics.linear_regression(views, areas).slope > STEEP
    if doubtful:
        reporter.warn(
            "What was drawn is larger in mm where the field of view is larger, as if all volumes showed the same: the "
            "spacing in the files seems to be wrong, so all are brought to one field of view. If it is right, train "
            "on the command line with --set size_by=spacing."
        )
    return doubtful


def _views_differ(some: list[MeasuredCase]) -> bool:
    """Whether these are enough cases, with fields of view different enough, to tell anything."""
    return len(some) >= LEAST_CASES and statistics.stdev(math.log(found.side() ** 2) for found in some) >= DIFFERENT
