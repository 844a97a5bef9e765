"""Typed settings: dataclasses made from JSON values, with every name, type and choice checked."""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing

from .errors import InputError

EXPECTED = {bool: "true or false", int: "a whole number", str: "a text", dict: "names with values"}


class CheckedSettings:
    """What the settings of a job are: a dataclass that refuses wrong values when it is made, from Python too.

    Raises ``InputError``.
    """

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            converted = _converted(field.name, value, hints[field.name])
            if converted != value:  # a list, say; 3 stays 3 where 3.0 is asked for: benchmarks name trainings by it
                object.__setattr__(self, field.name, converted)


def from_dict(cls: type, values: dict):
    """Instance of the dataclass ``cls`` with ``values`` in place of its defaults.

    Fields may be bool, int, float, str, dict (unchecked), ``Literal``, ``tuple``, optional, or further dataclasses.
    Raises ``InputError`` for a name that ``cls`` does not have and for a value of another type.
    """
    if not isinstance(values, dict):
        raise _bad_value("settings", values, "names with values")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            advice = f"Did you mean '{near[0]}'?" if near else f"Known settings: {', '.join(names)}."
            raise InputError("unknown_setting", f"There is no setting '{name}'.", advice)
    return cls(**{name: _converted(name, value, hints[name]) for name, value in values.items()})


def to_dict(settings) -> dict:
    """The settings as JSON values, to be read again by ``from_dict``."""
    return dataclasses.asdict(settings)


def _converted(name: str, value, hint):
    """``value`` from JSON as ``hint`` says; raises ``InputError``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        [kind] = [argument for argument in arguments if argument is not type(None)]
        return _converted(name, value, kind)
    if origin is typing.Literal:
        if value not in arguments:
            raise _bad_value(name, value, "one of " + ", ".join(map(str, arguments)))
        return value
    if origin is tuple:
        return _converted_tuple(name, value, arguments)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, to_dict(value) if isinstance(value, hint) else value)
    if hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
            return float(value)
        raise _bad_value(name, value, "a number")
    # bool is a subclass of int, so compare types instead of using isinstance
    if type(value) is not hint:
        raise _bad_value(name, value, EXPECTED[hint])
    return value


def _converted_tuple(name: str, value, arguments: tuple) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise _bad_value(name, value, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise _bad_value(name, value, f"a list of {len(arguments)} values")
    return tuple(_converted(name, item, hint) for item, hint in zip(value, arguments, strict=True))


def _bad_value(name: str, value, expected: str) -> InputError:
    return InputError("bad_setting", f"The setting '{name}' is {value!r}.", f"It has to be {expected}.")
