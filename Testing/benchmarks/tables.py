"""The tables of docs/benchmarks.md, from the results in build/bench: ``python Testing/benchmarks/tables.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

METHOD_ORDER = ("copy", "farneback", "demons", "instant", "refined", "together")


def runs(path: Path) -> list[dict]:
    """The results that a benchmark has appended to its file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def print_tables(folder: Path) -> None:
    """Prints a Markdown table for each kind of benchmark."""
    for run in runs(folder / "propagation.jsonl"):
        split = "development" if run["development"] else "held out"
        print(f"\nPropagation, {run['data']}, {run['cases']} cases ({split}), {run['threads']} threads\n")
        print("| | Dice, nothing else known | Dice, ends clicked | seconds a volume (median) |\n|---|---|---|---|")
        summary = run["summary"]
        for name in (name for name in METHOD_ORDER if name in summary):
            whole, ends = summary[name], summary[name + " ends"]
            dice = f"{whole['dice']:.3f} ± {whole['sd']:.3f} | {ends['dice']:.3f} ± {ends['sd']:.3f}"
            print(f"| {name} | {dice} | {whole['seconds']:.1f} |")
    trainings = runs(folder / "training.jsonl")
    if trainings:
        print("\nTraining\n")
        print("| data | held out | method | preset | absence | seed | Dice | training s | threads | peak MB |")
        print("|" + "---|" * 10)
    for run in sorted(trainings, key=lambda run: (run["data"], run["preset"], run["method"], run["seed"])):
        columns = [
            run["data"],
            run["held_out"],
            run["method"],
            run["preset"],
            run.get("absence", "preset"),
            run["seed"],
        ]
        figures = [f"{run['dice']:.3f} ± {run['dice_sd']:.3f}", run["seconds"], run["threads"], run["peak_mb"]]
        print("| " + " | ".join(map(str, columns + figures)) + " |")
    for run in runs(folder / "segment.jsonl"):
        print(f"\nSegment, one {run['data']} volume, start-up included: {run['seconds']} s, peak {run['peak_mb']} MB")


if __name__ == "__main__":
    print_tables(Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench"))
