"""Patches of volumes: the batches of the methods whose network sees volumes, and what such a network says of slices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network_shape import NetworkShape, patch_within
from ..prediction import volume_probabilities
from .augmentation import augment
from .data import PreparedCase, PreparedCohort
from .keys import architecture_of
from .loop import Run
from .sampling import draw
from .settings import TrainSettings


def volume_shape(settings: TrainSettings, classes: int, sizes: list[tuple[int, int, int]]) -> NetworkShape:
    """The network of volumes that the settings ask for, where the volumes have these slices, rows and columns.

    Its patch is no larger than the largest volume needs.
    """
    patch = patch_within(settings.volumetric.patch, map(max, zip(*sizes, strict=True)))
    kind = architecture_of(settings.method, settings.dimensions)
    return NetworkShape(0, classes, settings.width, settings.depth, settings.stride, kind, patch)


def run_shape(run: Run) -> NetworkShape:
    """The network of volumes of this training."""
    return volume_shape(run.settings, run.data.classes, [run.data.volume_size(case) for case in run.data.cases])


def draw_patches(
    run: Run,
    cases: list[PreparedCase],
    count: int,
    generator: torch.Generator,
    labels: Tensor | None = None,
    drawn_on: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """``count`` patches at random places of ``cases``, augmented; every case comes once before any comes again.

    Returns images (B, 1, slices, rows, columns) in about [0, 1], labels (B, slices, rows, columns) uint8, and which of
    these are known, bool: all where a case's label is dense, else those of its drawn and absent slices and of slices
    across other axes. Beyond the volume's border all three are 0. ``labels`` are those of the whole stack, to be used
    instead of the drawn ones. With ``drawn_on`` every patch shows a drawn slice at least, across whichever axis.
    """
    if drawn_on:
        cases = [case for case in cases if case.labelled]
    patch, chosen = run_shape(run).patch, draw(torch.arange(len(cases)), count, generator).tolist()
    parts = [_patch(run, cases[number], patch, generator, labels, drawn_on) for number in chosen]
    images, found, known = (torch.stack(part).to(run.device) for part in zip(*parts, strict=True))
    # What is known of whole slices stays true wherever these are moved; rows and columns are moved, as a class more.
    unknown = run.data.classes + 1
    lines = labels is None and any(case.rows or case.columns for case in cases)
    if lines:
        found = found.masked_fill(~known, unknown)
    how = run.settings.augmentation
    images, found = augment(images.float() / 255, found, run.data.classes + lines, how, generator)
    if lines:
        known = found != unknown
        found = found * known
    return images.unsqueeze(1), found, known


def _patch(
    run: Run, case: PreparedCase, patch, generator: torch.Generator, labels: Tensor | None, drawn_on: bool
) -> list[Tensor]:
    """Image and label as bytes, and what is known, each (slices, rows, columns), before augmentation."""
    turns = int(torch.randint(4, (1,), generator=generator)) if run.settings.volumetric.quarter_turns else 0
    sides = (patch[0], patch[2], patch[1]) if turns % 2 else patch
    places = [(0, max(0, have - want)) for have, want in zip(run.data.volume_size(case), sides, strict=True)]
    if drawn_on:
        planes = (case.annotated, case.rows, case.columns)
        drawn = [(axis, number) for axis, numbers in enumerate(planes) for number in numbers]
        axis, number = drawn[int(torch.randint(len(drawn), (1,), generator=generator))]
        places[axis] = (max(0, number - sides[axis] + 1), min(number, places[axis][1]))
    firsts = [int(torch.randint(low, high + 1, (1,), generator=generator)) for low, high in places]
    box = tuple(slice(first, first + side) for first, side in zip(firsts, sides, strict=True))
    image = run.data.volume(run.data.images, case)[box]
    label = run.data.volume(run.data.labels if labels is None else labels, case)[box]
    known = known_voxels(run.data, case, box) if labels is None else torch.ones(image.shape, dtype=torch.bool)
    parts = (image, label.to(image.device), known.to(image.device))
    return [torch.rot90(filled_up(part, sides), turns, (1, 2)) for part in parts]


def known_voxels(data: PreparedCohort, case: PreparedCase, box: tuple[slice, ...] = (slice(None),) * 3) -> Tensor:
    """Which voxels in a box of ``data.volume`` are drawn or known to be background: bool, all where it is dense."""
    known = [torch.zeros(side, dtype=torch.bool) for side in data.volume_size(case)]
    for mask, numbers in zip(known, (case.annotated + case.absent, case.rows, case.columns), strict=True):
        mask[list(numbers)] = True
    slices, rows, columns = (mask[part] for mask, part in zip(known, box, strict=True))
    return (slices | case.dense)[:, None, None] | rows[:, None] | columns


def filled_up(part: Tensor, sides) -> Tensor:
    """``part`` of a volume, centred on zeros of the size ``sides``."""
    padding = []
    for have, want in zip(reversed(part.shape), reversed(sides), strict=True):
        padding += [(want - have) // 2, want - have - (want - have) // 2]
    return F.pad(part, padding)


def predicted_slices(run: Run, network: nn.Module, numbers: Tensor) -> Tensor:
    """The most probable class on these slices, uint8 (len(numbers), rows, columns), on the CPU; reads whole volumes."""
    device, patch = next(network.parameters()).device, run_shape(run).patch
    result = torch.zeros(len(numbers), *run.data.grid.shape, dtype=torch.uint8)
    for case in run.data.cases:
        wanted = (numbers >= case.start) & (numbers < case.stop)
        if wanted.any():
            volume = run.data.images[case.start : case.stop].to(device)[None, None].float() / 255
            found = volume_probabilities(network, volume, patch, run.settings.test_flips)[0].argmax(0)
            result[wanted] = found[(numbers[wanted] - case.start).to(device)].to(torch.uint8).cpu()
    return result
