"""Job ``segment``: a model applied to files or to a cohort."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .case import Case, check_case_name
from .case_loop import kept, run_cases, summary_of
from .cleanup import fill_holes, keep_largest
from .cohort import CaseFailure, Cohort, label_path, read_cohort, refuse_to_replace_inputs, write_cohort
from .cohort_grid import CohortGrid, match_brightness, pad, padded_shape, uncropped, unpad
from .devices import choose_device
from .errors import InputError
from .files import bare_name, csv_text, write_text
from .model_info import ModelInfo
from .models import Model, load_model
from .prediction import probabilities, smooth_along_slices, volume_probabilities
from .reporting import Reporter
from .segmentation_network import SeveralViews
from .settings import CheckedSettings
from .slices import from_slices, resample_slices
from .sparse_volume import SparseVolume, load_case
from .views import add_views
from .volumes import write_image, write_label

CHUNK = 16  # slices in memory at full resolution at a time


@dataclass(frozen=True)
class SegmentSettings(CheckedSettings):
    """How to apply a model; ``None`` means as the model was trained for."""

    device: str = "auto"
    probabilities: bool = False  # write probabilities/CASE_VALUE.nrrd too
    flips: bool | None = None
    largest_component: bool | None = None
    fill_holes: bool | None = None
    smoothing: float | None = None  # mm along slices


def segment(
    inputs: Path | list[Path],
    model: Path,
    out: Path,
    settings: SegmentSettings | None = None,
    reporter: Reporter | None = None,
) -> dict:
    """Segment a cohort folder or image files; writes labels/, cohort.csv, labels.json and volumes.csv into ``out``.

    Returns {"cases": number done, "failed": [...], "out": ...}. A case that cannot be read is listed in "failed", the
    others run. Raises ``InputError`` for an unusable model or cohort and where a file of it would be replaced, and
    ``Cancelled``; the cases finished by then are the cohort in ``out``.
    """
    settings, reporter = settings or SegmentSettings(), reporter or Reporter()
    loaded, out = load_model(Path(model)), Path(out)
    info = loaded.info
    for name in ("flips", "largest_component", "fill_holes", "smoothing"):
        if getattr(settings, name) is None:
            settings = replace(settings, **{name: getattr(info, name)})
    loaded.network.to(choose_device(settings.device))
    cohort = _cases(inputs)
    refuse_to_replace_inputs(cohort, out)
    done, rows, failed = [], [], list(cohort.failed)

    def work(case: Case) -> None:
        volume = load_case(_unlabelled(case, info.axis), need_label=False)
        labels = segment_volume(volume, loaded, settings, out / "probabilities", reporter)
        path = label_path(out, case)
        write_label(path, from_slices(labels, volume.axis), volume.geometry, info.labels)
        rows.extend(_volumes(volume, labels, info, reporter))
        done.append(replace(volume.case, label=path))

    def write() -> dict:
        write_cohort(out, done, list(info.labels))
        write_text(out / "volumes.csv", csv_text([("case", "label", "ml"), *rows]))
        return summary_of(len(done), failed, out=str(out))

    with kept(done, write):
        run_cases(cohort.cases, failed, work, "segment", reporter)
    return write()


def _cases(inputs: Path | list[Path]) -> Cohort:
    """The cohort in a folder, or a cohort made of files and DICOM folders, named after them."""
    paths = [Path(path) for path in ([inputs] if isinstance(inputs, (str, Path)) else inputs)]
    if len(paths) == 1 and (paths[0] / "cohort.csv").is_file():
        return read_cohort(paths[0])
    cases, failed = {}, []
    for path in paths:
        name = bare_name(path)
        try:
            check_case_name(name)
            if name in cases:
                message = f"Two files are called {name}; {path} was left out."
                raise InputError("duplicate_case", message, "Rename one, or segment it on its own.")
            cases[name] = Case(name, path.absolute())
        except InputError as error:
            failed.append(CaseFailure.of(name, error))
    return Cohort(None, list(cases.values()), failed)


def _unlabelled(case: Case, axis: int | None) -> Case:
    """The case without what was drawn on it, cut along its own axis or else the model's."""
    return Case(case.name, case.image, axis=axis if case.axis is None else case.axis, group=case.group)


