"""The few numbers that describe the segmentation network in a model file; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .errors import InputError

LIMITS = {"context": (0, 8), "classes": (1, 100), "width": (4, 256), "depth": (1, 4)}
OVERVIEW_WIDTHS, OVERVIEW_SIDES = (4, 256), (16, 256)
SPACINGS = (1e-9, 1e6)  # mm
STRIDES = (1, 2, 4)  # the working grid's sides are multiples of 16
PATCH_SIDES, PATCH_STEP = (8, 512), 8  # voxels that a network of volumes may see at once along each axis
HALVINGS = 4  # of each axis at most


@dataclass(frozen=True)
class Overview:
    """A V-Net beside a network of slices: it sees whole volumes, coarsely (``overview.py``)."""

    width: int
    side: int  # voxels that it sees at once along each axis
    grid: tuple[int, int]  # rows and columns of the working grid that become ``side``
    slice_spacing: float  # mm

    def check(self) -> None:
        """Raises InputError ("bad_setting") for a number that no network of this program has."""
        check_limits(self, {"width": OVERVIEW_WIDTHS, "side": OVERVIEW_SIDES, "slice_spacing": SPACINGS})
        check_patch((self.side,) * 3)
        if not all(16 <= side <= 2**14 for side in self.grid):
            raise InputError("bad_setting", f"The grid of the overview is {list(self.grid)}.", "Train the model again.")

    def network(self, classes: int) -> NetworkShape:
        """What it takes to build its network."""
        return NetworkShape(0, classes, self.width, HALVINGS, 1, "vnet", (self.side,) * 3)


@dataclass(frozen=True)
class Orthogonal:
    """Two more networks of slices beside the first: of cuts along a volume's rows and columns (``orthogonal.py``)."""

    spacing: float  # mm, of the cuts' rows: in the direction in which the slices are stacked

    def check(self) -> None:
        """Raises InputError ("bad_setting") for a number that no network of this program has."""
        check_limits(self, {"spacing": SPACINGS})


@dataclass(frozen=True)
class NetworkShape:
    """What it takes to build the network; see ``TrainSettings`` for the meaning.

    Networks of volumes have a ``patch``: the slices, rows and columns that they see at once. They have no use for
    ``context`` (0), and most for ``depth`` and ``stride``. A network of slices may have others beside it.
    """

    context: int
    classes: int
    width: int
    depth: int
    stride: int
    architecture: Literal["slices", "vnet", "two_vnets", "marked_unet", "dense_voxnet", "representative"] = "slices"
    patch: tuple[int, int, int] | None = None
    overview: Overview | None = None
    orthogonal: Orthogonal | None = None

    @property
    def volumetric(self) -> bool:
        """Whether the network sees volumes, not slices."""
        return self.architecture != "slices"

    def check(self) -> None:
        """Raises InputError ("bad_setting") for a number that no network of this program has."""
        check_limits(self, LIMITS)
        if self.stride not in STRIDES:
            raise InputError("bad_setting", f"The setting 'stride' is {self.stride}.", "It has to be 1, 2 or 4.")
        if self.volumetric != (self.patch is not None):
            raise InputError(
                "bad_setting",
                f"The network '{self.architecture}' has the patch {self.patch}.",
                "A network that sees volumes needs one, the others have none.",
            )
        if self.patch:
            check_patch(self.patch)
        beside = [one for one in (self.overview, self.orthogonal) if one]
        if beside and self.volumetric:
            raise InputError(
                "bad_setting",
                f"The network '{self.architecture}' has others beside it.",
                "Only one of slices can have some.",
            )
        for one in beside:
            one.check()

    def strides(self) -> list[tuple[int, int, int]]:
        """By how much each down-sampling of a network of volumes reduces slices, rows and columns: 2 or 1.

        Each axis of the patch is halved up to four times, while at least two voxels are left, so that a network of few
        slices keeps them.
        """
        sides, levels = list(self.patch), []
        for _ in range(HALVINGS):
            level = tuple(2 if side % 2 == 0 and side >= 4 else 1 for side in sides)
            sides = [side // factor for side, factor in zip(sides, level, strict=True)]
            levels.append(level)
        return [level for level in levels if level != (1, 1, 1)]


def check_patch(patch: tuple[int, int, int]) -> None:
    """Raises InputError ("bad_setting") unless a network of volumes can see such a patch at once."""
    low, high = PATCH_SIDES
    if any(side % PATCH_STEP or not low <= side <= high for side in patch):
        raise InputError(
            "bad_setting",
            f"The setting 'patch' is {list(patch)}.",
            f"Give slices, rows and columns, each a multiple of {PATCH_STEP} from {low} to {high}.",
        )


def patch_within(wanted: tuple[int, int, int], longest: Iterable[int]) -> tuple[int, int, int]:
    """The ``wanted`` patch, no larger than volumes need whose ``longest`` slices, rows and columns these are."""
    sides = zip(wanted, longest, strict=True)
    return tuple(min(side, math.ceil(found / PATCH_STEP) * PATCH_STEP) for side, found in sides)


def check_limits(settings, limits: dict[str, tuple[float, float]]) -> None:
    """Raises InputError ("bad_setting") for an attribute of ``settings`` outside its (lowest, highest) value."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InputError("bad_setting", f"The setting '{name}' is {value}.", f"It has to be from {low} to {high}.")
