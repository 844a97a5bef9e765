"""Settings from JSON: what is accepted, what is refused, and that they survive the way there and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantoms import refusal

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.evaluate import EvaluateSettings
from sparseseg_trainer.export import ExportSettings
from sparseseg_trainer.propagate import PropagateSettings
from sparseseg_trainer.segment import SegmentSettings
from sparseseg_trainer.settings import from_dict, to_dict
from sparseseg_trainer.suggest import SuggestSettings
from sparseseg_trainer.training.settings import TrainSettings, Volumetric


@dataclass(frozen=True)
class Inner:
    weights: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Example:
    quality: Literal["refined", "instant"] = "refined"
    seed: int = 0
    rate: float = 0.1
    flips: bool = True
    note: str = ""
    limit: int | None = None
    pair: tuple[int, int] = (1, 2)
    inner: Inner = Inner()


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Example,
        quality=st.sampled_from(["refined", "instant"]),
        seed=st.integers(),
        rate=numbers,
        flips=st.booleans(),
        note=st.text(),
        limit=st.none() | st.integers(),
        pair=st.tuples(st.integers(), st.integers()),
        inner=st.builds(Inner, st.lists(numbers).map(tuple)),
    )
)
def test_settings_survive_json(settings):
    assert from_dict(Example, json.loads(json.dumps(to_dict(settings)))) == settings


def test_settings_that_are_not_given_keep_their_defaults():
    assert from_dict(Example, {"seed": 3}) == Example(seed=3)


def test_a_whole_number_is_taken_where_a_number_is_asked_for():
    rate = from_dict(Example, {"rate": 2}).rate
    assert rate == 2.0
    assert isinstance(rate, float)


def test_an_unknown_setting_is_named_with_the_nearest_known_one():
    with pytest.raises(InputError, match=r"'sed'.*'seed'") as caught:
        from_dict(Example, {"sed": 3})
    assert caught.value.code == "unknown_setting"


@pytest.mark.parametrize(
    "values",
    [
        {"quality": "best"},
        {"seed": "3"},
        {"seed": 1.5},
        {"seed": True},
        {"seed": None},
        {"rate": "fast"},
        {"rate": float("nan")},
        {"flips": 1},
        {"note": 4},
        {"limit": "none"},
        {"pair": [1]},
        {"pair": 1},
        {"inner": {"weights": ["a"]}},
        {"inner": 4},
    ],
)
def test_a_value_of_the_wrong_type_is_refused(values):
    with pytest.raises(InputError) as caught:
        from_dict(Example, values)
    assert caught.value.code == "bad_setting"


@pytest.mark.parametrize(
    ("settings", "wrong", "name"),
    [
        (TrainSettings, {"preset": "slow"}, "preset"),
        (TrainSettings, {"method": "x"}, "method"),
        (TrainSettings, {"fusion": "x"}, "fusion"),
        (TrainSettings, {"volumetric": Volumetric(patch=(1, 2))}, "patch"),
        (PropagateSettings, {"quality": "x"}, "quality"),
        (SegmentSettings, {"smoothing": "much"}, "smoothing"),
        (EvaluateSettings, {"pictures": "none"}, "pictures"),
        (ExportSettings, {"algorithm": "x"}, "algorithm"),
        (SuggestSettings, {"budget": "ten"}, "budget"),
    ],
)
def test_a_wrong_value_is_refused_from_python_as_it_is_from_json(settings, wrong, name):
    error = refusal(lambda: settings(**wrong))
    assert error.code == "bad_setting" and f"'{name}'" in error.message


def test_a_change_to_a_wrong_value_is_refused_too():
    error = refusal(lambda: replace(PropagateSettings(), quality="x"))
    assert "instant" in error.advice and "refined" in error.advice


def test_lists_and_names_with_values_are_taken_from_python_as_they_are_from_json():
    settings = TrainSettings(semi_scales=[1.0, 0.5], volumetric={"patch": [8, 16, 16]}, alpha_f=3)
    assert settings.semi_scales == (1.0, 0.5) and settings.volumetric == Volumetric(patch=(8, 16, 16))
    assert type(settings.alpha_f) is int


def test_settings_that_are_not_names_with_values_are_refused():
    with pytest.raises(InputError):
        from_dict(Example, ["seed"])
