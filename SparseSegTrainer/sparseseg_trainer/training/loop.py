"""The training loop that every method shares: epochs, averaged weights, checkpoints, exact resumption."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..errors import out_of_memory
from ..reporting import Reporter, TimeLeft
from ..tensor_files import save_tensors
from .data import PreparedCohort
from .settings import TrainSettings

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclass
class Run:
    """What the stages of one training share."""

    data: PreparedCohort
    settings: TrainSettings
    device: torch.device
    folder: Path  # for checkpoints
    reporter: Reporter
    curves: list[dict]  # rows of training.csv
    aside: PreparedCohort | None = None  # cases to measure the networks on
    expected: dict[str, float] = field(default_factory=dict)  # seconds of the stages in order; empty: not known

    def seconds_left(self, stage: str, left: float | None) -> float | None:
        """Of the whole training, when a stage has ``left`` seconds yet."""
        stages = list(self.expected)
        if left is None or stage not in stages:
            return left
        return left + sum(self.expected[later] for later in stages[stages.index(stage) + 1 :])


@dataclass
class Stage:
    """One network's training. ``batch_loss(network, batch)`` gives the loss of one batch of ``epoch_batches``."""

    name: str
    network: nn.Module
    epochs: int
    learning_rate: float
    # (epoch, averaged network, generator) -> that epoch's batches
    epoch_batches: Callable[[int, nn.Module, torch.Generator], list]
    batch_loss: Callable[[nn.Module, object, torch.Generator], Tensor]
    steps: float  # batches in an epoch, the mean of all
    dice: Callable[[nn.Module], float] | None = None  # what the averaged network is worth, measured after every epoch
    averaging: float | None = None  # instead of the setting
    batch_setting: str = "batch"  # what is halved where the memory is not enough; ``epoch_batches`` reads it anew
    halved: bool = True  # by the schedule "halving", which osman2024 has for the target network alone
    keep_best: bool = False  # the network after the epoch with the highest ``dice`` comes out, instead of an average
    # ``dice`` after every epoch so far -> share of the learning rate in the coming one, instead of the schedule's
    rate: Callable[[list[float]], float] | None = None
    # part of the stage's steps done -> share of the learning rate, instead of the schedule's
    schedule: Callable[[float], float] | None = None


