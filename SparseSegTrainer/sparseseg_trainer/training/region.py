"""Which part of the slices the networks of a cohort see: that around their center, if all that is drawn lies there."""

from __future__ import annotations

import numpy as np

from ..cohort_grid import believed_spacing
from ..reporting import Reporter
from .measured_case import MeasuredCase

# The part of the slices that is looked at: as far from their center as anything is drawn, and a margin. That is so many
# times what is drawn, which may be larger elsewhere, or so many mm for each mm to the volume's end, where it may lie
# aside, or such a part of the slice, by which other volumes may be moved: the largest of these.
GROWTH, LEAN, MOVED = 0.3, 0.35, 0.1
WORTH = 0.7  # of a slice: to leave out less than the rest is not worth it


def drawn_region(
    measured: list[MeasuredCase], field_of_view: float | None, reporter: Reporter
) -> tuple[float, float] | None:
    """mm (rows, columns) around the center of the slices in which all structures lie; None: look at whole slices.

    A structure that is small in its slices keeps its resolution, and is not confused with what lies far from it.
    ``field_of_view`` as in ``CohortGrid``.
    """
    if any(found.case.other_slices for found in measured):  # which tell of rows and columns, not of slices
        return None
    halves, sides = [], []
    for found in measured:
        reporter.check_cancelled()
        side = np.multiply(found.size, believed_spacing(found.size, found.spacing, field_of_view))
        sides.append(side)
        if found.drawn:
            lean = LEAN * found.drawn.far * found.between
            margin = np.maximum(np.maximum(GROWTH * np.array(found.drawn.size), MOVED) * side, lean)
            halves.append(side * found.drawn.reach + margin)
    if not halves:
        return None
    region, whole = 2 * np.max(halves, 0), np.median(sides, 0)
    worth = np.minimum(region, whole).prod() < WORTH * whole.prod()
    return (float(region[0]), float(region[1])) if worth else None
