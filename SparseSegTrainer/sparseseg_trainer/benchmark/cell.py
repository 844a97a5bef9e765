"""Job ``cell`` of a benchmark: train, segment the test cases, measure. What was done before is not repeated."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from ..cohort import Cohort, read_cohort
from ..devices import choose_device
from ..errors import InputError
from ..evaluate import EvaluateSettings, evaluate
from ..files import csv_text, write_text
from ..matching import read_prediction, read_reference
from ..metrics import mask_dice
from ..reporting import Reporter
from ..segment import SegmentSettings, segment
from ..training.settings import TrainSettings
from ..training.train import train


def run_cell(cohort: Path, test: Path, out: Path, settings: TrainSettings, reporter: Reporter) -> dict:
    """Trains on ``cohort`` and measures on ``test``, whose labels are dense.

    Writes model/, segmented/, evaluated/ and positions.csv (Dice of each slice) into ``out``. Returns the summary of
    ``evaluate`` with "seconds" (of training), "device" and "torch". Raises InputError and ``Cancelled``.
    """
    # The process of a benchmark that was killed goes on for a moment: wait until it has let go.
    lock = _locked(out / "lock", reporter)
    try:
        trained = train(cohort, out / "model", settings, reporter, resume=True)
        segment(test, out / "model", out / "segmented", SegmentSettings(device=settings.device), reporter)
        measured = evaluate(out / "segmented", test, out / "evaluated", EvaluateSettings(pictures=False), reporter)
        write_text(out / "positions.csv", _positions(read_cohort(test), read_cohort(out / "segmented"), reporter))
    finally:
        lock.release()
    failed = [*trained["failed"], *measured["failed"]]
    notes = {"seconds": trained["seconds"], "device": _device(settings.device), "torch": torch.__version__}
    return measured | {"failed": failed} | notes


def _locked(file: Path, reporter: Reporter) -> FileLock:
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    while True:
        reporter.check_cancelled()
        try:
            lock.acquire(timeout=0.2)
            return lock
        except Timeout:
            continue


def _device(name: str) -> str:
    if choose_device(name).type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} of its threads"


def _positions(truth: Cohort, predicted: Cohort, reporter: Reporter) -> str:
    """CSV of case, position and dice, a row for every slice that the structure reaches.

    ``position`` is 0 on its first slice and 1 on its last one; Dice is the mean over the labels on the slice.
    """
    rows = [("case", "position", "dice")]
    for case in truth.cases:
        reporter.check_cancelled()
        try:
            reference = read_reference(case)
            prediction = read_prediction(predicted, reference)
        except InputError:  # said by ``evaluate``, whose tables count the case
            continue
        for position, dice in slice_dice(prediction, reference.label):
            rows.append((case.name, f"{position:.4f}", f"{dice:.4f}"))
    return csv_text(rows)


def slice_dice(prediction: np.ndarray, reference: np.ndarray) -> list[tuple[float, float]]:
    """(position, Dice) of every slice from the first to the last labeled one of ``reference`` (slice, row, column)."""
    labeled = np.flatnonzero(reference.any((1, 2)))
    if not len(labeled):
        return []
    first, last = int(labeled[0]), int(labeled[-1])
    result = []
    for index in range(first, last + 1):
        ours, theirs = prediction[index], reference[index]
        values = np.union1d(ours, theirs)
        parts = [mask_dice(ours == value, theirs == value) for value in values[values > 0]]
        result.append(((index - first) / max(1, last - first), float(np.mean(parts)) if parts else 1.0))
    return result
