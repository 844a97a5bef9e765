"""``make bench``: every benchmark on the real volumes, results in build/bench, tables printed as in docs/benchmarks.md.

    python Testing/benchmarks/run.py [--only propagation|training|segment|plans] [--data ../shared/data]

Many hours on two cores. A run that is already in the results is not repeated. The plans' reports are in
build/bench/plans. Trainings of a plan that fail stop nothing; which plans had some is said at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tables import print_tables

from sparseseg_trainer.jobs import BAD_INPUT, SOME_FAILED

HERE = Path(__file__).parent
PROPAGATION = [["left_atrium"], ["promise12"], ["hippocampus"], ["spinal_cord", "--every", "1"]]
# The paper's recipe, scaled to the time of the preset fast: resolution, network and epochs.
PAPER_IN_MINUTES = ["pixels=8000", "stride=2", "semi_epochs=22", "K1=18", "K2=22"]
PAPER_IN_MINUTES += ["epochs=36", "steps=60", "registration_epochs=2"]
GROUPS = [[], ["--held-out-group", "UCL"]]
TRAINING = [
    *(["left_atrium", "--preset", preset, "--seed", seed] for preset in ("fast", "balanced") for seed in "012"),
    *(["left_atrium", "--method", "central_only", "--preset", "fast", "--seed", seed] for seed in "012"),
    ["left_atrium", "--method", "central_only", "--preset", "balanced", "--set", "baseline_epochs=450"],  # equal time
    ["left_atrium", "--method", "central_only", "--preset", "fast", "--absence", "off"],
    ["left_atrium", "--method", "full", "--preset", "fast"],
    ["left_atrium", "--preset", "paper", "--set", *PAPER_IN_MINUTES],
    *(["promise12", "--preset", preset, *group] for preset in ("fast", "balanced") for group in GROUPS),
    *(["promise12", "--preset", "fast", "--method", method] for method in ("central_only", "full")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["propagation", "training", "segment", "plans"])
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"The real volumes are not here: {arguments.data} is missing. Name their folder with --data.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    done = arguments.out / "done.txt"
    done.touch()
    plan = [("propagation", command) for command in PROPAGATION] + [("training", command) for command in TRAINING]
    plan.append(("segment", ["left_atrium"]))
    for kind, (name, *options) in plan:
        title = " ".join([kind, name, *options])
        if arguments.only not in (None, kind) or title in done.read_text().splitlines():
            continue
        print(f"== {title}", flush=True)
        results = arguments.out / f"{kind}.jsonl"
        command = [
            sys.executable,
            str(HERE / f"{kind}.py"),
            "--data",
            str(arguments.data / name),
            "--out",
            str(results),
        ]
        subprocess.run([*command, *options], check=True)
        with done.open("a") as file:
            file.write(title + "\n")
    with_failures = run_plans(arguments.data, arguments.out / "plans") if arguments.only in (None, "plans") else []
    print_tables(arguments.out)
    if with_failures:
        sys.exit(f"Not all trainings of these plans came through, see above: {', '.join(with_failures)}.")


def run_plans(data: Path, out: Path) -> list[str]:
    """The papers' tables and figures, in the versions for two cores; goes on where it was interrupted.

    Returns the names of the plans of which not all came through.
    """
    with_failures = []
    for plan in sorted((HERE / "plans").glob("*_quick.toml")):
        print(f"== {plan.stem}", flush=True)
        command = [Path(sys.executable).with_name("sparseseg"), "benchmark", plan, "--data", data]
        ended = subprocess.run([*command, "--out", out / plan.stem, "--at-a-time", "2"])
        if ended.returncode in (SOME_FAILED, BAD_INPUT):  # the latter where no training came through
            with_failures.append(plan.stem)
        else:
            ended.check_returncode()
    return with_failures


if __name__ == "__main__":
    main()
