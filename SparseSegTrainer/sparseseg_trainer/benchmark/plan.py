"""What a benchmark compares: the plan, a TOML file, read and checked before anything runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..scores import ALL_METRICS
from ..settings import from_dict
from ..sparsify import UNLABELED, check_labeled, check_slices
from ..training.keys import Method as Key
from ..training.resolving import resolve
from ..training.settings import TrainSettings

DENSE = "dense"  # the scheme, always known, that keeps every drawn slice


@dataclass(frozen=True)
class DataSet:
    """A cohort with dense labels, and how it is split.

    ``folds``: every case is tested once, in ``parts`` rounds; ``groups``: a round for every group; ``held_out``: one
    round that tests every ``parts``-th case. ``cases`` takes so many of them only, evenly from the sorted names.
    """

    name: str = ""
    cohort: str = ""  # folder, relative to the plan's ``folder``
    split: Literal["folds", "groups", "held_out"] = "folds"
    parts: int = 5
    cases: int = 0  # 0 = all


@dataclass(frozen=True)
class Scheme:
    """What is drawn of the training cases, as ``sparsify`` takes it.

    Of a fold's training cases ``labeled`` keep their label. What is random is drawn anew for every seed of the plan.
    """

    name: str = ""
    slices: str = "central"
    extents: bool = False
    labeled: str = ""
    others: str = UNLABELED
    planes: bool = False
    seed: int = 0  # that of the cell

    def of(self, seed: int) -> Scheme:
        """The scheme in a cell with this seed; one without anything random is the same in all."""
        random = self.labeled or self.slices.strip().startswith("consecutive:")
        return replace(self, seed=seed if random else 0)

    @property
    def drawn(self) -> list:
        """What a cohort that is made with it depends on, in JSON's types."""
        random = [self.labeled, self.others, self.seed]
        planes = ["planes"] if self.planes else []
        return [self.name, self.slices, self.extents, *(random if random != ["", UNLABELED, 0] else []), *planes]


@dataclass(frozen=True)
class Method:
    """A method of training with its settings, once for each of its ``schemes`` (empty: the plan's first)."""

    name: str = ""
    method: Key = "collaborative"
    schemes: tuple[str, ...] = ()
    settings: dict | None = None


@dataclass(frozen=True)
class TablePlan:
    """A table a data set: ``methods`` in this order (empty: all), tested against the method ``compare``.

    ``per_label``: where there are several labels, columns of each before those of all together.
    """

    title: str = ""
    methods: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("iou", "dice", "assd", "ravd")
    compare: str = ""  # empty: the plan's
    per_label: bool = False


@dataclass(frozen=True)
class FigurePlan:
    """A figure a data set, of ``methods`` (empty: all).

    ``slices``: outlines of predictions and reference; ``positions``: Dice along the structure; ``pseudo_labels``:
    certain and uncertain labels; ``curve``: ``metric`` over the numbers that the methods give to ``setting``; ``bars``:
    ``metric`` with its spread.
    """

    kind: Literal["slices", "positions", "pseudo_labels", "curve", "bars"] = "slices"
    title: str = ""
    methods: tuple[str, ...] = ()
    metric: str = "dice"
    setting: str = ""


