"""The ends of a structure: background beyond them, and a shape that shrinks towards them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

EXPONENT = (
    2.0  # the area falls as 1 - t ** EXPONENT from the last annotated slice (t = 0) to just beyond the end (t = 1)
)


def tapered(probability: Tensor, annotated: list[int], absent: Tensor) -> Tensor:
    """``probability`` with the structure shrinking from the outermost annotated slices towards the ``absent`` ones.

    ``probability``: (slice, class, row, column), background first. ``absent``: (slice,) bool. On a side without
    absent slices nothing shrinks: the structure leaves the volume there. Absent slices become background.
    """
    probability = probability.clone()
    for start, step in ((annotated[0], -1), (annotated[-1], 1)):
        stop = len(probability) if step > 0 else -1
        end = next((index for index in range(start, stop, step) if absent[index]), None)
        if end is None:
            continue
        area = (1 - probability[start, 0]).sum().item()
        for index in range(start + step, end, step):
            t = (index - start) / (end - start)
            shrink_to(probability[index], area * (1 - t**EXPONENT))
        beyond = slice(end, None) if step > 0 else slice(None, end + 1)
        probability[beyond] = 0
        probability[beyond, 0] = 1
    return probability


def shrink_to(probability: Tensor, area: float) -> None:
    """Takes away, in place, what is nearest to the border until the foreground covers at most ``area`` pixels.

    ``probability``: (class, row, column); the shares of the foreground classes among each other stay.
    """
    foreground = 1 - probability[0]
    inside = (foreground > 0.5).cpu().numpy()
    if foreground.sum().item() <= area or not inside.any():
        return
    depth = distance_transform_edt(inside) - distance_transform_edt(~inside)
    level = np.partition(depth.ravel(), -max(1, round(area)))[-max(1, round(area))]
    limit = torch.sigmoid(torch.from_numpy(depth - level).to(foreground) * 2)
    kept = torch.minimum(foreground, limit)
    probability[1:] *= kept / foreground.clamp_min(1e-6)
    probability[0] = 1 - kept