def segment_volume(
    volume: SparseVolume, model: Model, settings: SegmentSettings, folder: Path, reporter: Reporter
) -> np.ndarray:
    """Label values (slice, row, column) on the image's slices, as the files of the model's labels have them.

    ``settings`` have no ``None`` left. Probabilities go to ``folder`` if asked for.
    """
    probability = predict_volume(volume, model, settings, reporter)
    full = volume.image.shape[1:]
    labels = np.zeros(volume.image.shape, np.uint8)
    for window in _windows(len(labels)):
        chunk = probability[window]
        soft = [resample_slices(chunk[:, number], full) for number in range(chunk.shape[1])]
        labels[window] = np.argmax(soft, 0)
        reporter.check_cancelled()
    if settings.fill_holes:
        labels = fill_holes(labels)
    if settings.largest_component:
        labels = keep_largest(labels)
    size = probability.shape[2:]
    if _reaches_edge(labels, size, _seen(size, model.info)):
        reporter.warn(
            f"Case {volume.case.name}: what was found reaches the edge of what the model looks at, the middle of each "
            "slice, and may go on beyond. Look there, or train with region=whole."
        )
    if settings.probabilities:
        for number, label in enumerate(model.info.labels, 1):
            soft = resample_slices(probability[:, number], full)
            write_image(
                folder / f"{volume.case.name}_{label.value}.nrrd", from_slices(soft, volume.axis), volume.geometry
            )
    values = np.array([0, *(label.value for label in model.info.labels)])
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)[labels]


def predict_volume(volume: SparseVolume, model: Model, settings: SegmentSettings, reporter: Reporter) -> np.ndarray:
    """Probabilities (slice, class, row, column) float32 at the model's spacing, smoothed along slices.

    All are 0 beyond the region that the model looks at.
    """
    info = model.info
    count, rows, columns = volume.image.shape
    size = CohortGrid(info.spacing, field_of_view=info.field_of_view).size(rows, columns, volume.spacing[1:])
    seen = _seen(size, info)
    chunks = [resample_slices(volume.image[window], size)[:, *seen] for window in _windows(count)]
    image = match_brightness(np.concatenate(chunks), info.brightness)
    found = _predicted(image, volume.spacing[0], model, settings.flips, reporter)
    return unpad(smooth_along_slices(found, settings.smoothing / volume.spacing[0]), size)


def _seen(size: tuple[int, int], info: ModelInfo) -> tuple[slice, slice]:
    """The rows and columns that a model looks at of slices which have that ``size`` on its grid."""
    return uncropped(size, [limit or side for limit, side in zip(info.region or size, size, strict=True)])


def _reaches_edge(labels: np.ndarray, size: tuple[int, int], seen: tuple[slice, slice]) -> bool:
    """Whether ``labels`` (slice, row, column) have something at an edge of what a model has ``seen``.

    These are rows and columns of slices which have that ``size`` on its grid.
    """
    for axis, inside in enumerate(seen, 1):
        have, count = size[axis - 1], labels.shape[axis]
        edges = [int((line + 0.5) * count / have) for line in (inside.start, inside.stop - 1)]
        if inside.stop - inside.start < have and labels.take(edges, axis).any():
            return True
    return False


def _predicted(image: np.ndarray, slice_spacing: float, model: Model, flips: bool, reporter: Reporter) -> np.ndarray:
    """Probabilities (slice, class, row, column) float32 of an ``image`` as the model's networks see it."""
    info, device = model.info, next(model.network.parameters()).device
    if info.network.volumetric:
        whole = torch.from_numpy(image)[None, None]
        found = volume_probabilities(model.network, whole, info.network.patch, flips, reporter.check_cancelled)
        return np.ascontiguousarray(found[0].numpy().swapaxes(0, 1))
    count, *size = image.shape
    slices = torch.from_numpy(pad(image, padded_shape(size)))
    context = info.network.context
    neighbours = torch.arange(count)[:, None] + torch.arange(-context, context + 1)
    result = np.empty((count, info.network.classes + 1, *size), np.float32)
    for window in _windows(count):
        reporter.check_cancelled()
        images = slices[neighbours[window].clamp(0, count - 1)].to(device)
        result[window] = unpad(probabilities(model.network, images, flips).cpu().numpy(), size)
    if isinstance(model.network, SeveralViews):
        add_views(result, model.network, image, slice_spacing, flips, reporter.check_cancelled)
    return result


def _windows(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


def _volumes(volume: SparseVolume, values: np.ndarray, info: ModelInfo, reporter: Reporter) -> list[list[str]]:
    """Case, label and ml of each of the model's labels; the user is told of those of which nothing was found."""
    found = [(label.name, (values == label.value).sum()) for label in info.labels]  # voxels
    missing = [name for name, count in found if not count]
    if missing:
        reporter.warn(
            f"Case {volume.case.name}: nothing of {', '.join(missing)} was found. Look whether the volume shows it, "
            "and as the volumes do that the model has learned from; if so, draw a slice and propagate."
            + (" The model looks at the middle of each slice alone." if info.region else "")
        )
    milliliters = math.prod(volume.spacing) / 1000
    return [[volume.case.name, name, f"{count * milliliters:.3f}"] for name, count in found]
