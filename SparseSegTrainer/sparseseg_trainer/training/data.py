"""A cohort's slices on one working grid, prepared once, kept on the device as bytes, looked up by number."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..case_loop import run_cases, some_left
from ..cohort import Case, CaseFailure, Cohort
from ..cohort_grid import SIZE_PERCENTILE, CohortGrid, pad, placed, to_working_grid
from ..errors import InputError
from ..files import whole_file, write_text
from ..reporting import Reporter
from ..sparse_volume import SparseVolume, load_case
from .drawings import known_lines, working_label
from .measured_case import MeasuredCase
from .measuring import measure
from .memory import resident_bytes

MAX_CLASSES = 100
LOST = 0.02  # of what is drawn on a case: the user is told of more
IMAGES, LABELS = "images.raw", "labels.raw"  # the stacks, byte after byte
SCHEMA = 7  # of the cache, part of its fingerprint


@dataclass(frozen=True)
class PreparedCase:
    """Where a case's slices lie in the stack, and what is known about them; slices count from the case's first."""

    name: str
    start: int
    stop: int
    size: tuple[int, int]  # rows and columns on the working grid before padding
    original: tuple[int, int]  # rows and columns of the image
    annotated: tuple[int, ...]
    absent: tuple[int, ...]
    axis: int
    slice_spacing: float  # mm
    dense: bool  # no slices are listed as annotated: a method for whole volumes takes the others as background
    rows: tuple[int, ...] = ()  # drawn on every slice, as slices across another axis; they count as in ``volume``
    columns: tuple[int, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the case has a label."""
        return bool(self.annotated or self.rows or self.columns)


@dataclass
class PreparedCohort:
    """All slices of a cohort: images and drawn labels (class numbers 1..C), uint8 (slices, rows, columns).

    Labels of what is unknown are 0. Slices drawn across other axes are rows and columns of slices that may be unknown.
    """

    images: Tensor
    labels: Tensor
    cases: list[PreparedCase]
    grid: CohortGrid
    classes: int
    failed: list[CaseFailure]
    fingerprint: str

    @property
    def drawn(self) -> Tensor:
        """Numbers of the slices with a drawn label."""
        return torch.tensor([case.start + n for case in self.cases for n in case.annotated], dtype=torch.long)

    @property
    def absent(self) -> Tensor:
        """Numbers of the slices known to be background."""
        return torch.tensor([case.start + n for case in self.cases for n in case.absent], dtype=torch.long)

    @property
    def unknown(self) -> Tensor:
        """Numbers of the slices about which nothing is known."""
        known = torch.zeros(self.cases[-1].stop, dtype=torch.bool)
        known[self.drawn] = known[self.absent] = True
        return torch.nonzero(~known)[:, 0]

    def batch(self, numbers: Tensor, context: int = 0) -> Tensor:
        """Slices as float in [0, 1], (B, 1 + 2 context, rows, columns): each with its neighbours inside the case."""
        device = self.images.device
        numbers = numbers.to(device)
        if not context:
            return self.images[numbers].unsqueeze(1).float() / 255
        starts = torch.tensor([case.start for case in self.cases], device=device)
        stops = torch.tensor([case.stop for case in self.cases], device=device)
        case = torch.searchsorted(starts, numbers, right=True) - 1
        offsets = torch.arange(-context, context + 1, device=device)
        wanted = numbers[:, None] + offsets
        wanted = torch.minimum(torch.maximum(wanted, starts[case][:, None]), stops[case][:, None] - 1)
        return self.images[wanted].float() / 255

    def volume(self, stack: Tensor, case: PreparedCase) -> Tensor:
        """The case's part of a stack (slices, rows, columns), such as ``images``, without padding."""
        return stack[case.start : case.stop, *placed(case.size, self.grid.shape)]

    @property
    def usual_length(self) -> float:
        """mm along the slices that most volumes do not exceed."""
        return float(
            np.percentile([(case.stop - case.start) * case.slice_spacing for case in self.cases], SIZE_PERCENTILE)
        )

    def working_image(self, case: PreparedCase) -> np.ndarray:
        """The case's slices (slice, row, column) on the working grid, float32 in [0, 1]."""
        return self.images[case.start : case.stop].cpu().numpy().astype(np.float32) / 255

    def volume_size(self, case: PreparedCase) -> tuple[int, int, int]:
        """Slices, rows and columns of ``volume``."""
        rows, columns = (min(own, side) for own, side in zip(case.size, self.grid.shape, strict=True))
        return case.stop - case.start, rows, columns

    def forget_absence(self) -> None:
        """Treat the slices known to be background as unknown."""
        self.cases = [replace(case, absent=()) for case in self.cases]

    def resident_bytes(self, device: torch.device) -> int:
        """What the slices would take of the device's memory: 0 if they fill half of it, then they stay on disk."""
        return resident_bytes(self.images.numel(), device)

    def to(self, device: torch.device) -> PreparedCohort:
        """Move the slices to the device, or leave them on disk (``resident_bytes``)."""
        if self.resident_bytes(device):
            # clone: a memory-mapped file is read once, here
            self.images, self.labels = self.images.clone().to(device), self.labels.clone().to(device)
        return self


