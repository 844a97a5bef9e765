"""The ends of a structure: where they are, background beyond them, and a shape that shrinks towards them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

EXPONENT = 2.5  # of a taper where nothing speaks for another one: an ellipsoid has 2, longish structures more
EXPONENTS = (1.5, 2.0, 3.0, 5.0)  # among which the image chooses: from an egg's shape to a cylinder's


@dataclass(frozen=True)
class Taper:
    """How the structure shrinks on one side of the outermost annotated slice.

    The area falls as 1 - t ** ``exponent`` from the annotated slice (t = 0) to the first slice without it, ``end``
    (t = 1); it does not where ``end`` is None: the structure leaves the volume there.
    """

    end: int | None
    exponent: float = EXPONENT

    def areas(self, start: int, area: float) -> dict[int, float]:
        """The area in each slice between the annotated one, ``start``, whose own is ``area``, and the end."""
        if self.end is None:
            return {}
        step = 1 if self.end > start else -1
        between = range(start + step, self.end, step)
        return {i: area * (1 - ((i - start) / (self.end - start)) ** self.exponent) for i in between}


def usual_tapers(annotated: list[int], absent: Tensor) -> tuple[Taper, Taper]:
    """Towards the first and towards the last slice: ends at the nearest of the ``absent`` slices (slice,), bool."""
    before = torch.nonzero(absent[: annotated[0]])
    after = torch.nonzero(absent[annotated[-1] :])
    return (
        Taper(int(before[-1]) if len(before) else None),
        Taper(annotated[-1] + int(after[0]) if len(after) else None),
    )


def likeliest_tapers(
    carried: Tensor, evidence: Tensor, annotated: list[int], usual: tuple[Taper, Taper], marked: tuple[bool, bool]
) -> tuple[Taper, Taper]:
    """The tapers for which the ``evidence`` inside the structure is greatest, seen from both ends.

    ``carried`` (slice, class, row, column) labels as they travelled, background first; ``evidence`` (slice, class - 1,
    row, column) for each class against background, in logits. Where an end is ``marked`` the taper stays the usual one;
    other ends are looked for between the outermost annotated slice and the usual end.
    """
    result = []
    for start, taper, fixed in zip((annotated[0], annotated[-1]), usual, marked, strict=True):
        if taper.end is None or fixed:
            result.append(taper)
            continue
        step = 1 if taper.end > start else -1
        gains = {i: _gain_by_area(carried[i], evidence[i]) for i in range(start + step, taper.end, step)}
        area = (1 - carried[start, 0]).sum().item()
        ends = range(start + step, taper.end + step, step)
        candidates = [Taper(end, exponent) for end in ends for exponent in EXPONENTS]
        result.append(max(candidates, key=lambda one: _gain(one, start, area, gains)))
    return tuple(result)


def tapered(carried: Tensor, annotated: list[int], tapers: tuple[Taper, Taper]) -> Tensor:
    """``carried`` (slice, class, row, column), background first, shrinking towards both ends; background beyond."""
    result = carried.clone()
    for start, taper in zip((annotated[0], annotated[-1]), tapers, strict=True):
        for index, area in taper.areas(start, (1 - result[start, 0]).sum().item()).items():
            shrink_to(result[index], area)
        if taper.end is not None:
            beyond = slice(taper.end, None) if taper.end > start else slice(None, taper.end + 1)
            result[beyond] = 0
            result[beyond, 0] = 1
    return result


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


def _gain_by_area(probability: Tensor, evidence: Tensor) -> np.ndarray:
    """Sum of the evidence in the innermost n pixels of the structure, for n from 0 to all of them, for one slice."""
    inside = (probability[0] < 0.5).cpu().numpy()
    classes = probability[1:]
    weighted = (classes * evidence).sum(0) / classes.sum(0).clamp_min(1e-6)
    inwards = np.argsort(-distance_transform_edt(inside)[inside], kind="stable")
    return np.concatenate([[0.0], np.cumsum(weighted.cpu().numpy()[inside][inwards])])


def _gain(taper: Taper, start: int, area: float, gains: dict[int, np.ndarray]) -> float:
    """The evidence inside the structure if it shrinks like this."""
    areas = taper.areas(start, area).items()
    return sum(float(gains[index][min(len(gains[index]) - 1, round(size))]) for index, size in areas)
