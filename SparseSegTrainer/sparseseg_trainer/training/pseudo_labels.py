"""The two sources of pseudo labels: the semi-supervised network, and propagation of the drawn labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cleanup import keep_touching
from ..prediction import probabilities, smooth_along_slices
from ..propagation import Fields, propagate_labels
from ..reporting import TimeLeft
from .loop import Run

CHUNK = 32  # slices predicted at once


def predicted(run: Run, network: nn.Module, numbers: Tensor) -> Tensor:
    """The network's most probable class (eq. 1) for these slices, uint8 (len(numbers), rows, columns), on the CPU."""
    labels = []
    for some in numbers.split(CHUNK):
        run.reporter.check_cancelled()
        images = run.data.batch(some, run.settings.context).to(run.device)
        labels.append(probabilities(network, images).argmax(1).to(torch.uint8).cpu())
    return torch.cat(labels)


def predicted_volumes(run: Run, network: nn.Module) -> Tensor:
    """Label maps of all slices of the cohort (as its stack), each volume smoothed along slices and cleaned up.

    Cleaning keeps what hangs together with the drawn structure; neither happens without ``largest_component``.
    """
    settings, data = run.settings, run.data
    result, left = torch.zeros_like(data.labels, device="cpu"), TimeLeft()
    for done, case in enumerate(data.cases):
        run.reporter.progress("pseudo labels", done / len(data.cases), case.name, left(done / len(data.cases)))
        here = torch.arange(case.start, case.stop)
        if not settings.largest_component:
            result[case.start : case.stop] = predicted(run, network, here)
            continue
        parts = [
            probabilities(network, data.batch(some, settings.context).to(run.device), settings.test_flips).cpu()
            for some in here.split(CHUNK)
        ]
        probability = smooth_along_slices(torch.cat(parts).numpy(), settings.smoothing / case.slice_spacing)
        labels = probability.argmax(1).astype("uint8")
        drawn = data.labels[case.start : case.stop].cpu().numpy()
        result[case.start : case.stop] = torch.from_numpy(keep_touching(labels, drawn))
    return result


@torch.inference_mode()
def propagated_labels(run: Run, network: nn.Module) -> tuple[Tensor, Tensor]:
    """Drawn labels carried from slice to slice by the registration network.

    Returns the label maps (as the cohort's stack, uint8) and (slices,) bool: which slices a label reached, those at
    most ``reach`` slices from a drawn one (all if ``reach`` is 0).
    """
    data, reach = run.data, run.settings.reach
    labels, reached = torch.zeros_like(data.labels, device="cpu"), torch.zeros(len(data.labels), dtype=torch.bool)
    left = TimeLeft()
    for done, case in enumerate(data.cases):
        run.reporter.progress("propagation", done / len(data.cases), case.name, left(done / len(data.cases)))
        # only the slices that a label reaches: the rest would cost time and not be used
        low = max(0, min(case.annotated) - reach) if reach else 0
        high = min(case.stop - case.start, max(case.annotated) + reach + 1) if reach else case.stop - case.start
        window = slice(case.start + low, case.start + high)
        slices = data.images[window].to(run.device).float() / 255
        drawn = {n - low: _soft(data.labels[case.start + n], data.classes).to(run.device) for n in case.annotated}
        absent = torch.zeros(high - low, dtype=torch.bool)
        absent[[n - low for n in case.absent if low <= n < high]] = True
        travelled = propagate_labels(Fields(network, slices), drawn, absent)
        labels[window] = travelled.probability.argmax(1).to(torch.uint8).cpu()
        near = travelled.distance <= reach if reach else torch.ones(high - low, dtype=torch.bool)
        reached[window] = near.cpu()
    return labels, reached


def _soft(label: Tensor, classes: int) -> Tensor:
    return F.one_hot(label.long(), classes + 1).permute(2, 0, 1).float()
