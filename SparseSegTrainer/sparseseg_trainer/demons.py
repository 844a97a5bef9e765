"""Registration of neighbouring slices by diffeomorphic demons (Vercauteren 2009), fitted to each pair of slices.

Slower than the shipped network, and nearer to the image.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from .devices import side_by_side
from .reporting import Reporter, TimeLeft

ITERATIONS = 20
SMOOTHING = 1.0  # of the field after each iteration, standard deviation in pixels
AT_A_TIME = 16  # pairs between two looks whether the user wants to stop


def demons_fields(
    slices: Tensor, pairs: Iterable[tuple[int, int]], reporter: Reporter
) -> dict[tuple[int, int], Tensor]:
    """The field (2, row, column), in pixels, of each pair (source, target): it pulls slice ``source`` onto ``target``.

    ``slices``: (slice, row, column). Computed on the processor, by as many threads as PyTorch may use; raises
    ``Cancelled``.
    """
    pairs, fields, left = sorted(set(pairs)), {}, TimeLeft()
    images = [sitk.GetImageFromArray(image) for image in slices.cpu().numpy()]
    for start in range(0, len(pairs), AT_A_TIME):
        reporter.progress("register", start / len(pairs), seconds_left=left(start / len(pairs)))
        some = pairs[start : start + AT_A_TIME]
        found = side_by_side(lambda pair: _field(images[pair[0]], images[pair[1]]), some)
        fields |= {pair: field.to(slices.device) for pair, field in zip(some, found, strict=True)}
    return fields


def _field(moving: sitk.Image, fixed: sitk.Image) -> Tensor:
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(ITERATIONS)
    demons.SetStandardDeviations(SMOOTHING)
    demons.SetNumberOfThreads(1)  # others compute the next pairs
    columns_and_rows = sitk.GetArrayFromImage(demons.Execute(fixed, moving))
    return torch.from_numpy(np.moveaxis(columns_and_rows, 2, 0)[::-1].astype(np.float32))