@dataclass(frozen=True)
class Plan:
    """Every data set x part of its split x method x scheme x seed is a cell. ``settings``: of ``train``, for all."""

    title: str = ""
    folder: str = "."  # of the data sets' cohorts, relative to the plan
    preset: str = "balanced"
    seeds: tuple[int, ...] = (0,)
    settings: dict | None = None
    compare: str = ""  # the method that the others are tested against; empty: none
    data: tuple[DataSet, ...] = ()
    schemes: tuple[Scheme, ...] = (Scheme("central slice"),)
    methods: tuple[Method, ...] = ()
    tables: tuple[TablePlan, ...] = (TablePlan(),)
    figures: tuple[FigurePlan, ...] = (FigurePlan(), FigurePlan("positions"), FigurePlan("pseudo_labels"))

    def schemes_of(self, method: Method) -> list[Scheme]:
        """What the method is trained on: ``full`` on dense labels, always."""
        if method.method == "full":
            return [Scheme(DENSE)]
        known = {scheme.name: scheme for scheme in self.schemes} | {DENSE: Scheme(DENSE)}
        return [known[name] for name in method.schemes or [self.schemes[0].name]]

    def row_name(self, method: Method, scheme: Scheme) -> str:
        """The method's name; with that of the scheme where it has several."""
        return f"{method.name}, {scheme.name}" if len(self.schemes_of(method)) > 1 else method.name

    def row_names(self, methods: Iterable[str] = ()) -> list[str]:
        """The names of the rows of ``methods`` (all of them if empty), in that order."""
        named = {method.name: method for method in self.methods}
        chosen = [named[name] for name in methods] or self.methods
        return [self.row_name(method, scheme) for method in chosen for scheme in self.schemes_of(method)]

    def settings_for(self, method: Method, seed: int) -> dict:
        """The settings of ``train``, as JSON has them. Where it runs is not among them: a cell may move."""
        common = {"preset": self.preset} | (self.settings or {})
        return common | (method.settings or {}) | {"method": method.method, "seed": seed}


def read_plan(path: Path, data_folder: Path | None = None) -> Plan:
    """The plan in ``path``; its ``folder`` is absolute then, that of the plan or ``data_folder``.

    Raises InputError ("no_plan", "bad_plan" and those of the settings) beginning with the file's name.
    """
    path = Path(path)
    try:
        plan = from_dict(Plan, tomllib.loads(path.read_text(encoding="utf-8")))
        _check(plan)
    except OSError as error:
        message = f"The plan {path} cannot be read: {error.strerror}."
        raise InputError("no_plan", message, "Give the path of a plan, a TOML file.") from error
    except ValueError as error:  # of TOML or UTF-8
        raise InputError("bad_plan", f"{path.name} is not valid TOML: {error}.", "Correct the plan.") from error
    except InputError as error:
        raise InputError(error.code, f"{path.name}: {error.message}", error.advice) from error
    folder = Path(data_folder) if data_folder else path.parent / plan.folder
    return replace(plan, folder=str(folder.absolute()))


def _check(plan: Plan) -> None:
    """Finds what would stop the benchmark hours later. Raises InputError."""
    for kind, things in (("data", plan.data), ("methods", plan.methods), ("schemes", plan.schemes)):
        names = [thing.name for thing in things]
        if not names or not all(names) or len(set(names)) < len(names):
            raise _bad(
                f"[[{kind}]] is missing, or its names are missing or used twice.", "Give each a name of its own."
            )
    if not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise _bad("The seeds are missing or repeated.", "Write seeds = [0, 1, 2], or leave them out.")
    for scheme in plan.schemes:
        check_slices(scheme.slices, scheme.planes)
        check_labeled(scheme.labeled, scheme.others)
    for data in plan.data:
        if data.parts < 2 or data.cases < 0:
            raise _bad(f"The data set {data.name} has parts {data.parts}, cases {data.cases}.", "Take 2 parts or more.")
    for method in plan.methods:
        _check_names("scheme", method.schemes, [DENSE, *(scheme.name for scheme in plan.schemes)])
        resolve(from_dict(TrainSettings, plan.settings_for(method, 0)))
    methods = [method.name for method in plan.methods]
    for shown in (*plan.tables, *plan.figures):
        _check_names("method", shown.methods, methods)
        _check_names("metric", shown.metrics if isinstance(shown, TablePlan) else [shown.metric], ALL_METRICS)
    compared = {plan.compare, *(table.compare for table in plan.tables)} - {""}
    _check_names("row to compare with", compared, plan.row_names())


def _check_names(kind: str, used: Iterable[str], known: Iterable[str]) -> None:
    for name in used:
        if name not in known:
            raise _bad(f"There is no {kind} '{name}'.", f"There are: {', '.join(known)}.")


def _bad(message: str, advice: str) -> InputError:
    return InputError("bad_plan", message, advice)
