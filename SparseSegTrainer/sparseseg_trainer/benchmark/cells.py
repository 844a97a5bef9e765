"""The cells of a benchmark: one training and what it is measured on, with the folder that its results are in."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..case import Case
from ..errors import InputError
from ..settings import from_dict
from ..training.resolving import described, resolve
from ..training.settings import TrainSettings
from .plan import DataSet, Method, Plan, Scheme


@dataclass(frozen=True)
class Fold:
    """One round: the names of the cases that are learned from and of those that are measured."""

    name: str
    training: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A (data set, fold, scheme, method, seed). ``settings`` are those of ``train``; ``key`` changes with all of it."""

    data: DataSet
    fold: Fold
    scheme: Scheme
    method: Method
    row: str  # name of the row of the tables that it belongs to
    seed: int
    settings: dict
    key: str

    @property
    def name(self) -> str:
        return f"{self.data.name}, {self.fold.name}, {self.row}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """The job folder, whose ``result.json`` says that the cell is done."""
        return out / "cells" / slug(self.data.name, self.fold.name, self.row, f"seed {self.seed}", self.key)

    def is_done(self, out: Path) -> bool:
        return (self.folder(out) / "result.json").is_file()


def slug(*parts: str) -> str:
    """A name for a file, of letters, digits, '.', '-' and '_'."""
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", part).strip("._") or "_" for part in parts)


def told_apart(names: Iterable[str]) -> list[str]:
    """The ``names`` of files, further ones of a name with a number; some disks do not tell capitals."""
    counts, result = Counter(), []
    for name in names:
        counts[name.lower()] += 1
        number = counts[name.lower()]
        result.append(f"{name}-{number}" if number > 1 else name)
    return result


def digest(value) -> str:
    """Eight characters that change with ``value``, of JSON's types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def chosen_cases(data: DataSet, cases: list[Case]) -> list[Case]:
    """The cases of the data set that take part, in the order of their names."""
    cases = sorted(cases, key=lambda case: case.name)
    count = min(data.cases or len(cases), len(cases))
    return [cases[index * len(cases) // count] for index in range(count)]


def folds(data: DataSet, cases: list[Case]) -> list[Fold]:
    """The rounds of the data set; ``cases`` are those that take part, sorted. Raises InputError ("bad_split")."""
    names = [case.name for case in cases]
    if data.split == "groups":
        groups = sorted({case.group for case in cases})
        tests = {group or "no group": [case.name for case in cases if case.group == group] for group in groups}
    elif data.split == "held_out":
        tests = {f"every {data.parts}. held out": names[:: data.parts]}
    else:
        tests = {f"fold {part + 1} of {data.parts}": names[part :: data.parts] for part in range(data.parts)}
    rounds = [
        Fold(name, tuple(other for other in names if other not in set(test)), tuple(test))
        for name, test in tests.items()
    ]
    if not all(fold.training and fold.test for fold in rounds):
        raise InputError(
            "bad_split",
            f"The data set {data.name} with its {len(cases)} cases leaves a part without cases, split as {data.split}.",
            "Take fewer parts, another split, or a cohort with more cases or groups.",
        )
    return rounds


def cells_of(plan: Plan, data: DataSet, cases: list[Case], fingerprint: str) -> list[Cell]:
    """The cells of a data set, fold by fold. ``fingerprint`` stands for the content of its files."""
    cells = []
    for fold in folds(data, cases):
        for seed in plan.seeds:
            for method in plan.methods:
                settings = plan.settings_for(method, seed)
                resolved = described(resolve(from_dict(TrainSettings, settings)))
                for scheme in (scheme.of(seed) for scheme in plan.schemes_of(method)):
                    key = digest([fingerprint, fold.training, fold.test, scheme.drawn, resolved])
                    row = plan.row_name(method, scheme)
                    cells.append(Cell(data, fold, scheme, method, row, seed, settings, key))
    return cells
