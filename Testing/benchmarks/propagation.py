"""Propagation from the central slice beside copying, optical flow and demons: Dice over whole volumes.

    python Testing/benchmarks/propagation.py --data ../shared/data/left_atrium --out build/bench/propagation.jsonl

Reported on ``names[::5]`` of the sorted case names (``--every 1``: all); ``--development`` measures on the others.
The method "together" propagates all cases that are measured as one cohort; its seconds are a case's share.
``--axis`` cuts all volumes along another axis than that of their thickest slices, where structures have other shapes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cases import cases_of, held_out_split, mean_dice
from peers import PEERS

from sparseseg_trainer.cohort import Case, Cohort, read_cohort, write_cohort
from sparseseg_trainer.propagate import PropagateSettings, propagate, propagate_case
from sparseseg_trainer.sparse_volume import SparseVolume, load_case
from sparseseg_trainer.sparsify import sparsify


def central_slice_only(dense: SparseVolume, ends: bool) -> SparseVolume:
    """The volume as its user would give it: the central slice drawn, the two end slices clicked if ``ends``."""
    centre = len(dense.label) // 2
    label = np.zeros_like(dense.label)
    label[centre] = dense.label[centre]
    present = np.flatnonzero(dense.label.any((1, 2)))
    first, last = (int(present[0]), int(present[-1])) if ends else (None, None)
    return SparseVolume(
        dense.case, dense.image, label, (centre,), first, last, dense.axis, dense.geometry, dense.spacing, dense.values
    )


def sparseseg(quality: str):
    """This project's propagation as a function of a sparse volume."""
    return lambda volume: propagate_case(volume, PropagateSettings(quality=quality)).label


METHODS = PEERS | {"instant": sparseseg("instant"), "refined": sparseseg("refined")}


def run(case, methods: list[str]) -> dict | None:
    """Dice and seconds of every method, with and without ends, for one case; None if its central slice is empty."""
    dense = load_case(case)
    if not dense.label[len(dense.label) // 2].any():
        return None
    result = {}
    for ends in (False, True):
        volume = central_slice_only(dense, ends)
        drawn = np.unique(volume.label)[1:]  # a class that the central slice does not show cannot be propagated
        for name in methods:
            start = time.perf_counter()
            label = METHODS[name](volume)
            seconds = time.perf_counter() - start
            dice = mean_dice(label, dense.label, drawn)
            result[name + (" ends" if ends else "")] = {"dice": dice, "seconds": seconds}
    return result


def run_together(data: Path, cases: list[Case], results: dict[str, dict]) -> None:
    """Adds Dice and seconds of the cases that have ``results``, propagated as a cohort, with and without ends."""
    cases = [case for case in cases if case.name in results]
    for ends in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            dense, sparse, out = (Path(folder) / name for name in ("dense", "sparse", "out"))
            write_cohort(dense, cases, Cohort(data, cases).labels)
            sparsify(dense, sparse, extents=ends)
            start = time.perf_counter()
            propagate(sparse, out)
            seconds = (time.perf_counter() - start) / len(cases)
            found = {case.name: case for case in read_cohort(out).cases}
            for case in cases:
                truth = load_case(case).label
                dice = mean_dice(load_case(found[case.name]).label, truth, np.unique(truth[len(truth) // 2])[1:])
                results[case.name]["together" + (" ends" if ends else "")] = {"dice": dice, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="*", default=[*METHODS, "together"], choices=[*METHODS, "together"])
    parser.add_argument("--cases", type=int, default=0, help="at most so many, evenly chosen; 0: all")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--axis", type=int, choices=(0, 1, 2), help="of the slices: the image's i, j or k")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    every_case = [replace(case, axis=arguments.axis) for case in cases_of(arguments.data)]
    others, held_out = held_out_split(every_case, every=arguments.every)
    cases = others if arguments.development else held_out
    if arguments.cases:
        cases = cases[:: max(1, len(cases) // arguments.cases)][: arguments.cases]
    sparseseg("instant")(central_slice_only(load_case(cases[0]), False))  # load the weights before timing
    results = {}
    for case in cases:
        if (found := run(case, [name for name in arguments.methods if name in METHODS])) is not None:
            results[case.name] = found
            print(
                case.name,
                *(f"{name} {value['dice']:.3f} {value['seconds']:.1f}s" for name, value in found.items()),
                flush=True,
            )
    if "together" in arguments.methods:
        run_together(arguments.data, cases, results)
    summary = {
        name: {
            "dice": round(statistics.mean(found[name]["dice"] for found in results.values()), 4),
            "sd": round(statistics.pstdev(found[name]["dice"] for found in results.values()), 4),
            "seconds": round(statistics.median(found[name]["seconds"] for found in results.values()), 2),
        }
        for name in next(iter(results.values()))
    }
    print(json.dumps(summary, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    line = {"data": arguments.data.name, "axis": arguments.axis, "threads": arguments.threads}
    line |= {"development": arguments.development}
    with arguments.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"cases": len(results), "summary": summary, "results": results}) + "\n")


if __name__ == "__main__":
    main()
