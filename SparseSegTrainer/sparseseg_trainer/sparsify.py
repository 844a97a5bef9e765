"""Dense cohorts made sparse, for experiments: all but a few drawn slices or labels are forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np

from .case import Case
from .case_loop import run_cases, summary_of
from .cohort import label_path, read_cohort, refuse_to_replace_inputs, write_cohort
from .errors import InputError
from .reporting import Reporter
from .slices import from_slices, slice_axes, slice_axis
from .sparse_volume import read_drawn_slices
from .volumes import read_geometry, write_label

UNLABELED, LEFT_OUT = "unlabeled", "left out"  # what becomes of cases that lose their label


def sparsify(
    cohort_folder: Path,
    out: Path,
    slices: str = "central",
    extents: bool = False,
    labeled: str = "",
    others: str = UNLABELED,
    seed: int = 0,
    planes: bool = False,
    reporter: Reporter | None = None,
) -> dict:
    """Writes a cohort into ``out`` whose labels keep only ``slices`` of those in ``cohort_folder``.

    ``slices`` is as in ``choose_slices``. Of several slices, those without a label are left out. With ``extents`` the
    first and last labeled slice are marked too. ``labeled`` and ``others`` are as in ``keep_labels``. With ``planes``
    the slices are chosen along each of the image's axes, and kept from all three. Images stay where they are. What is
    random depends on ``seed`` and on the names of the cases. Returns {"cases": count, "failed": [...]}. Raises
    InputError ("bad_slices", those of ``keep_labels``, of ``read_cohort`` and of ``refuse_to_replace_inputs``).
    """
    check_slices(slices, planes)  # a mistake in ``slices`` is the caller's, not each case's
    out = Path(out)
    cohort = read_cohort(cohort_folder)
    refuse_to_replace_inputs(cohort, out)
    labels = cohort.labels  # of all cases, before some lose theirs
    cases = keep_labels(cohort.cases, labeled, others, seed)
    failed, reporter = list(cohort.failed), reporter or Reporter()
    ranked = _ranked(cases, planes, reporter) if slices.strip().startswith("suggested:") else {}

    def work(case: Case) -> Case:
        if labeled and case.label is None:
            return case
        return _sparse_case(case, out, slices, extents, planes, seed, ranked)

    sparse = run_cases(cases, failed, work, "sparsify", reporter)
    write_cohort(out, sparse, labels)
    return summary_of(len(sparse), failed)


def _ranked(cases: list[Case], planes: bool, reporter: Reporter) -> dict[tuple[str, int], list[int]]:
    """The labeled slices by case and axis, the most representative first."""
    from .suggest import SuggestSettings, ranked  # here: PyTorch takes seconds, and few schemes need it

    return ranked(cases, SuggestSettings(planes=planes), reporter)


def keep_labels(cases: Sequence[Case], labeled: str, others: str, seed: int) -> list[Case]:
    """The cases of which only ``labeled`` keep their label: a number, or a share as "20%"; all if it is empty.

    They are drawn at random from those that have one. The ``others`` stay "unlabeled", or are "left out". Raises
    InputError ("bad_slices", "too_few_cases").
    """
    check_labeled(labeled, others)
    if not labeled.strip():
        return list(cases)
    names = sorted(case.name for case in cases if case.label is not None)
    count = _amount(labeled, len(names))
    if count > len(names):
        raise InputError(
            "too_few_cases",
            f"{count} cases cannot keep their label: {len(names)} have one.",
            "Keep fewer, or take more cases.",
        )
    kept = set(Random(f"labeled {seed}").sample(names, count))
    if others == LEFT_OUT:
        return [case for case in cases if case.name in kept]
    return [
        case if case.name in kept else Case(case.name, case.image, axis=case.axis, group=case.group) for case in cases
    ]


def check_labeled(labeled: str, others: str) -> None:
    """Raises InputError ("bad_slices") for what ``keep_labels`` does not understand."""
    try:
        if labeled.strip():
            _amount(labeled, 100)
    except (ValueError, ZeroDivisionError) as error:
        message = f"The number of labeled cases {labeled!r} cannot be understood."
        raise InputError("bad_slices", message, 'Write a number as "6", or a share as "20%".') from error
    if others not in (UNLABELED, LEFT_OUT):
        message = f"The other cases cannot be {others!r}."
        raise InputError("bad_slices", message, f'Write "{UNLABELED}" or "{LEFT_OUT}".')


def check_slices(text: str, planes: bool = False) -> None:
    """Raises InputError ("bad_slices") for what ``choose_slices`` does not understand, and for all of three planes."""
    if planes and text.strip() == "all":
        message = "All slices are already the whole label: there is nothing to choose along the other axes."
        raise InputError("bad_slices", message, 'Write other slices, such as "every:15", or leave planes out.')
    choose_slices(text, 100, tuple(range(100)), Random(0), list(range(100)))


def choose_slices(
    text: str, count: int, drawn: tuple[int, ...], random: Random, ranked: Sequence[int] = ()
) -> list[int]:
    """The slice numbers that ``text`` names in a volume of ``count``, ``drawn`` ones being those with a label.

    Of the whole volume: "central" (number n // 2), fractions as "1/3,2/3" (number round(f (n - 1))), slice numbers. Of
    the structure: "all", "evenly:5" (the middle slices of so many equal parts), "every:4" (every fourth),
    "consecutive:20%" or "consecutive:6" (neighbors around a slice that is drawn at ``random``, inside the structure, as
    in specktor2023), and "suggested:20%" or "suggested:6" (the first of the ``ranked`` ones, the most representative as
    in zheng2020). Raises InputError ("bad_slices").
    """
    word, _, amount = text.strip().partition(":")
    try:
        if word in ("central", "all") and not amount:
            return [count // 2] if word == "central" else list(drawn)
        if word == "evenly":
            return _evenly(int(amount), drawn)
        if word == "every":
            return _every(int(amount), drawn)
        if word == "consecutive":
            return _consecutive(_amount(amount, len(drawn)), drawn, random)
        if word == "suggested":
            return sorted(ranked[: _amount(amount, len(drawn))])
        return sorted({_slice_number(part.strip(), count) for part in text.split(",")})
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            "bad_slices",
            f"The slices {text!r} cannot be understood.",
            'Write "central", "all", "evenly:5", "every:4", "consecutive:20%", "suggested:20%", fractions as '
            '"1/3,2/3", or slice numbers as "20,44", counted from 0.',
        ) from error


def _amount(text: str, total: int) -> int:
    """The number that ``text`` says, "6", or its share of ``total``, "20%", at least 1."""
    text = text.strip()
    share = Fraction(text.removesuffix("%"))
    whole = 100 if text.endswith("%") else share.denominator
    if share <= 0 or share > 100 == whole or whole not in (1, 100):
        raise ValueError(text)
    return max(1, round(share * total / 100)) if whole == 100 else int(share)


def _every(step: int, drawn: tuple[int, ...]) -> list[int]:
    """Every ``step``-th of ``drawn``, from half a step on; the middle one if there are fewer."""
    if step < 1:
        raise ValueError(step)
    return list(drawn[min(step, len(drawn)) // 2 :: step])


def _consecutive(count: int, drawn: tuple[int, ...], random: Random) -> list[int]:
    """``count`` neighbors among ``drawn`` around a random one, moved inwards where they would reach over its ends."""
    count = min(count, len(drawn))
    start = random.randrange(len(drawn)) - count // 2
    start = min(max(0, start), len(drawn) - count)
    return list(drawn[start : start + count])


def _evenly(parts: int, drawn: tuple[int, ...]) -> list[int]:
    """The middle ones of ``parts`` equal parts of ``drawn``; all of them if they are fewer."""
    if parts < 1:
        raise ValueError(parts)
    parts = min(parts, len(drawn))
    return sorted({drawn[int((part + 0.5) * len(drawn) / parts)] for part in range(parts)})


def _slice_number(part: str, count: int) -> int:
    if part.isdigit():
        return int(part)
    fraction = Fraction(part)
    if not 0 <= fraction <= 1:
        raise ValueError(part)
    return round(fraction * (count - 1))


def _sparse_case(
    case: Case, out: Path, slices: str, extents: bool, planes: bool, seed: int, ranked: dict[tuple[str, int], list[int]]
) -> Case:
    if case.label is None:
        raise InputError("no_label", f"Case {case.name} has no label.", "Give its label in cohort.csv.")
    geometry = read_geometry(case.image, case.name)
    axis = slice_axis(geometry, case.axis)
    dense, drawn = read_drawn_slices(replace(case, other_slices=()), geometry, axis)
    ends = {"first_slice": drawn[0], "last_slice": drawn[-1]} if extents else {}
    if slices.strip() == "all":  # a dense label stays one: nothing says that other slices are unknown
        return replace(case, **ends)
    if planes and case.annotated_slices is not None:
        raise InputError(
            "sparse_label",
            f"Case {case.name} lists annotated slices: across the other axes its label is not whole.",
            "Give a label of all slices and leave annotated_slices empty in cohort.csv, or leave planes out.",
        )
    label, kept = np.zeros_like(dense), {}
    for dimension, along in enumerate(slice_axes(axis) if planes else (axis,)):
        whole = np.moveaxis(dense, dimension, 0)
        random = Random(f"{seed} {case.name}" + dimension * f" axis {along}")
        kept[along] = _kept(case, along, whole, slices, random, ranked.get((case.name, along), []))
        np.moveaxis(label, dimension, 0)[list(kept[along])] = whole[list(kept[along])]
    path = label_path(out, case)
    write_label(path, from_slices(label, axis), geometry)
    others = tuple((along, index) for along in sorted(kept) if along != axis for index in kept[along])
    return replace(case, label=path, annotated_slices=kept[axis], axis=axis, other_slices=others, **ends)


def _kept(
    case: Case, axis: int, dense: np.ndarray, slices: str, random: Random, ranked: Sequence[int]
) -> tuple[int, ...]:
    """Those of the chosen ``slices`` along ``axis`` that show something of ``dense``, a label cut along it."""
    drawn = tuple(int(index) for index in np.flatnonzero(dense.any((1, 2))))
    wanted = choose_slices(slices, len(dense), drawn, random, ranked)
    kept = tuple(index for index in wanted if index in drawn)
    if not kept:
        raise InputError(
            "empty_label",
            f"Case {case.name}: the label is empty on slice {', '.join(map(str, wanted))} along axis {axis}.",
            f"Choose slices among {drawn[0]} to {drawn[-1]}.",
        )
    return kept
