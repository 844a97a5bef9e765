"""What the losses and schedules of the semi-supervised comparison methods are made of; see docs/methods.md.

Logits and probabilities are (B, C + 1, ...), with any number of spatial axes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALL = 1e-16  # keeps a quotient finite
LEAST = 1e-12  # probability


def ramp_up(done: float, start: float = 0.0, stop: float = 1.0) -> float:
    """exp(-5 (1 - t)^2), t rising from 0 to 1 between ``start`` and ``stop``; 0 before, 1 after (Tarvainen 2017).

    All three are parts of a training, 0 to 1.
    """
    if done < start:
        return 0.0
    t = 1.0 if done >= stop else (done - start) / (stop - start)
    return math.exp(-5 * (1 - t) ** 2)


def rising(start: float, stop: float, done: float) -> float:
    """A threshold that goes from nearly ``start`` to ``stop`` with the ramp-up over the whole training."""
    return start + (stop - start) * ramp_up(done)


def noisy(
    images: Tensor, deviation: float, limit: float, generator: torch.Generator, unit: Tensor | float = 1.0
) -> Tensor:
    """``images`` with Gaussian noise of that standard deviation, cut off at +-``limit``, both times ``unit``."""
    noise = torch.randn(images.shape, generator=at(images.device, generator), device=images.device) * deviation
    return images + unit * noise.clamp(-limit, limit)


def deviations(images: Tensor) -> Tensor:
    """Standard deviation of each of ``images`` (B, ...): (B, 1, ...)."""
    return images.flatten(1).std(1).view(-1, *[1] * (images.ndim - 1))


def at(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on ``device`` seeded by that of the CPU, which has too much to draw for all voxels of a step."""
    if device.type == "cpu":
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))


def entropy(probability: Tensor) -> Tensor:
    """Entropy over the classes, in nats: (B, 1, ...)."""
    # the limit keeps the gradient finite where a softmax has reached 0
    return -(probability * probability.clamp_min(LEAST).log()).sum(1, keepdim=True)


def squared_error(logits: Tensor, target: Tensor) -> Tensor:
    """Squared difference of softmax(logits) and the probabilities ``target``: (B, C + 1, ...)."""
    return (logits.softmax(1) - target).square()


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``error`` (B, C + 1, ...) over the classes and the pixels where ``mask`` (B, 1, ...) is true, else 0."""
    return (error * mask).sum() / (error.shape[1] * mask.sum() + SMALL)
