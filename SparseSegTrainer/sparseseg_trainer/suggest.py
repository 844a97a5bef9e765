"""Job ``suggest``: which slices to draw on next, in order (zheng2020, "Representative Slice Selection").

Without a model a slice is worth what it newly covers of its volume. With one, what it covers is weighted by how much
of each slice the model expects to have wrong: then the gain is an expected one.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .case import Case, CaseFailure
from .case_loop import run_cases, summary_of
from .cohort import read_cohort
from .cohort_grid import match_brightness
from .devices import choose_device
from .errors import InputError
from .files import write_text
from .models import Model, load_model
from .network_shape import check_limits
from .reporting import Reporter
from .segment import SegmentSettings, predict_volume
from .selection import Choice, Cover, choose
from .slice_features import describe
from .slices import resample_slices
from .sparse_volume import SparseVolume, load_case

LIMITS = {
    "budget": (1, 10**6),
    "side": (32, 1024),
    "steps": (1, 10**6),
    "batch": (2, 4096),  # batch normalization needs two
    "learning_rate": (1e-8, 1),
}


@dataclass(frozen=True)
class SuggestSettings:
    """How many slices to suggest, and how the auto-encoder that compares them is trained."""

    budget: int = 10  # slices in all, or of each volume
    per_volume: bool = False
    seed: int = 0
    device: str = "auto"
    side: int = 64  # rows and columns of the slices that are compared, a multiple of 32
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-3


@dataclass
class Seen:
    """A volume as the selection sees it; all arrays count its slices."""

    case: Case
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

    Slices count from 0 along the case's slice axis (that of the model, where the case names none and has no drawing).
    Returns {"cases", "failed", "suggestions": [{"case", "slice", "gain"}], "features": what made them}. The gain is in
    slices newly covered; with a ``model`` in mm² that it expects to have wrong there. ``out`` is a CSV file of the
    suggestions. Raises InputError ("bad_setting", those of ``read_cohort`` and ``load_model``) and ``Cancelled``.
    """
    settings, reporter = settings or SuggestSettings(), reporter or Reporter()
    _check(settings)
    device = choose_device(settings.device)
    loaded = load_model(Path(model)) if model else None
    if loaded:
        loaded.network.to(device)
    source = read_cohort(cohort)
    failed = list(source.failed)

    def work(case: Case) -> Seen:
        if loaded and case.axis is None and case.label is None:
            case = replace(case, axis=loaded.info.axis, cohort=case.cohort)
        volume = load_case(case, need_label=False)
        worth = _expected_error(volume, loaded, reporter) if loaded else np.ones(len(volume.image))
        known = volume.absent()
        worth[known] = 0
        known[list(volume.annotated)] = True
        return Seen(case, _compared(volume.image, settings.side), worth, ~known, volume.annotated)

    seen = run_cases(source.cases, failed, work, "look", reporter)
    if not seen:
        raise _no_case(failed)
    budget = settings.budget * (len(seen) if settings.per_volume else 1)
    choices, features = _choose(seen, settings, budget, reporter)
    suggestions = [
        {"case": seen[choice.volume].case.name, "slice": choice.slice, "gain": round(choice.gain, 4)}
        for choice in choices
    ]
    if not suggestions:
        reporter.warn("Every slice is known already: there is none to suggest.")
    fields = {"suggestions": suggestions, "features": features}
    if out:
        write_text(Path(out), _csv(suggestions))
        fields["out"] = str(out)
    return summary_of(len(seen), failed, **fields)


def ranked(cases: list[Case], settings: SuggestSettings, reporter: Reporter) -> dict[str, list[int]]:
    """The slices with a label of each case, the most representative of them first: for experiments on dense labels.

    Nothing else of the labels is looked at. Cases that cannot be read are left out.
    """

    def work(case: Case) -> Seen:
        volume = load_case(case)
        labeled = np.zeros(len(volume.image), bool)
        labeled[list(volume.annotated)] = True
        return Seen(case, _compared(volume.image, settings.side), labeled.astype(float), labeled, ())

    seen = run_cases([case for case in cases if case.label is not None], [], work, "look", reporter)
    if not seen:
        return {}
    orders = {}
    for volume, found in zip(seen, _describe(seen, settings, reporter)[0], strict=True):
        choices = choose([Cover(found, volume.worth, volume.candidates)], len(found))
        orders[volume.case.name] = [choice.slice for choice in choices]
    return orders


def _choose(seen: list[Seen], settings: SuggestSettings, budget: int, reporter: Reporter) -> tuple[list[Choice], str]:
    features, source = _describe(seen, settings, reporter)
    covers = [
        Cover(found, volume.worth, volume.candidates, volume.drawn)
        for volume, found in zip(seen, features, strict=True)
    ]
    return choose(covers, budget, settings.budget if settings.per_volume else None), source


def _describe(seen: list[Seen], settings: SuggestSettings, reporter: Reporter) -> tuple[list[np.ndarray], str]:
    """The features of every volume's slices, from one auto-encoder for all, and what made them."""
    slices = np.concatenate([volume.slices for volume in seen])
    how = settings.steps, settings.batch, settings.learning_rate, settings.seed, choose_device(settings.device)
    features, source = describe(slices, *how, reporter)
    ends = np.cumsum([len(volume.slices) for volume in seen])
    return np.split(features, ends[:-1]), source


def _compared(image: np.ndarray, side: int) -> np.ndarray:
    """Slices (S, H, W) in [0, 1] as they are compared: of like brightness, square, uint8."""
    return np.round(match_brightness(resample_slices(image, (side, side)).clip(0, 1)) * 255).astype(np.uint8)


def _expected_error(volume: SparseVolume, model: Model, reporter: Reporter) -> np.ndarray:
    """The area in mm² that the model expects to have wrong on each slice: 1 - its largest probability, summed up."""
    info = model.info
    settings = SegmentSettings(flips=info.flips, largest_component=False, smoothing=info.smoothing)
    probability = predict_volume(volume, model, settings, reporter)
    return (1 - probability.max(1)).sum((1, 2)).astype(float) * math.prod(info.spacing)


def _csv(suggestions: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["order", "case", "slice", "gain"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"order": number, **found} for number, found in enumerate(suggestions, 1))
    return text.getvalue()


def _check(settings: SuggestSettings) -> None:
    """Raises InputError ("bad_setting")."""
    check_limits(settings, LIMITS)
    if settings.side % 32:
        raise InputError("bad_setting", f"The setting 'side' is {settings.side}.", "It has to be a multiple of 32.")


def _no_case(failed: list[CaseFailure]) -> InputError:
    reasons = " ".join(failure.message for failure in failed[:3])
    return InputError("no_case", f"No case of the cohort can be used. {reasons}".strip(), "Correct the cohort.")
