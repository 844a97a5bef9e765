"""Time and memory of ``sparseseg segment`` for one volume, start-up included.

    python Testing/benchmarks/segment.py --data ../shared/data/left_atrium --out build/bench/segment.jsonl

The networks and the resolution are those of the default preset on the left atrium, the weights random: they cost what
trained ones do.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.labels import default_label
from sparseseg_trainer.model_info import ModelInfo
from sparseseg_trainer.models import save_model
from sparseseg_trainer.network_shape import NetworkShape, Orthogonal, Overview
from sparseseg_trainer.segmentation_network import build_network
from sparseseg_trainer.training.presets import BALANCED

# Of ``BALANCED["pixels"]`` on a slice of these data, in mm, pixels, and mm a slice of the overview
SPACING, GRID, SLICE_SPACING = (0.83, 0.83), (112, 160), 1.146


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    image = read_cohort(arguments.data).cases[0].image
    overview = Overview(BALANCED["overview_width"], BALANCED["overview_side"], GRID, SLICE_SPACING)
    shape = NetworkShape(
        BALANCED["context"],
        1,
        BALANCED["width"],
        BALANCED["depth"],
        BALANCED["stride"],
        overview=overview,
        orthogonal=Orthogonal(SPACING[0]),
    )
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        save_model(model, build_network(shape), ModelInfo(shape, (default_label(1),), SPACING), "# Test\n")
        program = Path(sys.executable).with_name("sparseseg")
        start = time.perf_counter()
        subprocess.run([program, "segment", image, "--model", model, "--out", Path(folder) / "out"], check=True)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    line = {"data": arguments.data.name, "seconds": round(seconds, 1), "peak_mb": peak}
    with arguments.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(line)


if __name__ == "__main__":
    main()
