"""Job ``suggest``: which slices to draw on next, in order (zheng2020, "Representative Slice Selection").

Without a model a slice is worth what it newly covers of its volume, along its axis. With one, what it covers is
weighted by how much of each slice the model expects to have wrong: then the gain is an expected one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .case import FILE_NAME, Case
from .case_loop import run_cases, some_left, summary_of
from .cohort import read_cohort
from .cohort_grid import match_brightness
from .devices import SEEDS, choose_device
from .errors import InputError
from .files import csv_text, require_other_files, write_text
from .models import Model, load_model
from .network_shape import check_limits
from .reporting import Reporter
from .segment import SegmentSettings, predict_volume
from .selection import Choice, Cover, choose
from .settings import CheckedSettings
from .slice_features import describe
from .slices import resample_slices, slice_axes
from .sparse_volume import SparseVolume, load_case

LIMITS = {
    "budget": (1, 10**6),
    "side": (32, 1024),
    "steps": (1, 10**6),
    "batch": (2, 4096),  # batch normalization needs two
    "learning_rate": (1e-8, 1),
    "seed": SEEDS,
}


@dataclass(frozen=True)
class SuggestSettings(CheckedSettings):
    """How many slices to suggest, and how the auto-encoder that compares them is trained."""

    budget: int = 10  # slices in all, or of each volume
    per_volume: bool = False
    planes: bool = False  # along all three axes of each volume, as in zheng2020, not along its own alone
    seed: int = 0
    device: str = "auto"
    side: int = 64  # rows and columns of the slices that are compared, a multiple of 32
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-3


@dataclass
class Seen:
    """A volume's slices along one axis (0, 1, 2 are i, j, k) as the selection sees them; all arrays count them."""

    case: Case
    axis: int
    slices: np.ndarray  # (slices, side, side) uint8
    worth: np.ndarray  # what covering each slice is worth
    candidates: np.ndarray  # bool
    drawn: tuple[int, ...]


def suggest(
    cohort: Path,
    settings: SuggestSettings | None = None,
    reporter: Reporter | None = None,
    model: Path | None = None,
    out: Path | None = None,
) -> dict:
    """The slices of the cohort's volumes to draw on next, best first; those drawn or known to be empty are left out.

    Slices count from 0 along the axis that is told with them: the case's slice axis (that of the model, where the case
    names none and has no drawing), or with ``planes`` any. Returns {"cases", "failed", "suggestions": [{"case", "axis",
    "slice", "gain"}], "features": what made them}. The gain is in slices newly covered; with a ``model`` in mm² that it
    expects to have wrong there. ``out`` is a CSV file of the suggestions. Raises InputError ("bad_setting",
    "same_file", those of ``read_cohort`` and ``load_model``) and ``Cancelled``.
    """
    settings, reporter = settings or SuggestSettings(), reporter or Reporter()
    _check(settings)
    device = choose_device(settings.device)
    loaded = load_model(Path(model)) if model else None
    if loaded:
        loaded.network.to(device)
    source = read_cohort(cohort)
    if out:
        require_other_files([source.folder / FILE_NAME, *source.files], [Path(out)])
    failed = list(source.failed)

    def work(case: Case) -> list[Seen]:
        if loaded and case.axis is None and case.label is None:
            case = replace(case, axis=loaded.info.axis)
        return _stacks(load_case(case, need_label=False), loaded, settings, reporter)

    volumes = some_left(run_cases(source.cases, failed, work, "look", reporter), failed)
    seen = [stack for volume in volumes for stack in volume]
    budget = settings.budget * (len(volumes) if settings.per_volume else 1)
    choices, features = _choose(seen, settings, budget, reporter)
    chosen = [(seen[choice.stack], choice) for choice in choices]
    suggestions = [
        {"case": stack.case.name, "axis": stack.axis, "slice": choice.slice, "gain": round(choice.gain, 4)}
        for stack, choice in chosen
    ]
    if not suggestions:
        reporter.warn("Every slice is known already: there is none to suggest.")
    fields = {"suggestions": suggestions, "features": features}
    if out:
        rows = [(number, *found.values()) for number, found in enumerate(suggestions, 1)]
        write_text(Path(out), csv_text([("order", "case", "axis", "slice", "gain"), *rows]))
        fields["out"] = str(out)
    return summary_of(len(volumes), failed, **fields)


def ranked(cases: list[Case], settings: SuggestSettings, reporter: Reporter) -> dict[tuple[str, int], list[int]]:
    """The slices with a label of each case, the most representative of them first: for experiments on dense labels.

    Keys are (case, axis). Nothing else of the labels is looked at. Cases that cannot be read are left out.
    """

    def work(case: Case) -> list[Seen]:
        volume = load_case(replace(case, other_slices=()))
        stacks = []
        for dimension, _ in _drawn(volume, settings.planes):
            labeled = np.moveaxis(volume.label, dimension, 0).any((1, 2))
            stacks.append(_seen(volume, dimension, settings.side, labeled.astype(float), labeled))
        return stacks

    volumes = run_cases([case for case in cases if case.label is not None], [], work, "look", reporter)
    if not volumes:
        return {}
    seen, orders = [stack for volume in volumes for stack in volume], {}
    for stack, found in zip(seen, _describe(seen, settings, reporter)[0], strict=True):
        choices = choose([Cover(found, stack.worth, stack.candidates)], len(found))
        orders[stack.case.name, stack.axis] = [choice.slice for choice in choices]
    return orders


