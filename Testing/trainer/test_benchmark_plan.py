"""A benchmark's plan and its cells: what is refused, how cases are split, when a cell is another one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from phantoms import refusal

from sparseseg_trainer.benchmark.cells import cells_of, chosen_cases, folds
from sparseseg_trainer.benchmark.cohorts import DataFolder
from sparseseg_trainer.benchmark.plan import DENSE, DataSet, Plan, Scheme, read_plan
from sparseseg_trainer.case import Case
from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.volumes import read_geometry, read_label, write_label

PLANS = Path(__file__).parents[1] / "benchmarks/plans"
SMALL = """
folder = "{folder}"
[[data]]
name = "phantoms"
cohort = "dense"
split = "held_out"
parts = 3
[[schemes]]
name = "central"
[[schemes]]
name = "ends too"
extents = true
[[methods]]
name = "FS-LCS"
method = "central_only"
schemes = ["central", "ends too"]
[[methods]]
name = "FS"
method = "full"
"""


def cases(*groups):
    return [Case(f"case{number}", Path("image"), group=group) for number, group in enumerate(groups)]


def written(folder, text=SMALL, **replaced):
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "plan.toml").write_text(text.replace("{folder}", str(folder)))
    return folder / "plan.toml"


def test_a_plan_names_its_rows_after_methods_and_after_schemes_where_a_method_has_several(tmp_path):
    plan = read_plan(written(tmp_path))
    assert plan.row_names() == ["FS-LCS, central", "FS-LCS, ends too", "FS"]
    assert plan.row_names(["FS"]) == ["FS"]
    assert plan.schemes_of(plan.methods[1]) == [Scheme(DENSE)]
    assert read_plan(written(tmp_path), Path("elsewhere")).folder == str(Path("elsewhere").absolute())


@pytest.mark.parametrize(
    ("change", "message", "advice"),
    [
        ({"central_only": "central"}, "plan.toml: The setting 'method' is 'central'.", "It has to be one of"),
        (
            {'"central", "ends': '"centre", "ends'},
            "plan.toml: There is no scheme 'centre'.",
            "There are: dense, central",
        ),
        ({"[[data]]": "compare = 'FS'\ntypo = 1\n[[data]]"}, "There is no setting 'typo'.", ""),
        ({"[[data]]": "compare = 'FS-LCS'\n[[data]]"}, "There is no row to compare with 'FS-LCS'.", "FS-LCS, central"),
        ({"[[data]]": "settings = {epochs = 0}\n[[data]]"}, "epochs", ""),
        ({"[[data]]": "settings = {hurry = 1}\n[[data]]"}, "There is no setting 'hurry'.", "Known settings: method"),
        ({'name = "FS"\n': 'name = "FS-LCS"\n'}, "[[methods]] is missing, or its names are", "name of its own"),
        ({"extents = true": "slices = 'middle'"}, "The slices 'middle' cannot be understood.", "evenly:5"),
        ({"extents = true": "labeled = 'few'"}, "The number of labeled cases 'few' cannot be understood.", "20%"),
        ({"parts = 3": "parts = 1"}, "The data set phantoms has parts 1", "2 parts"),
        ({"[[data]]": "[[data"}, "is not valid TOML", ""),
    ],
)
def test_a_mistake_in_a_plan_is_named_before_anything_runs(tmp_path, change, message, advice):
    error = refusal(read_plan, written(tmp_path, **change))
    assert message in error.message
    assert advice in error.advice


def test_a_plan_that_is_not_there_is_named(tmp_path):
    assert "none.toml cannot be read" in refusal(read_plan, tmp_path / "none.toml").message


def test_every_case_is_tested_once_in_folds_and_never_learned_from_in_the_same(tmp_path):
    some = cases(*"abcabca")
    parts = folds(DataSet("d", parts=3), some)
    assert sorted(name for fold in parts for name in fold.test) == [case.name for case in some]
    assert [len(fold.test) for fold in parts] == [3, 2, 2]
    for fold in parts:
        assert sorted(fold.training + fold.test) == [case.name for case in some]


def test_a_group_is_left_out_at_a_time_or_every_nth_case(tmp_path):
    some = cases(*"abca")
    by_group = folds(DataSet("d", split="groups"), some)
    assert {fold.name: fold.test for fold in by_group} == {"a": ("case0", "case3"), "b": ("case1",), "c": ("case2",)}
    [held_out] = folds(DataSet("d", split="held_out", parts=3), some)
    assert held_out.test == ("case0", "case3")
    assert refusal(folds, DataSet("d", split="groups"), cases("a", "a")).code == "bad_split"
    assert refusal(folds, DataSet("d", parts=5), some).code == "bad_split"


def test_fewer_cases_are_taken_evenly():
    assert [case.name for case in chosen_cases(DataSet("d", cases=3), cases(*"abcdef"))] == ["case0", "case2", "case4"]
    assert len(chosen_cases(DataSet("d", cases=99), cases(*"ab"))) == 2


def test_a_cell_is_another_one_when_settings_data_or_drawn_slices_change_and_else_the_same(tmp_path):
    def keys(plan: Plan, fingerprint="f", count=4):
        return [
            cell.key
            for cell in cells_of(plan, plan.data[0], cases("a" * count)[:0] or cases(*"a" * count), fingerprint)
        ]

    plan = read_plan(written(tmp_path))
    assert len(set(keys(plan))) == 3
    assert keys(plan) == keys(replace(plan, title="other", compare="FS", folder="moved"))
    for other in (keys(replace(plan, settings={"epochs": 3})), keys(plan, "g"), keys(plan, count=5)):
        assert not set(other) & set(keys(plan))
    redrawn = replace(plan, schemes=(plan.schemes[0], replace(plan.schemes[1], slices="1/3")))
    assert [a == b for a, b in zip(keys(redrawn), keys(plan), strict=True)] == [True, False, True]
    planes = replace(plan, schemes=(replace(plan.schemes[0], planes=True), plan.schemes[1]))
    assert [a == b for a, b in zip(keys(planes), keys(plan), strict=True)] == [False, True, True]


def test_a_fold_learns_from_what_its_scheme_draws_and_is_measured_on_whole_labels(dense_cohort, tmp_path):
    plan = read_plan(written(tmp_path))
    data = DataFolder.of(plan, plan.data[0], tmp_path / "out")
    [fold] = folds(data.data, data.cases)
    central, ends = (read_cohort(data.training(scheme, fold, Reporter())) for scheme in plan.schemes)
    assert [case.name for case in central.cases] == ["case1", "case2"]
    assert [case.annotated_slices for case in central.cases] == [(7,), (7,)]
    drawn = load_case(data.cases[1]).annotated
    assert (ends.cases[0].first_slice, ends.cases[0].last_slice) == (drawn[0], drawn[-1])
    assert load_case(read_cohort(data.training(Scheme(DENSE), fold, Reporter())).cases[0]).annotated == drawn
    test = read_cohort(data.test(fold))
    assert [case.label.resolve() for case in test.cases] == [data.cases[0].label.resolve()]
    assert data.left_out(plan.schemes[0]) == []


def test_a_scheme_of_three_planes_draws_along_all_axes(dense_cohort, tmp_path):
    plan = read_plan(written(tmp_path, **{"extents = true": "slices = 'every:4'\nplanes = true"}))
    data = DataFolder.of(plan, plan.data[0], tmp_path / "out")
    [fold] = folds(data.data, data.cases)
    for case in read_cohort(data.training(plan.schemes[1], fold, Reporter())).cases:
        assert len(case.annotated_slices) == 2 and {axis for axis, _ in case.other_slices} == {0, 1}
    assert (
        "All slices"
        in refusal(read_plan, written(tmp_path, **{"extents = true": "slices = 'all'\nplanes = true"})).message
    )


def test_what_is_random_in_a_scheme_is_drawn_anew_for_every_seed_from_the_cases_that_are_learned_from(
    dense_cohort, tmp_path
):
    text = SMALL.replace("extents = true", 'slices = "consecutive:2"\nlabeled = "1"\nothers = "left out"')
    plan = replace(read_plan(written(tmp_path, text)), seeds=tuple(range(6)))
    data = DataFolder.of(plan, plan.data[0], tmp_path / "out")
    cells = cells_of(plan, plan.data[0], data.cases, data.fingerprint)
    assert len({cell.key for cell in cells}) == 18
    seen = {name: [] for name in plan.row_names()}
    for cell in cells:
        folder = data.training(cell.scheme, cell.fold, Reporter())
        seen[cell.row] += [(case.name, case.annotated_slices) for case in read_cohort(folder).cases]
    assert seen["FS-LCS, central"] == 6 * [("case1", (7,)), ("case2", (7,))]
    random = seen["FS-LCS, ends too"]
    assert len(random) == 6 and {name for name, _ in random} == {"case1", "case2"} and len(set(random)) > 2
    assert len({cell.scheme for cell in cells}) == 1 + 6 + 1  # drawn once where nothing is random


def test_a_scheme_that_draws_nothing_is_refused_and_cases_without_a_label_on_its_slices_are_named(
    dense_cohort, tmp_path
):
    plan = read_plan(written(tmp_path, **{"extents = true": "slices = '0'"}))
    data = DataFolder.of(plan, plan.data[0], tmp_path / "out")
    [fold] = folds(data.data, data.cases)
    for _ in range(2):
        assert (
            "slices '0' of the scheme 'ends too'" in refusal(data.training, plan.schemes[1], fold, Reporter()).message
        )
    geometry = read_geometry(data.cases[0].image)
    label = read_label(data.cases[1].label, geometry)
    label[7] = 0
    write_label(data.cases[1].label, label, geometry)
    data = DataFolder.of(plan, plan.data[0], tmp_path / "out")
    assert [case.name for case in read_cohort(data.training(plan.schemes[0], fold, Reporter())).cases] == ["case2"]
    assert data.left_out(plan.schemes[0]) == ["case1"]


def test_the_plan_of_the_documentation_is_understood(tmp_path):
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text(encoding="utf-8")
    plan = read_plan(written(tmp_path, re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]))
    assert plan.row_names() == ["one slice", "collaborative, central", "collaborative, clicked ends", "all slices"]


@pytest.mark.parametrize("plan", sorted(PLANS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_plan_of_the_repository_fits_the_data_that_it_names(plan, data_dir):
    read = read_plan(plan, data_dir)
    for data in read.data:
        some = chosen_cases(data, read_cohort(Path(read.folder) / data.cohort).cases)
        assert len(cells_of(read, data, some, "")) == len(folds(data, some)) * len(read.row_names()) * len(read.seeds)
