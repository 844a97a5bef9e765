"""Train on a cohort's central slices, measure on held-out cases, append one JSON line to a file.

    python Testing/benchmarks/training.py --method collaborative --preset fast --seed 0 \
        --data ../shared/data/left_atrium --out build/bench/training.jsonl

Held out are ``names[::5]`` of the sorted case names, or with ``--held-out-group`` the cases of that group; nothing is
chosen on them. ``--development`` leaves them out and measures on every fourth of the others: choose settings so.
``--pseudo-labels`` also compares the pseudo labels of the cases learned from with what was hidden of their labels.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch
from cases import held_out_split, mean_dice
from pseudo_labels import pseudo_label_measures

from sparseseg_trainer.cohort import read_cohort, write_cohort
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import segment
from sparseseg_trainer.settings import from_dict
from sparseseg_trainer.slices import to_slices
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.training.keys import PSEUDO_LABELED
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_label


class Log(Reporter):
    """Prints a line when a stage begins, every loss, and what the user would be warned of."""

    def metric(self, series, step, value):
        print(f"{time.monotonic() - START:7.1f} s {series} {step}: {value:.4f}", flush=True)

    def warn(self, message):
        print(message, flush=True)


START = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="collaborative")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--absence", choices=["preset", "on", "off"], default="preset")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="further settings")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out-group", default="")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--pseudo-labels", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.pseudo_labels and arguments.method not in PSEUDO_LABELED:
        parser.error(f"The method {arguments.method} makes no pseudo labels: leave --pseudo-labels out.")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    values = {"method": arguments.method, "preset": arguments.preset, "seed": arguments.seed}
    values["pseudo_labels"] = arguments.pseudo_labels
    if arguments.absence != "preset":
        values["absence"] = arguments.absence == "on"
    values |= {name: json.loads(value) for name, _, value in (item.partition("=") for item in arguments.set)}
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments, values)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(result) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "per_case"}))


def measure(folder: Path, arguments: argparse.Namespace, values: dict) -> dict:
    """Train, segment the held-out cases, compare."""
    cohort = read_cohort(arguments.data)
    training, held_out = held_out_split(cohort.cases, arguments.held_out_group)
    if arguments.development:
        training, held_out = held_out_split(training, every=4)
    write_cohort(folder / "dense", training, cohort.labels)
    if arguments.method != "full":
        sparsify(folder / "dense", folder / "sparse")
    started, busy = time.monotonic(), time.process_time()
    source = folder / ("dense" if arguments.method == "full" else "sparse")
    summary = train(source, folder / "model", from_dict(TrainSettings, values), Log())
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - busy
    write_cohort(folder / "held_out", held_out, cohort.labels)
    started = time.monotonic()
    segment(folder / "held_out", folder / "model", folder / "result")
    per_volume = (time.monotonic() - started) / len(held_out)
    results = {case.name: case for case in read_cohort(folder / "result").cases}
    dice = {}
    for case in held_out:
        truth = load_case(case)
        predicted = to_slices(read_label(results[case.name].label, truth.geometry), truth.axis)  # empty: a Dice of 0
        classes = [label.value for label in cohort.labels]
        score = mean_dice(predicted, truth.file_values(truth.label), classes)
        dice[case.name] = round(score, 4)
    pseudo = []
    if arguments.pseudo_labels:
        found = folder / "model/pseudo_labels"
        pseudo = [pseudo_label_measures(case, found / f"{case.name}.nrrd")["dice"] for case in training]
    return {
        "data": arguments.data.name,
        "held_out": arguments.held_out_group or "every fifth",
        "development": arguments.development,
        **values,
        "cases": summary["cases"],
        "threads": torch.get_num_threads(),
        "dice": round(statistics.mean(dice.values()), 4),
        "dice_sd": round(statistics.stdev(dice.values()), 4),
        **({"pseudo_label_dice": round(statistics.mean(pseudo), 4)} if pseudo else {}),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),  # of all threads: says more where the cores are shared
        "segment_seconds": round(per_volume, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "per_case": dice,
    }


if __name__ == "__main__":
    main()
