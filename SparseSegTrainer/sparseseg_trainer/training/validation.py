"""How well a network does on drawn slices: those of cases kept aside from the training, if there are any."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..cohort import Cohort
from ..errors import InputError
from ..files import whole_file
from ..segmentation_network import SeveralViews
from . import views
from .data import PreparedCohort
from .loop import Run
from .losses import one_hot
from .pseudo_labels import predicted
from .volumetric import predicted_slices

LIVE = 32  # slices that are measured after every epoch
SHOWN = 12  # slices in the picture of a model


def keep_aside(cohort: Cohort, count: int, seed: int) -> tuple[Cohort, Cohort | None]:
    """The cases to train on, and ``count`` labeled ones, chosen by ``seed``, to measure the network on.

    Raises InputError ("too_few_cases") if none would be left to train on.
    """
    if not count:
        return cohort, None
    # measured on whole drawn slices: those across other axes alone are not enough
    labelled = [case.name for case in cohort.cases if case.label is not None and case.annotated_slices != ()]
    if count >= len(labelled):
        raise InputError(
            "too_few_cases",
            f"Cases with a drawing: {len(labelled)}. To keep {count} of them aside would leave none to learn from.",
            "Add cases, or keep fewer aside.",
        )
    chosen = set(random.Random(seed).sample(sorted(labelled), count))
    labels = cohort.labels  # of all cases, before they are parted
    training = Cohort(cohort.folder, [case for case in cohort.cases if case.name not in chosen], cohort.failed)
    aside = Cohort(cohort.folder, [case for case in cohort.cases if case.name in chosen])
    training.labels = aside.labels = labels
    return training, aside


def live_dice(run: Run, network: nn.Module) -> float:
    """Mean Dice over drawn slices and classes: of the cases kept aside, or else of those trained on.

    At most ``LIVE`` slices, evenly chosen; of the first such case alone for a network that sees volumes, which has to
    look at all of it.
    """
    run = replace(run, data=run.aside or run.data)
    numbers = run.data.drawn
    if run.settings.dimensions == 3:
        numbers = numbers[numbers < next(case.stop for case in run.data.cases if case.annotated)]
    return _dice(*_compared(run, network, _some(numbers, LIVE)))


def known_dice(run: Run, network: nn.Module) -> float:
    """Mean Dice over all known slices of the cases kept aside, empty ones (on which anything is wrong) among them.

    Without such cases, as ``live_dice``.
    """
    if run.aside is None:
        return live_dice(run, network)
    absent = run.aside.absent if run.settings.absence else run.aside.absent[:0]
    return _dice(*_compared(replace(run, data=run.aside), network, torch.cat([run.aside.drawn, absent])))


@dataclass(frozen=True)
class Shown:
    """Some of the drawn slices of the cases kept aside, or else of those trained on, as drawn and as a network says."""

    data: PreparedCohort
    numbers: Tensor
    truth: Tensor  # (slice, row, column), as ``guess``
    guess: Tensor


def shown(run: Run, network: nn.Module) -> Shown:
    """At most ``SHOWN`` slices, evenly chosen."""
    data = run.aside or run.data
    numbers = _some(data.drawn, SHOWN)
    return Shown(data, numbers, *_compared(replace(run, data=data), network, numbers))


def figures(run: Run, network: nn.Module, seen: Shown) -> dict:
    """``drawn_slices_dice`` of the cases trained on; of those aside ``validation_dice`` and ``validation``, by case.

    The former is of ``SHOWN`` slices at most for networks that have to look at all of their volumes.
    """
    if not isinstance(network, SeveralViews):
        compared = _compared(run, network, run.data.drawn)
    elif run.aside:
        compared = _compared(run, network, _some(run.data.drawn, SHOWN))
    else:
        compared = seen.truth, seen.guess
    found = {"drawn_slices_dice": round(_dice(*compared), 4)}
    if run.aside is None:
        return found
    aside = replace(run, data=run.aside)
    by_case = {}
    for case in run.aside.cases:
        numbers = torch.tensor(case.annotated) + case.start
        by_case[case.name] = round(_dice(*_compared(aside, network, numbers)), 4)
    mean = sum(by_case.values()) / len(by_case)
    return found | {"validation_dice": round(mean, 4), "validation": by_case}


def write_picture(seen: Shown, out: Path) -> None:
    """``check.png``: the slices as drawn and as the network has them; needs matplotlib."""
    try:
        from ..figures import PREDICTION, REFERENCE, contour_montage
    except ModuleNotFoundError:
        return
    data, numbers = seen.data, seen.numbers
    images = data.batch(numbers)[:, 0].cpu().numpy()
    cases = [next(case for case in data.cases if case.start <= number < case.stop) for number in numbers.tolist()]
    titles = [f"{case.name}, {number - case.start}" for case, number in zip(cases, numbers.tolist(), strict=True)]
    contours = [(REFERENCE, seen.truth.numpy()), (PREDICTION, seen.guess.numpy())]
    with whole_file(out / "check.png") as file:
        file.write_bytes(contour_montage(images, contours, titles, data.grid.spacing))


def _some(numbers: Tensor, most: int) -> Tensor:
    """At most so many of ``numbers``, evenly chosen."""
    return numbers[torch.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().long()]


def _compared(run: Run, network: nn.Module, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """What is drawn on these slices, and what the network says, both (slice, row, column) on the CPU."""
    answer = predicted_slices if run.settings.dimensions == 3 else predicted
    if isinstance(network, SeveralViews):
        answer = views.predicted
    return run.data.labels[numbers.to(run.data.labels.device)].cpu(), answer(run, network, numbers)


def _dice(truth: Tensor, guess: Tensor) -> float:
    """Mean over slices and classes; a class that is on a slice in neither does not count. 0 where none counts.

    Then the working resolution has lost what is drawn, and the network has learned to find nothing.
    """
    classes = int(max(truth.max(), guess.max(), 1))
    masks = one_hot(truth, classes), one_hot(guess, classes)
    overlap, total = (masks[0] * masks[1]).sum((2, 3)), (masks[0] + masks[1]).sum((2, 3))
    return float((2 * overlap / total)[total > 0].mean()) if total.any() else 0.0
