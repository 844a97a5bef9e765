"""What all networks of a model (``views.py`` of the package) say of a cohort's slices."""

from __future__ import annotations

import torch
from torch import Tensor

from ..segmentation_network import SeveralViews
from ..views import add_views
from .loop import Run
from .pseudo_labels import at_once, predictions


@torch.inference_mode()
def predicted(run: Run, network: SeveralViews, numbers: Tensor) -> Tensor:
    """The most probable class on these slices, uint8 (len(numbers), rows, columns), on the CPU; reads whole volumes."""
    data, flips = run.data, run.settings.test_flips
    result = torch.zeros(len(numbers), *data.grid.shape, dtype=torch.uint8)
    for case in data.cases:
        wanted = (numbers >= case.start) & (numbers < case.stop)
        if wanted.any():
            run.reporter.progress("check", case.stop / data.cases[-1].stop, case.name)
            whole = torch.cat(predictions(run, network, torch.arange(case.start, case.stop), flips))
            seen, step = data.working_image(case), run.reporter.check_cancelled
            add_views(whole.numpy(), network, seen, case.slice_spacing, flips, step, at_once(run))
            result[wanted] = whole[numbers[wanted] - case.start].max(1).indices.to(torch.uint8)
    return result