def seeded(*parts) -> torch.Generator:
    """A generator whose seed depends on ``parts`` only, so that a resumed run draws what an uninterrupted one did."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


class Trainer:
    """The state of a stage: network, averaged (or best) network, optimizers, learning rate and epochs done.

    A part of the network called ``rival`` learns against the rest of it, by Adam at a rate of its own.
    """

    def __init__(self, run: Run, stage: Stage):
        settings = run.settings
        self.run, self.stage, self.epoch = run, stage, 0
        self.network = copy.deepcopy(stage.network).to(run.device)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        # foreach: a third faster on a CPU, where it is not the default
        kind, options = OPTIMIZERS[settings.optimizer], {"weight_decay": settings.weight_decay, "foreach": True}
        if settings.optimizer == "sgd":
            options["momentum"] = settings.momentum
        rival = list(getattr(self.network, "rival", nn.Module()).parameters())
        own = [value for value in self.network.parameters() if not any(value is other for other in rival)]
        self.optimizers = {"optimizer": kind(own, lr=stage.learning_rate, **options)}
        if rival:
            rate = settings.volumetric.rival_rate
            self.optimizers["rival"] = torch.optim.Adam(rival, lr=rate, betas=(0.9, 0.99))  # as in SASSNet's code
        self.averaging = settings.averaging if stage.averaging is None else stage.averaging
        self.steps_done = 0
        self.path = run.folder / f"{stage.name}.safetensors"

    def learning_rate(self) -> float:
        """The rate of the coming step, from the schedule and the steps done (nothing to store)."""
        settings, top = self.run.settings, self.stage.learning_rate
        if self.stage.rate:
            return top * self.stage.rate(self.scores())
        done = self.steps_done / (self.stage.epochs * self.stage.steps)
        if self.stage.schedule:
            return top * self.stage.schedule(done)
        if settings.schedule == "halving":
            return top * 0.5 ** (self.epoch // settings.halve_every if self.stage.halved else 0)
        if settings.schedule == "constant":
            return top
        if settings.schedule == "tenth":
            return top * 0.1 ** int(done / settings.volumetric.tenth_after)
        return top * (polynomial(done) if settings.schedule == "poly" else one_cycle(done))

    def train_epoch(self, tick: Callable[[float], None]) -> float:
        """One pass over the epoch's batches; returns the mean loss."""
        generator = seeded(self.run.settings.seed, self.stage.name, self.epoch)
        batches = self.stage.epoch_batches(self.epoch, self.averaged, generator)
        self.network.train()
        total = torch.zeros((), device=self.run.device)
        for number, batch in enumerate(batches):
            self.optimizers["optimizer"].param_groups[0]["lr"] = self.learning_rate()
            loss = self.stage.batch_loss(self.network, batch, generator)
            self.network.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in self.optimizers.values():
                nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 5.0)
                optimizer.step()
            self.steps_done += 1
            if not self.stage.keep_best:
                self._average()
            total += loss.detach()
            tick((number + 1) / len(batches))
        self.epoch += 1
        return float(total) / max(1, len(batches))

    def scores(self) -> list[float]:
        """``dice`` of the stage after every epoch so far."""
        return [row["dice"] for row in self.run.curves if row["stage"] == self.stage.name and "dice" in row]

    def measure(self) -> float:
        """``dice`` after this epoch, of the averaged network; or of the network, which is kept if it is the best."""
        if not self.stage.keep_best:
            return self.stage.dice(self.averaged)
        score, before = self.stage.dice(self.network), self.scores()
        if not before or score > max(before):
            self.averaged.load_state_dict(self.network.state_dict())
        return score

    def save(self) -> None:
        """Write weights, averaged weights, optimizer and curves into one file, whole or not at all."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"averaged/{name}": value for name, value in self.averaged.state_dict().items()}
        for part, optimizer in self.optimizers.items():
            for number, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{part}/{number}/{name}": torch.as_tensor(value) for name, value in state.items()}
        notes = {"epoch": self.epoch, "steps": self.steps_done, "curves": self.run.curves}
        save_tensors(self.path, tensors, {"notes": json.dumps(notes)})

    def load(self) -> None:
        """Continue from the file that ``save`` wrote."""
        with safe_open(self.path, "pt") as file:
            notes = json.loads(file.metadata()["notes"])
        self.epoch, self.steps_done = notes["epoch"], notes["steps"]
        self.run.curves[:] = notes["curves"]
        states = {part: {} for part in self.optimizers}
        for name, value in load_file(self.path, device=str(self.run.device)).items():
            part, _, rest = name.partition("/")
            if part in states:
                number, _, entry = rest.partition("/")
                states[part].setdefault(int(number), {})[entry] = value
            else:
                (self.averaged if part == "averaged" else self.network).state_dict()[rest].copy_(value)
        for part, optimizer in self.optimizers.items():
            optimizer.load_state_dict(optimizer.state_dict() | {"state": states[part]})

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.averaging, 1 - 1 / (1 + self.steps_done))
        pairs = list(zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True))
        means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        get_ema_multi_avg_fn(decay)(means, values, None)
        for mean, value in pairs:
            if not value.is_floating_point():  # the number of batches that a batch norm has seen
                mean.copy_(value)


def one_cycle(done: float) -> float:
    """Share of the top learning rate after ``done`` (0 to 1) of the steps: up in the first tenth, cosine down."""
    if done < 0.1:
        return 0.04 + 0.96 * done / 0.1
    return 0.5 * (1 + torch.cos(torch.tensor((done - 0.1) / 0.9 * torch.pi)).item()) + 1e-4


def polynomial(done: float) -> float:
    """Share of the first learning rate after ``done`` (0 to 1) of the steps: (1 - done)^0.9, as in DeepLab."""
    return (1 - done) ** 0.9


def plateau(scores: list[float], patience: int, restart: int = 0) -> float:
    """Share of the first learning rate: halved whenever ``patience`` epochs brought no better one of ``scores``.

    With ``restart`` it is 1 again after so many epochs, and what counts as better is forgotten.
    """
    scores = scores[len(scores) // restart * restart :] if restart else scores
    best, waited, share = -math.inf, 0, 1.0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == patience:
            share, waited = share / 2, 0
    return share


def train_stage(run: Run, stage: Stage) -> nn.Module:
    """Train a stage to its end, from its checkpoint if there is one; returns the network with averaged weights.

    A checkpoint is written after every epoch. Raises ``Cancelled`` when the user asks to stop.
    """
    trainer = _last_state(run, stage)
    left, start = TimeLeft(), trainer.epoch
    while trainer.epoch < stage.epochs:
        epoch = trainer.epoch

        def tick(part: float, epoch: int = epoch) -> None:
            done = (epoch + part) / stage.epochs
            here = (epoch + part - start) / (stage.epochs - start)
            seconds = run.seconds_left(stage.name, left(here))
            run.reporter.progress(stage.name, done, f"epoch {epoch + 1} of {stage.epochs}", seconds)

        try:
            loss = trainer.train_epoch(tick)
            score = trainer.measure() if stage.dice else None
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            loss = None
        if loss is None:  # after the block, where the error no longer keeps what filled the memory
            make_room(run, stage.batch_setting)
            trainer = _last_state(run, stage)
            continue
        row = {"stage": stage.name, "epoch": epoch + 1, "loss": loss, "learning_rate": trainer.learning_rate()}
        if stage.dice:
            row["dice"] = score
        _report(row, run.reporter)
        run.curves.append(row)
        trainer.save()
    return trainer.averaged.eval()


def _last_state(run: Run, stage: Stage) -> Trainer:
    """The trainer of a stage, continued from its checkpoint if there is one."""
    trainer = Trainer(run, stage)
    if trainer.path.exists():
        trainer.load()
        for row in run.curves:  # whoever watches a resumed training sees its curves from the start
            _report(row, run.reporter)
    return trainer


def _report(row: dict, reporter: Reporter) -> None:
    """One epoch's points of the curves."""
    for value in ("loss", "dice"):
        if value in row:
            reporter.metric(f"{row['stage']}/{value}", row["epoch"], row[value])


def make_room(run: Run, batch_setting: str) -> None:
    """Halve the batch; if it is one slice already, go on with the CPU. Raises MemoryError on a CPU."""
    batch = getattr(run.settings, batch_setting) // 2
    if batch:
        run.settings = dataclasses.replace(run.settings, **{batch_setting: batch})
        what = "slices" if run.settings.dimensions == 2 else "patches"
        what = "volumes" if batch_setting == "overview_batch" else what
        run.reporter.warn(f"The memory was not enough: the training goes on with {batch} {what} at a time.")
    elif run.device.type == "cpu":
        raise MemoryError("not enough memory for a batch of one")
    else:
        run.device = torch.device("cpu")
        run.reporter.warn("The GPU's memory was not enough: the training goes on on the CPU, which takes longer.")
