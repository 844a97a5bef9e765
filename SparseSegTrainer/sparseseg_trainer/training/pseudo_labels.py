"""The two sources of pseudo labels, the semi-supervised network and propagation, and their fusion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ..cleanup import keep_touching
from ..ends import tapered, usual_tapers
from ..prediction import CHUNK, probabilities, smooth_along_slices
from ..propagation import propagate_labels
from ..registration import displacement_fields
from ..reporting import TimeLeft
from ..segmentation_network import SeveralViews
from ..tensor_files import save_tensors
from ..views import add_views
from .data import PreparedCase
from .fusion import blend, fuse, mark_disagreement
from .loop import Run


def predicted(run: Run, network: nn.Module, numbers: Tensor) -> Tensor:
    """The network's most probable class (eq. 1) for these slices, uint8 (len(numbers), rows, columns), on the CPU."""
    return torch.cat([part.max(1).indices.to(torch.uint8) for part in predictions(run, network, numbers, False)])


def kept(run: Run, make: Callable[[], Tensor], name: str = "fused") -> Tensor:
    """The labels of the whole stack that ``make`` returns, made once and kept in the checkpoint folder."""
    file = run.folder / f"{name}.safetensors"
    if not file.exists():
        save_tensors(file, {name: make()})
    return load_file(file)[name]


def fused_labels(
    run: Run, semi: nn.Module | None, registration: nn.Module | None, stage: str = "pseudo labels"
) -> Tensor:
    """Fused labels of all slices of the cohort, as its stack: 1..C certain, 101..100+C uncertain, on the CPU.

    Drawn slices keep their labels, absent ones are background. With one network alone its labels are all certain;
    those of registration alone end at the slices that it reaches (``reached``). ``stage`` is what the progress is of.
    """
    data = run.data
    result, left = torch.zeros(data.labels.shape, dtype=torch.uint8), TimeLeft()
    for done, case in enumerate(data.cases):
        seconds = run.seconds_left(stage, left(done / len(data.cases)))
        run.reporter.progress(stage, done / len(data.cases), case.name, seconds)
        result[case.start : case.stop] = _fused_case(run, semi, registration, case)
    drawn = data.drawn
    result[drawn] = data.labels[drawn.to(data.labels.device)].cpu()
    result[data.absent] = 0
    return result


def reached(run: Run) -> Tensor:
    """Numbers of the slices that propagated labels reach or that are known to be background, in order."""
    windows = ((case.start, _window(run, case)) for case in run.data.cases)
    numbers = [torch.arange(start + window.start, start + window.stop) for start, window in windows]
    return torch.cat([*numbers, run.data.absent]).unique()


def _fused_case(run: Run, semi: nn.Module | None, registration: nn.Module | None, case: PreparedCase) -> Tensor:
    """Fused labels (slices, rows, columns) of one case. Where no label travels, the network's own count."""
    if semi is None:
        labels = torch.zeros(case.stop - case.start, *run.data.grid.shape, dtype=torch.uint8)
        window, travelled, _ = _travelled(run, registration, case)
        labels[window] = travelled.max(1).indices.to(torch.uint8)
        return labels
    settings = run.settings
    own = whole_answer(run, semi, case)
    own = torch.from_numpy(smooth_along_slices(own.numpy(), settings.smoothing / case.slice_spacing))
    own_labels = _labels(run, case, own)
    if registration is None:
        return own_labels
    window, travelled, confidence = _travelled(run, registration, case)
    propagated = travelled.max(1).indices.to(torch.uint8)
    fused = own_labels.clone()
    if settings.fusion == "blend":
        mixed = own.clone()
        mixed[window] = blend(own[window], travelled, confidence)
        fused = _labels(run, case, mixed)
        fused[window] = mark_disagreement(fused[window], own_labels[window], propagated)
    else:
        fused[window] = fuse(own_labels[window], propagated, settings.fusion)
    return fused


def at_once(run: Run) -> int:
    """Slices, or cuts, predicted together: fewer where the memory is short, for which a batch is halved."""
    return min(CHUNK, 4 * run.settings.batch)


def predictions(run: Run, network: nn.Module, numbers: Tensor, flips: bool) -> list[Tensor]:
    """Probabilities (some slices, classes + 1, rows, columns) on the CPU, in order."""
    parts, device = [], next(network.parameters()).device  # not the run's, which changes when the GPU is full
    for some in numbers.split(at_once(run)):
        run.reporter.check_cancelled()
        images = run.data.batch(some, run.settings.context).to(device)
        parts.append(probabilities(network, images, flips).cpu())
    return parts


def whole_answer(run: Run, network: nn.Module, case: PreparedCase) -> Tensor:
    """Probabilities (slices, classes + 1, rows, columns) of a case, on the CPU, by all networks of several views."""
    flips, whole = run.settings.test_flips, torch.arange(case.start, case.stop)
    probability = torch.cat(predictions(run, network, whole, flips))
    if isinstance(network, SeveralViews):
        seen, step = run.data.working_image(case), run.reporter.check_cancelled
        add_views(probability.numpy(), network, seen, case.slice_spacing, flips, step, at_once(run))
    return probability


def _labels(run: Run, case: PreparedCase, probability: Tensor) -> Tensor:
    """Most probable classes; with ``largest_component`` only what hangs together with the drawn structure."""
    labels = probability.max(1).indices.to(torch.uint8)
    if not run.settings.largest_component:
        return labels
    drawn = run.data.labels[case.start : case.stop].cpu().numpy()
    return torch.from_numpy(keep_touching(labels.numpy(), drawn))


def _window(run: Run, case: PreparedCase) -> slice:
    """The case's slices that drawn labels are carried to: at most ``reach`` beyond the outermost drawn ones."""
    count = case.stop - case.start
    reach = run.settings.reach or count
    return slice(max(0, min(case.annotated) - reach), min(count, max(case.annotated) + reach + 1))


def _travelled(run: Run, registration: nn.Module, case: PreparedCase) -> tuple[slice, Tensor, Tensor]:
    """Drawn labels carried from slice to slice.

    Returns the window of the case's slices that they reach, and for these the probabilities (slices, classes + 1,
    rows, columns) and the confidence in them (slices,).
    """
    data, window = run.data, _window(run, case)
    low, high = window.start, window.stop
    stack = slice(case.start + low, case.start + high)
    slices = data.images[stack].to(run.device).float() / 255
    drawn = {n - low: _soft(data.labels[case.start + n], data.classes).to(run.device) for n in case.annotated}
    absent = torch.zeros(high - low, dtype=torch.bool)
    absent[[n - low for n in case.absent if low <= n < high]] = True
    # not the instant result of job ``propagate``: the network already knows the cohort's appearance, and this is faster
    travelled = propagate_labels(partial(displacement_fields, registration), slices, drawn)
    probability = tapered(travelled.carried, sorted(drawn), usual_tapers(sorted(drawn), absent))
    return window, probability.float().cpu(), travelled.confidence


def _soft(label: Tensor, classes: int) -> Tensor:
    return F.one_hot(label.long(), classes + 1).permute(2, 0, 1).float()
