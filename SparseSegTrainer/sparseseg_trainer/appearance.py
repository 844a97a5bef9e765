"""What the structure looks like in this volume: a pixel classifier that is fitted in a fraction of a second.

Quadratic logistic regression on the image and its Gaussian derivatives at several scales. It knows nothing of shape and
place, which the propagated labels know; together they find where the structure ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_gradient_magnitude
from torch import Tensor

from .devices import side_by_side

DRAWN_SLICES, ABSENT_SLICES = 8, 6  # that are learned from at most, evenly chosen: more would only cost time
NEIGHBOURS = (-8, -4, 4, 8)  # slices from a drawn one whose propagated label is learned from, with half the weight
NEIGHBOUR_WEIGHT = 0.5
REACH = 10.0  # pixels over which the weight of background falls to 1/e: what is far away does not matter
FAR = 0.02  # weight of the background far away
PENALTY = 1e-3  # on squared coefficients
ITERATIONS = 30
PIXELS = 25_000  # that are learned from at most, evenly chosen: more make no difference but in time
LIMIT = 4.0  # of the evidence, in logits: a single pixel never outvotes a certain label


def appearance(slices: Tensor, labels: Tensor, drawn: list[int], absent: Tensor, classes: int) -> Tensor:
    """Evidence of each class against background (slice, class, row, column), in logits within +-``LIMIT``.

    ``slices`` (slice, row, column) in [0, 1]; ``labels`` (slice, row, column) indices of the background and of so many
    ``classes``, right on the ``drawn`` and the ``absent`` slices and nearly so a few slices from the drawn ones.
    """
    values = np.ascontiguousarray(slices.cpu().numpy())
    basis = _basis(values)
    chosen, weights = _training_slices(len(values), drawn, absent.cpu().numpy())
    known = labels[chosen].cpu().numpy()
    pixels = _pixel_weights(known, weights)
    some = slice(None, None, max(1, known.size // PIXELS))
    sample = torch.from_numpy(_expanded(basis[chosen].reshape(known.size, -1)[some]))
    label, weight = torch.from_numpy(known.ravel()[some]).long(), torch.from_numpy(pixels.ravel()[some])
    coefficients = _fitted(sample, label, weight / weight.sum(), classes)
    logits = np.stack([_expanded(plane) @ coefficients for plane in basis])
    evidence = gaussian_filter(logits[..., 1:] - logits[..., :1], (1, 0.7, 0.7, 0))
    evidence = torch.from_numpy(evidence).movedim(-1, 1).clamp(-LIMIT, LIMIT)
    return evidence.to(slices.device)


def _basis(values: np.ndarray) -> np.ndarray:
    """Seven features a pixel (slice, row, column, 7), each of mean 0 and standard deviation 1."""
    filters = [partial(gaussian_gradient_magnitude, sigma=(0.7, sigma, sigma)) for sigma in (1, 2.5)]
    filters += [
        partial(gaussian_filter, sigma=sigmas) for sigmas in ((0.5, 4, 4), (1.5, 2, 2), (0.5, 2, 2), (0.5, 1, 1))
    ]

    def feature(one: Callable) -> np.ndarray:
        filtered = one(values)
        return (filtered - filtered.mean()) / (filtered.std() + 1e-6)

    return np.stack(side_by_side(feature, [*filters, np.asarray]), -1)


def _expanded(basis: np.ndarray) -> np.ndarray:
    """The features with a constant and all products of two (..., 36)."""
    first, second = np.triu_indices(basis.shape[-1])
    ones = np.ones((*basis.shape[:-1], 1), np.float32)
    return np.concatenate([ones, basis, basis[..., first] * basis[..., second]], -1)


def _training_slices(count: int, drawn: list[int], absent: np.ndarray) -> tuple[list[int], list[float]]:
    """The slices to learn from and their weights."""
    chosen = evenly(np.array(drawn), DRAWN_SLICES)
    weights = dict.fromkeys(chosen, 1.0)
    for index in evenly(np.flatnonzero(absent), ABSENT_SLICES):
        weights.setdefault(index, NEIGHBOUR_WEIGHT)
    for index in (start + offset for start in chosen for offset in NEIGHBOURS):
        if 0 <= index < count:
            weights.setdefault(index, NEIGHBOUR_WEIGHT)
    return list(weights), list(weights.values())


def evenly(indices: np.ndarray, most: int) -> list[int]:
    """At most so many of the indices, from the first to the last."""
    return indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)].tolist()


def _pixel_weights(labels: np.ndarray, weights: list[float]) -> np.ndarray:
    """Weight of each pixel (slice, row, column), the same in sum for every class."""
    near = np.exp(-distance_transform_edt(~(labels > 0).any(0)) / REACH) + FAR
    result = near * np.array(weights)[:, None, None]
    for value in np.unique(labels):
        result[labels == value] /= result[labels == value].sum()
    return (result / result.sum()).astype(np.float32)


def _fitted(sample: Tensor, labels: Tensor, weights: Tensor, classes: int) -> np.ndarray:
    """Coefficients (features, classes + 1) of the logistic regression; a class without pixels gets no evidence."""
    seen = int(labels.max()) + 1
    coefficients = torch.zeros(sample.shape[1], seen, requires_grad=True)
    optimizer = torch.optim.LBFGS([coefficients], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        entropy = F.cross_entropy(sample @ coefficients, labels, reduction="none")
        loss = (entropy * weights).sum() + PENALTY * coefficients[1:].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    result = np.pad(coefficients.detach().numpy(), ((0, 0), (0, classes + 1 - seen)))
    return np.where(np.isin(np.arange(classes + 1), labels.numpy()), result, result[:, :1])
