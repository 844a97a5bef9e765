"""Train the correction network that ships with the package, from openly licensed volumes and made-up structures.

    python SparseSegTrainer/tools/train_shipped_correction.py --data ../shared/data --problems build/problems

Processes beside it make problems (``correction_problems.py``) and carry their labels as ``propagate`` does; it learns
from those that are there, also from an earlier run.
"""

from __future__ import annotations

import argparse
import random
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from correction_problems import Problems
from safetensors.torch import load_file, save_file
from torch import Tensor

from sparseseg_trainer.case_propagation import CaseWork, PropagateSettings
from sparseseg_trainer.correction import combined
from sparseseg_trainer.correction_network import (
    ABSENT,
    COMBINED,
    DRAWN,
    IMAGE,
    SHIPPED_CORRECTION,
    CorrectionNetwork,
    clues,
    looked_at,
)
from sparseseg_trainer.demons import demons_fields
from sparseseg_trainer.propagation import Register
from sparseseg_trainer.registration import displacement_fields, folded, shipped_network
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.sparse_volume import SparseVolume
from sparseseg_trainer.tensor_files import save_tensors

PATCH = (32, 48, 48)
BATCH = 4
FEWEST = 300  # problems before the training begins
AFTER = 100  # steps after which new problems are looked for
DEMONS = 0.3  # of the problems: fields of demons, which take longer, instead of the shipped network's
FLIPPED_IMAGES = 0.5  # of the patches: dark and bright exchanged


def make_problems(data: Path, folder: Path, seed: int, count: int) -> None:
    """Writes so many problems into the folder."""
    torch.set_num_threads(1)
    problems = Problems(data, seed)
    shipped = partial(displacement_fields, folded(shipped_network()))
    demons = partial(demons_fields, reporter=Reporter())
    for number in range(count):
        register = demons if problems.random.random() < DEMONS else shipped
        tensors = carried(*problems.next(), register)
        save_tensors(folder / f"{seed}_{number}.safetensors", tensors)


def carried(volume: SparseVolume, structure: np.ndarray, register: Register) -> dict[str, Tensor]:
    """What the network sees of a problem, ``clues`` (clue, slice, row, column), and its whole ``structure``."""
    work = CaseWork(volume, PropagateSettings(device="cpu"), Reporter())
    both = combined(register, work.known, volume.first, volume.last)
    box = looked_at(both.probability[:, 1])
    truth = torch.stack([work.grid.soft_label(label.astype(np.uint8), 1)[1] > 0.5 for label in structure])
    return {"clues": clues(both, 1, box).half(), "structure": truth[box]}


def patch(problem: dict[str, Tensor], choose: random.Random) -> tuple[Tensor, Tensor]:
    """A random piece of a problem, mirrored and turned: ``PATCH``, with zeros where the problem is smaller."""
    seen, truth = problem["clues"], problem["structure"]
    near = (truth | (seen[COMBINED] > 0)).nonzero()
    center = near[choose.randrange(len(near))].tolist()
    inside, missing = [], []
    for size, most, middle in zip(truth.shape, PATCH, center, strict=True):
        side = min(size, most)
        start = min(max(0, middle - choose.randrange(side)), size - side)
        inside.append(slice(start, start + side))
        missing = [0, most - side, *missing]
    seen, truth = F.pad(seen[:, *inside].float(), missing), F.pad(truth[*inside].float(), missing)
    for axis in (-1, -2, -3):
        if choose.random() < 0.5:
            seen, truth = seen.flip(axis), truth.flip(axis)
    if choose.random() < 0.5:
        seen, truth = seen.transpose(-1, -2), truth.transpose(-1, -2)
    if choose.random() < FLIPPED_IMAGES:
        seen[IMAGE] *= -1
    return seen, truth


def loss_of(change: Tensor, seen: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy and Dice loss of patches, of slices that are neither drawn nor absent."""
    logits, counts = 2 * seen[:, COMBINED] + change[:, 0].float(), (seen[:, DRAWN] + seen[:, ABSENT] == 0).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = logits.sigmoid()
    overlap, total = ((part * counts).sum((1, 2, 3)) for part in (2 * probability * truth, probability + truth))
    return (entropy * counts).sum() / counts.sum().clamp_min(1) + (1 - (overlap + 1) / (total + 1)).mean()


def read_new(folder: Path, problems: dict[Path, dict[str, Tensor]]) -> None:
    """Adds to the ``problems`` those in the folder that are not there yet; waits until there are enough."""
    while True:
        new = [path for path in sorted(folder.glob("*.safetensors")) if path not in problems]
        problems |= {path: load_file(path) for path in new}
        if len(problems) >= FEWEST:
            return
        time.sleep(5)


def train(folder: Path, steps: int, seed: int, rate: float) -> CorrectionNetwork:
    """Learns from the problems in the folder, of which there may be more with time."""
    torch.manual_seed(seed)
    choose, problems, start, total = random.Random(seed), {}, time.monotonic(), 0.0
    network = CorrectionNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
    for step in range(steps):
        if step % AFTER == 0:
            read_new(folder, problems)
            some = list(problems.values())
        seen, truth = map(torch.stack, zip(*(patch(choose.choice(some), choose) for _ in range(BATCH)), strict=True))
        loss = loss_of(network(seen), seen, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % AFTER == AFTER - 1:
            spent = time.monotonic() - start
            print(f"step {step + 1} loss {total / AFTER:.4f} problems {len(problems)} {spent:.0f} s", flush=True)
            total = 0.0
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--problems", type=Path, default=Path("build/problems"), help="folder for them, about 5 GB")
    parser.add_argument("--processes", type=int, default=2, help="that make problems")
    parser.add_argument("--count", type=int, default=600, help="problems that each of them makes")
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--out", type=Path, default=SHIPPED_CORRECTION)
    arguments = parser.parse_args()
    arguments.problems.mkdir(parents=True, exist_ok=True)
    seeds = (1000 * arguments.seed + number for number in range(arguments.processes))
    makers = [
        get_context("spawn").Process(
            target=make_problems, args=(arguments.data, arguments.problems, seed, arguments.count), daemon=True
        )
        for seed in seeds
    ]
    for maker in makers:
        maker.start()
    network = train(arguments.problems, arguments.steps, arguments.seed, arguments.rate)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, arguments.out)


if __name__ == "__main__":
    main()
