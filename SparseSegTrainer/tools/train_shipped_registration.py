"""Train the registration network that ships with the package, from openly licensed volumes and synthetic pairs.

    python SparseSegTrainer/tools/train_shipped_registration.py --data ../shared/data --minutes 20

Real pairs: slices one to three apart of the hippocampus, spinal cord and ProstateX volumes, along every axis.
Synthetic pairs: the same slices, or smooth random patterns, deformed by a known random field, with other contrast.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from sparseseg_trainer import registration, slices, volumes

SIDE = 96


def training_stacks(data: Path) -> list[Tensor]:
    """Every open volume cut along its three axes, each (slice, row, column) in [0, 1]."""
    paths = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))
    paths += [data / "spinal_cord" / name for name in ("t1w.nii.gz", "t2.nii.gz", "t2s.nii.gz")]
    paths += [data / "dicom" / "ProstateX-0000_T2"] * 8  # one series beside a hundred crops: weigh it up
    stacks = []
    for path in paths:
        volume = volumes.read_image(path)
        array = torch.from_numpy(slices.normalise(volume.array))
        axes = (0, 1, 2) if max(volume.geometry.spacing) < 2 else (0,)
        stacks += [array.movedim(axis, 0) for axis in axes]
    return stacks


def random_field(count: int, generator: torch.Generator, largest: float) -> Tensor:
    """Smooth random fields (count, 2, SIDE, SIDE) in pixels, coarse and fine parts mixed."""
    field = torch.zeros(count, 2, SIDE, SIDE)
    for cells in (3, 6, 12):
        coarse = torch.randn(count, 2, cells, cells, generator=generator) / (cells / 3) ** 0.8
        field += F.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=True)
    size = largest * torch.rand(count, 1, 1, 1, generator=generator)
    return field * size / 2


def change_contrast(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma, brightness, a smooth bias field and noise, mild as between neighbouring slices."""
    count = len(images)
    gamma = torch.empty(count, 1, 1, 1).uniform_(0.85, 1.18, generator=generator)
    bias = torch.randn(count, 1, 3, 3, generator=generator) * 0.05
    bias = F.interpolate(bias, images.shape[2:], mode="bicubic", align_corners=True)
    noise = torch.randn(images.shape, generator=generator) * 0.03
    return (images.clamp(0, 1) ** gamma * (1 + bias) + noise).clamp(0, 1)


def random_patterns(count: int, generator: torch.Generator) -> Tensor:
    """Piecewise smooth random images: thresholded smooth noise with random grey levels, slightly blurred."""
    cells = int(torch.randint(4, 14, (1,), generator=generator))
    regions = F.interpolate(torch.randn(count, 5, cells, cells, generator=generator), (SIDE, SIDE), mode="bicubic")
    grey = torch.rand(count, 5, 1, 1, generator=generator)
    weights = torch.softmax(regions * 12, 1)
    return (weights * grey).sum(1, keepdim=True).clamp(0, 1)


class Pairs:
    """Random crops of random pairs, zoomed to the working size."""

    def __init__(self, stacks: list[Tensor], generator: torch.Generator):
        self.stacks, self.generator = stacks, generator

    def _integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def real(self, count: int) -> tuple[Tensor, Tensor]:
        pairs = []
        while len(pairs) < count:
            stack = self.stacks[self._integer(0, len(self.stacks))]
            gap = self._integer(1, 3) if stack.shape[0] > 25 else 1
            if stack.shape[0] <= gap or min(stack.shape[1:]) < 24:
                continue
            first = self._integer(0, stack.shape[0] - gap)
            pair = stack[[first, first + gap]][None]
            side = self._integer(24, min(*stack.shape[1:], 180) + 1)
            row, column = (self._integer(0, size - side + 1) for size in pair.shape[2:])
            pair = pair[..., row : row + side, column : column + side]
            pair = F.interpolate(pair, (SIDE, SIDE), mode="bilinear", antialias=True)
            turn = self._integer(0, 4)
            pair = pair.rot90(turn, (2, 3))
            if self._integer(0, 2):
                pair = pair.flip(1)
            pairs.append(pair.flip(3) if self._integer(0, 2) else pair)
        moving, fixed = torch.cat(pairs).split(1, dim=1)
        if self._integer(0, 2):
            moving, fixed = 1 - moving, 1 - fixed
        return moving, fixed

    def synthetic(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """(moving, fixed, true field): fixed is the moving slice warped and changed in contrast."""
        half = count // 2
        moving = torch.cat([self.real(half)[0], random_patterns(count - half, self.generator)])
        field = random_field(count, self.generator, 6.0)
        fixed = registration.warp(moving, field)
        return change_contrast(moving, self.generator), change_contrast(fixed, self.generator), field


def train(data: Path, minutes: float, seed: int, out: Path, start_from: Path | None, rate: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    pairs = Pairs(training_stacks(data), generator)
    network = registration.RegistrationNetwork()
    if start_from:
        network.load_state_dict(load_file(start_from))
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-4)
    start, step, sums = time.monotonic(), 0, [0.0, 0.0]
    while (share := (time.monotonic() - start) / (60 * minutes)) < 1:
        optimizer.param_groups[0]["lr"] = rate * min(1, step / 50) * max(0.01, (1 - share) ** 0.9)
        moving, fixed = pairs.real(8)
        known_moving, known_fixed, known = pairs.synthetic(8)
        field = network(torch.cat([moving, known_moving]), torch.cat([fixed, known_fixed]))
        real, made = field.split(8)
        loss = registration.registration_loss(moving, fixed, real, "mse", 0.006)
        loss = loss + 0.2 * registration.registration_loss(moving, fixed, real, "ncc", 0.02)
        error = F.smooth_l1_loss(made, known)
        optimizer.zero_grad()
        (loss + 0.1 * error).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        sums = [sums[0] + loss.item(), sums[1] + error.item()]
        step += 1
        if step % 100 == 0:
            print(f"step {step} loss {sums[0] / 100:.4f} field error {sums[1] / 100:.3f} px", flush=True)
            sums = [0.0, 0.0]
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, out)
    print(f"{step} steps, {out.stat().st_size / 1e6:.2f} MB in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--start-from", type=Path)
    parser.add_argument("--out", type=Path, default=registration.SHIPPED_WEIGHTS)
    arguments = parser.parse_args()
    train(arguments.data, arguments.minutes, arguments.seed, arguments.out, arguments.start_from, arguments.rate)
