"""Time and memory of ``sparseseg segment`` for one volume, start-up included.

    python Testing/benchmarks/segment.py --data ../shared/data/left_atrium --out build/bench/segment.jsonl

The network and the resolution are those of the default preset on the left atrium, the weights random: they cost what
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
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.segmentation_network import SegmentationNetwork
from sparseseg_trainer.training.presets import BALANCED

SPACING = (0.83, 0.83)  # mm, of ``BALANCED["pixels"]`` on a slice of these data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    image = read_cohort(arguments.data).cases[0].image
    shape = NetworkShape(BALANCED["context"], 1, BALANCED["width"], BALANCED["depth"], BALANCED["stride"])
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        save_model(model, SegmentationNetwork(shape), ModelInfo(shape, (default_label(1),), SPACING), "# Test\n")
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