def _stacks(volume: SparseVolume, model: Model | None, settings: SuggestSettings, reporter: Reporter) -> list[Seen]:
    """The volume's slices along its own axis, or with ``planes`` along all three."""
    absent = volume.absent()
    worth = _expected_errors(volume, model, absent, reporter) if model else list(map(np.ones, volume.image.shape))
    worth[0][absent] = 0
    stacks = []
    for dimension, drawn in _drawn(volume, settings.planes):
        candidates = np.ones(volume.image.shape[dimension], bool)
        candidates[list(drawn)] = False
        if not dimension:
            candidates &= ~absent
        stacks.append(_seen(volume, dimension, settings.side, worth[dimension], candidates, drawn))
    return stacks


def _drawn(volume: SparseVolume, planes: bool) -> Iterator[tuple[int, tuple[int, ...]]]:
    """What is drawn across slices (0) and, of all ``planes``, rows (1) and columns (2)."""
    yield 0, volume.annotated
    for dimension in (1, 2) if planes else ():
        yield dimension, tuple(number for other, number in volume.others if other == dimension)


def _seen(volume: SparseVolume, dimension: int, side: int, worth, candidates, drawn=()) -> Seen:
    """The volume cut across its slices (0), rows (1) or columns (2)."""
    slices = _compared(np.moveaxis(volume.image, dimension, 0), side)
    return Seen(volume.case, slice_axes(volume.axis)[dimension], slices, worth, candidates, drawn)


def _choose(seen: list[Seen], settings: SuggestSettings, budget: int, reporter: Reporter) -> tuple[list[Choice], str]:
    features, source = _describe(seen, settings, reporter)
    covers = [
        Cover(found, stack.worth, stack.candidates, stack.drawn) for stack, found in zip(seen, features, strict=True)
    ]
    names = [stack.case.name for stack in seen]
    return choose(covers, budget, settings.budget if settings.per_volume else None, names), source


def _describe(seen: list[Seen], settings: SuggestSettings, reporter: Reporter) -> tuple[list[np.ndarray], str]:
    """The features of every stack's slices, from one auto-encoder for all, and what made them."""
    slices = np.concatenate([stack.slices for stack in seen])
    how = settings.steps, settings.batch, settings.learning_rate, settings.seed, choose_device(settings.device)
    features, source = describe(slices, *how, reporter)
    if settings.planes:  # slices along an axis share what those along others do not: see ``describe``
        axes = np.repeat([stack.axis for stack in seen], [len(stack.slices) for stack in seen])
        for axis in range(3):
            features[axes == axis] -= features[axes == axis].mean(0)
    ends = np.cumsum([len(stack.slices) for stack in seen])
    return np.split(features, ends[:-1]), source


def _compared(image: np.ndarray, side: int) -> np.ndarray:
    """Slices (S, H, W) in [0, 1] as they are compared: of like brightness, square, uint8."""
    return np.round(match_brightness(resample_slices(image, (side, side)).clip(0, 1)) * 255).astype(np.uint8)


def _expected_errors(volume: SparseVolume, model: Model, absent: np.ndarray, reporter: Reporter) -> list[np.ndarray]:
    """The area in mm² that the model expects to have wrong across each slice, each row and each column of the image.

    That is 1 - its largest probability, summed up; nothing is wrong on ``absent`` slices, nor beyond what it looks at.
    """
    info = model.info
    settings = SegmentSettings(flips=info.flips, largest_component=False, smoothing=info.smoothing)
    probability = predict_volume(volume, model, settings, reporter)
    error, found = probability.sum(1) - probability.max(1), []  # 0 beyond what the model looks at
    error[absent] = 0
    spacing = np.array([volume.spacing[0], *info.spacing])
    for dimension, count in enumerate(volume.image.shape):
        others = tuple(other for other in range(3) if other != dimension)
        area = error.sum(others).astype(float) * spacing[list(others)].prod()
        places = (np.arange(count) + 0.5) * len(area) / count - 0.5  # rows of the image on the model's grid
        found.append(np.interp(places, np.arange(len(area)), area))
    return found


def _check(settings: SuggestSettings) -> None:
    """Raises InputError ("bad_setting")."""
    check_limits(settings, LIMITS)
    if settings.side % 32:
        raise InputError("bad_setting", f"The setting 'side' is {settings.side}.", "It has to be a multiple of 32.")
