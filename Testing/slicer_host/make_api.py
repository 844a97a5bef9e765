"""Writes api.json: what Python sees of each of Slicer's Qt classes that the host has, from shared/slicer-api.json.

Run it after adding a class to the host: ``.venv/bin/python Testing/slicer_host/make_api.py``.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

HERE = Path(__file__).parent / "slicer_host"
SOURCE = HERE.parents[3] / "shared" / "slicer-api.json"
HOST_CLASS = re.compile(r"^class ((?:ctk|qMRML|qSlicer)\w+)\(", re.MULTILINE)


def signatures(signal: dict) -> list[str]:
    """The signal's C++ signatures without names and references: one, and one less for each default value."""
    arguments = [argument.strip() for argument in signal["args"].split(",") if argument.strip()]
    types = [plainType(argument.split("=")[0]) for argument in arguments]
    optional = sum("=" in argument for argument in arguments)
    return [f"{signal['name']}({','.join(types[: len(types) - n])})" for n in range(optional + 1)]


def plainType(argument: str) -> str:
    """``const QString& path`` and ``QString`` become ``QString``; ``vtkMRMLNode* node`` becomes ``vtkMRMLNode*``."""
    words = argument.replace("const ", "").replace("&", " ").replace("*", "* ").replace(" *", "*").split()
    return words[0] if words else ""


def entry(described: dict) -> dict:
    """The part of a class's description that the host needs."""
    properties = described["properties"].items()
    return {
        "bases": described["bases"],
        "properties": [name for name, p in properties if p["writable"]],
        "readOnly": [name for name, p in properties if not p["writable"]],
        "signals": sorted({text for signal in described["signals"] for text in signatures(signal)}),
        "methods": sorted({method["name"] for method in described["slots"] + described["invokables"]}),
    }


def table() -> str:
    """The text of api.json."""
    everything = json.loads(SOURCE.read_text())
    wanted = [name for path in sorted(HERE.glob("*.py")) for name in HOST_CLASS.findall(path.read_text())]
    table = {}
    while wanted:
        name = wanted.pop()
        if name in everything and name not in table:
            table[name] = entry(everything[name])
            wanted += table[name]["bases"]
    for name in (name for name in everything if name.endswith("PythonQtDecorators")):
        for method in everything[name]["slots"]:
            className = plainType(method["args"] or " ").rstrip("*")
            if className in table:
                table[className]["methods"].append(method["name"])
    # qSlicerApplication's macros are not all listed; what Slicer's own slicer.util calls exists.
    used = set(re.findall(r"\bapp\.(\w+)\(", Path(importlib.util.find_spec("slicer.util").origin).read_text()))
    if "qSlicerCoreApplication" in table:
        table["qSlicerCoreApplication"]["methods"] = sorted({*table["qSlicerCoreApplication"]["methods"], *used})
    lines = [f"{json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    (HERE / "api.json").write_text(table())
