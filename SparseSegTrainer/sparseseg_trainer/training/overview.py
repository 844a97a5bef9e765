"""The overview (``overview.py`` of the package) of a cohort: what it sees, and what it says of a cohort's slices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..cohort_grid import SIZE_PERCENTILE
from ..network_shape import Overview
from ..overview import overview_probabilities
from ..segmentation_network import SlicesAndOverview
from .data import PreparedCase
from .loop import Run
from .pseudo_labels import predictions


def overview_of(run: Run) -> Overview:
    """As the settings have it; what it sees at once is as long as most of the cohort's volumes."""
    lengths = [(case.stop - case.start) * case.slice_spacing for case in run.data.cases]
    side = run.settings.overview_side
    spacing = float(np.percentile(lengths, SIZE_PERCENTILE)) / side
    return Overview(run.settings.overview_width, side, run.data.grid.shape, spacing)


def working_image(run: Run, case: PreparedCase) -> np.ndarray:
    """The case's slices (slice, row, column) on the working grid, float32 in [0, 1]."""
    return run.data.images[case.start : case.stop].cpu().numpy().astype(np.float32) / 255


@torch.inference_mode()
def predicted(run: Run, network: SlicesAndOverview, numbers: Tensor) -> Tensor:
    """The most probable class on these slices, uint8 (len(numbers), rows, columns), on the CPU; reads whole volumes."""
    data, flips = run.data, run.settings.test_flips
    result = torch.zeros(len(numbers), *data.grid.shape, dtype=torch.uint8)
    for case in data.cases:
        wanted = (numbers >= case.start) & (numbers < case.stop)
        if wanted.any():
            run.reporter.progress("check", case.stop / data.cases[-1].stop, case.name)
            slices = torch.cat(predictions(run, network, numbers[wanted], flips))
            seen, step = working_image(run, case), run.reporter.check_cancelled
            whole = overview_probabilities(network, seen, case.slice_spacing, flips, step)
            both = slices + torch.from_numpy(whole[(numbers[wanted] - case.start).numpy()])
            result[wanted] = both.argmax(1).to(torch.uint8)
    return result