def prepare(
    cohort: Cohort,
    folder: Path,
    pixels: int,
    reporter: Reporter,
    grid: CohortGrid | None = None,
    size_by: str = "spacing",
    region: str = "whole",
    need_label: bool = True,
) -> PreparedCohort:
    """Read, resample and cache a cohort in ``folder``; a later call with the same files and ``pixels`` reads the cache.

    ``grid`` is that of another cohort, to be used for this one too; else ``size_by`` and ``region`` are as in the
    settings. Cases that cannot be used are in ``failed``, those without a label among them if ``need_label``. Raises
    ``InputError`` if none is left or the disk is full.
    """
    current = fingerprint(cohort, pixels) + (repr(grid) if grid else f"{size_by} {region}")
    current += "" if need_label else " unlabelled too"
    index = folder / "index.json"
    if not index.exists() or json.loads(index.read_text())["fingerprint"] != current:
        index.unlink(missing_ok=True)  # it belongs to the files that are replaced now
        failed: list[CaseFailure] = []
        _check_classes(cohort)
        how = ("spacing", "whole") if grid else (size_by, region)
        measured, own_grid = measure(cohort, pixels, *how, failed, reporter)
        _write_cache(folder, current, measured, grid or own_grid, need_label, failed, reporter)
    content = json.loads(index.read_text())
    cases = [PreparedCase(**_tuples(case)) for case in content["cases"]]
    failed = [CaseFailure(**failure) for failure in content["failed"]]
    grid = CohortGrid(**_tuples(content["grid"]))
    stack = (cases[-1].stop, *grid.shape)
    arrays = [torch.from_numpy(np.memmap(folder / name, np.uint8, "c", shape=stack)) for name in (IMAGES, LABELS)]
    return PreparedCohort(*arrays, cases, grid, len(cohort.labels), cohort.failed + failed, current)


def _tuples(values: dict) -> dict:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def fingerprint(cohort: Cohort, pixels: int) -> str:
    """Changes whenever the prepared cohort would be another: files, drawn slices, marked ends, labels, resolution."""
    described = [SCHEMA, pixels, [label.value for label in cohort.labels]]
    for case in cohort.cases:
        files = [path for path in (case.image, case.label) if path is not None and path.exists()]
        stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        marks = (case.axis, case.first_slice, case.last_slice, case.reaches_first, case.reaches_last)
        described.append([case.name, stamps, case.annotated_slices, marks])
        if case.other_slices:
            described.append(case.other_slices)
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _write_cache(
    folder: Path,
    current: str,
    measured: list[MeasuredCase],
    grid: CohortGrid,
    need_label: bool,
    failed: list[CaseFailure],
    reporter: Reporter,
) -> None:
    """Write the slices of the ``measured`` cases; those that cannot be used join ``failed``."""
    spacings = {found.case.name: found.spacing for found in measured}
    with (
        whole_file(folder / IMAGES) as image_file,
        whole_file(folder / LABELS) as label_file,
        image_file.open("wb") as images,  # appended to, not mapped: then a full disk is an error, not a crash
        label_file.open("wb") as labels,
    ):
        work = _appender(grid, spacings, images, labels, need_label, reporter)
        prepared = some_left(run_cases([found.case for found in measured], failed, work, "prepare", reporter), failed)
    content = {
        "fingerprint": current,
        "grid": asdict(grid),
        "cases": [asdict(case) for case in prepared],
        "failed": [asdict(failure) for failure in failed],
    }
    write_text(folder / "index.json", json.dumps(content))


def _check_classes(cohort: Cohort) -> None:
    if len(cohort.labels) > MAX_CLASSES:
        raise InputError(
            "too_many_labels",
            f"The cohort has {len(cohort.labels)} labels.",
            f"Train at most {MAX_CLASSES} labels at once.",
        )


def _appender(
    grid: CohortGrid, spacings: dict, images: BinaryIO, labels: BinaryIO, need_label: bool, reporter: Reporter
) -> Callable[[Case], PreparedCase]:
    """A function that reads a case and appends its slices to the open files of images and labels."""

    def append(case: Case) -> PreparedCase:
        volume = load_case(case, need_label)
        entry = _describe(volume, images.tell() // math.prod(grid.shape), grid, spacings[case.name])
        image = to_working_grid(volume.image, entry.size, grid)
        drawn = working_label(volume, entry.size)
        label = pad(drawn, grid.shape)
        _warn_of_loss(case.name, np.count_nonzero(drawn), np.count_nonzero(label), grid, reporter)
        if entry.labelled and not drawn.any():
            reporter.warn(
                f"Case {case.name}: nothing of what is drawn is left at {grid.spacing[0]:.2g} x {grid.spacing[1]:.2g} "
                "mm a pixel. Train with more pixels (the setting pixels; 0: as acquired)."
            )
        images.write(image.tobytes())
        labels.write(label.tobytes())
        return entry

    return append


def _warn_of_loss(case: str, drawn: int, left: int, grid: CohortGrid, reporter: Reporter) -> None:
    """Tells of a case of whose ``drawn`` pixels fewer are ``left``, for the networks see a part of its slices alone."""
    if left < (1 - LOST) * drawn:
        advice = "Train with region=whole." if grid.partial else "Crop the volume around the structure."
        reporter.warn(
            f"Case {case}: {1 - left / drawn:.0%} of what is drawn lies beyond the part of the slices that the "
            f"networks see, and is neither learned nor measured. {advice}"
        )


def _describe(volume: SparseVolume, start: int, grid: CohortGrid, spacing) -> PreparedCase:
    count, *original = volume.image.shape
    size = grid.size(*original, spacing)
    rows, columns = known_lines(volume, size, grid.shape)
    return PreparedCase(
        name=volume.case.name,
        start=start,
        stop=start + count,
        size=size,
        original=tuple(original),
        annotated=tuple(volume.annotated),
        absent=tuple(int(n) for n in np.flatnonzero(volume.absent())),
        axis=volume.axis,
        slice_spacing=volume.spacing[0],
        dense=volume.label is not None and volume.case.annotated_slices is None,
        rows=rows,
        columns=columns,
    )
