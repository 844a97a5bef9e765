"""Dense cohorts made sparse, for experiments: all but a few drawn slices of every label are forgotten."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from .case import refuse_same_folder
from .case_loop import run_cases, summary_of
from .cohort import read_cohort, write_cohort
from .errors import InputError
from .reporting import Reporter
from .slices import from_slices, slice_axis
from .sparse_volume import read_drawn_slices
from .volumes import read_geometry, write_label


def sparsify(
    cohort_folder: Path,
    out: Path,
    slices: str = "central",
    extents: bool = False,
    reporter: Reporter | None = None,
) -> dict:
    """Writes a cohort into ``out`` whose labels keep only ``slices`` of those in ``cohort_folder``.

    ``slices`` is "central" (index n // 2), fractions as "1/3,2/3" (index round(f (n - 1))), slice numbers, or
    "evenly:5" (the middle slices of so many equal parts of the structure). Of several slices, those without a label
    are left out. With ``extents`` the first and last labeled slice are marked too. Images stay where they are.
    Returns {"cases": count, "failed": [...]}. Raises InputError ("bad_slices" and those of ``read_cohort``).
    """
    choose_slices(slices, 100, tuple(range(100)))  # a mistake in ``slices`` is the caller's, not each case's
    out = Path(out)
    cohort = read_cohort(cohort_folder)
    refuse_same_folder(cohort.folder, out)
    failed = list(cohort.failed)
    work = partial(_sparse_case, out=out, slices=slices, extents=extents)
    sparse = run_cases(cohort.cases, failed, work, "sparsify", reporter or Reporter())
    write_cohort(out, sparse, cohort.labels)
    return summary_of(len(sparse), failed)


def choose_slices(text: str, count: int, drawn: tuple[int, ...]) -> list[int]:
    """The slice numbers that ``text`` names in a volume of ``count``, ``drawn`` ones among them.

    Raises InputError ("bad_slices").
    """
    if text.strip() == "central":
        return [count // 2]
    try:
        if text.strip().startswith("evenly:"):
            return _evenly(int(text.partition(":")[2]), drawn)
        return sorted({_slice_number(part.strip(), count) for part in text.split(",")})
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            "bad_slices",
            f"The slices {text!r} cannot be understood.",
            'Write "central", "evenly:5", fractions as "1/3,2/3", or slice numbers as "20,44", counted from 0.',
        ) from error


def _evenly(parts: int, drawn: tuple[int, ...]) -> list[int]:
    """The middle ones of ``parts`` equal parts of ``drawn``; all of them if they are fewer."""
    if parts < 1:
        raise ValueError(parts)
    return sorted({drawn[int((part + 0.5) * len(drawn) / parts)] for part in range(parts)})


def _slice_number(part: str, count: int) -> int:
    if part.isdigit():
        return int(part)
    fraction = Fraction(part)
    if not 0 <= fraction <= 1:
        raise ValueError(part)
    return round(fraction * (count - 1))


def _sparse_case(case, out: Path, slices: str, extents: bool):
    if case.label is None:
        raise InputError("no_label", f"Case {case.name} has no label.", "Give its label in cohort.csv.")
    geometry = read_geometry(case.image, case.name)
    axis = slice_axis(geometry) if case.axis is None else case.axis
    dense, drawn = read_drawn_slices(case, geometry, axis)
    wanted = choose_slices(slices, len(dense), drawn)
    kept = tuple(index for index in wanted if index in drawn)
    if not kept:
        raise InputError(
            "empty_label",
            f"Case {case.name}: the label is empty on slice {', '.join(map(str, wanted))}.",
            f"Choose slices among {drawn[0]} to {drawn[-1]}.",
        )
    label = np.zeros_like(dense)
    label[list(kept)] = dense[list(kept)]
    path = out / "labels" / f"{case.name}.nrrd"
    write_label(path, from_slices(label, axis), geometry)
    ends = {"first_slice": drawn[0], "last_slice": drawn[-1]} if extents else {}
    return replace(case, label=path, annotated_slices=kept, axis=axis, **ends)
