"""Settings from JSON: what is accepted, what is refused, and that they survive the way there and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.settings import from_dict, to_dict


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


def test_settings_that_are_not_names_with_values_are_refused():
    with pytest.raises(InputError):
        from_dict(Example, ["seed"])
