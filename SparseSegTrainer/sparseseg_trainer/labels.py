"""The labels of a cohort: value, name, color and terminology of each class, kept in labels.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import InputError
from .files import write_text

FILE_NAME = "labels.json"
SCHEMA = 1
# Colors that color-blind readers can tell apart (Okabe and Ito 2008), used where the user chose none.
COLORS = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)


@dataclass(frozen=True)
class Label:
    """One class: its ``value`` in label files (1 or more), and how it is shown.

    ``color`` is r, g, b from 0 to 1. ``terminology`` is Slicer's terminology entry as a string,
    empty if none was chosen.
    """

    value: int
    name: str
    color: tuple[float, float, float]
    terminology: str = ""


def default_label(value: int) -> Label:
    """The label that a value gets if nobody named it."""
    return Label(value, f"Label {value}", COLORS[(value - 1) % len(COLORS)])


def read_labels(folder: Path, values: Iterable[int] = ()) -> list[Label]:
    """The labels in ``folder``/labels.json by value, or default ones for ``values`` if it is missing.

    Raises InputError ("bad_labels") if the file is not a list of labels as ``write_labels`` writes it.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        return [default_label(value) for value in sorted(values)]
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        labels = sorted((_label(entry) for entry in content["labels"]), key=lambda label: label.value)
        values = [label.value for label in labels]
        if len(set(values)) < len(values):
            raise ValueError("two labels have the same value")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "bad_labels",
            f"{path} is not a valid list of labels: {error}.",
            'Write it as {"labels": [{"value": 1, "name": "atrium"}]}, or delete it to use the values found.',
        ) from error
    return labels


def _label(entry: dict) -> Label:
    value = entry["value"]
    if type(value) is not int or not 1 <= value <= 65535:
        raise ValueError(f"value {value!r} is not an integer from 1 to 65535")
    default = default_label(value)
    color = tuple(float(part) for part in entry.get("color", default.color))
    if len(color) != 3 or not all(0 <= part <= 1 for part in color):
        raise ValueError(f"the color of value {value} is not three numbers from 0 to 1")
    return Label(value, str(entry.get("name", default.name)), color, str(entry.get("terminology", "")))


def write_labels(folder: Path, labels: Iterable[Label]) -> None:
    """Writes labels.json into ``folder``. Raises InputError ("no_space", "cannot_write")."""
    content = {"schema": SCHEMA, "labels": [asdict(label) for label in labels]}
    write_text(Path(folder) / FILE_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
