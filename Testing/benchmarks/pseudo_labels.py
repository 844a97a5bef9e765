"""How good the pseudo labels of a benchmark's trainings are, against the whole labels of the cases learned from.

    python Testing/benchmarks/pseudo_labels.py --plan-out build/tables3_4 --data ../shared/data/left_atrium

One JSON line for each training that has left pseudo labels (the setting ``pseudo_labels``), in percent: Dice, that of
the ``NEAR`` slices on either side of the central one and of the others, the volume's error, and the uncertain labels'
share, with the Dice of the certain ones alone. Means over the cases.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean

import numpy as np
from cases import mean_dice

from sparseseg_trainer.cohort import Case, read_cohort
from sparseseg_trainer.slices import to_slices
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.training.coding import UNCERTAIN
from sparseseg_trainer.volumes import read_label

NEAR = 8


def pseudo_label_measures(case: Case, file: Path) -> dict[str, float]:
    """What the pseudo labels in ``file`` are worth, as fractions."""
    truth = load_case(case)
    coded = to_slices(read_label(file, truth.geometry), truth.axis)
    labels, certain = coded % UNCERTAIN, np.where(coded > UNCERTAIN, 0, coded)
    near = np.abs(np.arange(len(labels)) - len(labels) // 2) <= NEAR

    def dice(found: np.ndarray, slices: np.ndarray) -> float:
        inside = slices[:, None, None]
        return mean_dice(found * inside, truth.label * inside, range(1, len(truth.values) + 1))

    everywhere = np.ones_like(near)
    return {
        "dice": dice(labels, everywhere),
        "near": dice(labels, near),
        "far": dice(labels, ~near),
        "volume_error": np.count_nonzero(labels) / np.count_nonzero(truth.label) - 1,
        "uncertain": np.count_nonzero(coded > UNCERTAIN) / max(1, np.count_nonzero(coded)),
        "certain_dice": dice(certain, everywhere),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan-out", type=Path, required=True, help="what sparseseg benchmark was given as --out")
    parser.add_argument("--data", type=Path, required=True, help="the dense cohort that its plan names")
    arguments = parser.parse_args()
    cases = {case.name: case for case in read_cohort(arguments.data).cases}
    for folder in sorted(arguments.plan_out.glob("cells/*/model/pseudo_labels")):
        found = [pseudo_label_measures(cases[file.stem], file) for file in sorted(folder.glob("*.nrrd"))]
        means = {name: round(100 * fmean(one[name] for one in found), 1) for name in found[0]}
        print(json.dumps({"training": folder.parents[1].name, "cases": len(found)} | means), flush=True)


if __name__ == "__main__":
    main()
