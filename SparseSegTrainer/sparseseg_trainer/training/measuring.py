"""The slices of a cohort by their headers, and the grid that brings them to one scale."""

from __future__ import annotations

import math
import statistics

from ..case_loop import run_cases, some_left
from ..cohort import CaseFailure, Cohort
from ..cohort_grid import CohortGrid, choose_grid
from ..reporting import Reporter
from .measured_case import MeasuredCase
from .region import drawn_region

# When the spacing in the files is not believed: in enough cases, whose fields of view differ (standard deviation of the
# logarithm of their area), what is drawn grows with them. The slope of both logarithms is 0 if people are the same size
# whatever the field of view, and 1 if they are the same part of it; 0.9 to 1.1 in PROMISE12, whose spacing was lost.
LEAST_CASES, DIFFERENT, STEEP = 12, 0.2, 0.6


def measure(
    cohort: Cohort, pixels: int, size_by: str, region: str, failed: list[CaseFailure], reporter: Reporter
) -> tuple[list[MeasuredCase], CohortGrid]:
    """The cases whose headers can be read, and the grid for them; the others join ``failed``.

    ``pixels``, ``size_by`` and ``region`` are as in the settings. Raises InputError ("no_case") if none is left.
    """
    measured = some_left(run_cases(cohort.cases, failed, MeasuredCase.of, "measure", reporter), cohort.failed + failed)
    sizes, spacings = [found.size for found in measured], [found.spacing for found in measured]
    view = _field_of_view(measured, size_by, reporter)
    seen = drawn_region(measured, view, reporter) if region == "drawn" else None
    return measured, choose_grid(sizes, spacings, pixels, view, seen)


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
        if found.drawn:
            drawn.append((found, found.drawn.share))
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
