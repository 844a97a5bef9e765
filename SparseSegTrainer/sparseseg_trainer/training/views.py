"""What all networks of a model (``views.py`` of the package) say of a cohort's slices."""

from __future__ import annotations

import torch
from torch import Tensor

from ..segmentation_network import SeveralViews
from .loop import Run
from .pseudo_labels import whole_answer


@torch.inference_mode()
def predicted(run: Run, network: SeveralViews, numbers: Tensor) -> Tensor:
    """The most probable class on these slices, uint8 (len(numbers), rows, columns), on the CPU; reads whole volumes."""
    data = run.data
    result = torch.zeros(len(numbers), *data.grid.shape, dtype=torch.uint8)
    for case in data.cases:
        wanted = (numbers >= case.start) & (numbers < case.stop)
        if wanted.any():
            run.reporter.progress("check", case.stop / data.cases[-1].stop, case.name)
            own = whole_answer(run, network, case)
            result[wanted] = own[numbers[wanted] - case.start].max(1).indices.to(torch.uint8)
    return result
