"""The few numbers that describe the segmentation network in a model file; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError

LIMITS = {"context": (0, 8), "classes": (1, 100), "width": (4, 256), "depth": (1, 4)}
STRIDES = (1, 2, 4)  # the working grid's sides are multiples of 16


@dataclass(frozen=True)
class NetworkShape:
    """What it takes to build the network; see ``TrainSettings`` for the meaning."""

    context: int
    classes: int
    width: int
    depth: int
    stride: int

    def check(self) -> None:
        """Raises InputError ("bad_setting") for a number that no network of this program has."""
        check_limits(self, LIMITS)
        if self.stride not in STRIDES:
            raise InputError("bad_setting", f"The setting 'stride' is {self.stride}.", "It has to be 1, 2 or 4.")


def check_limits(settings, limits: dict[str, tuple[float, float]]) -> None:
    """Raises InputError ("bad_setting") for an attribute of ``settings`` outside its (lowest, highest) value."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InputError("bad_setting", f"The setting '{name}' is {value}.", f"It has to be from {low} to {high}.")
