"""Representative slices and self-training (Zheng et al., AAAI 2020).

Which slices are drawn is the job ``suggest``; this is what is learned from them. A network of slices along three axes
(eq. 1) and a sparse DenseVoxNet (eq. 2) give each volume four sets of pseudo labels, from which a Y-shaped meta network
learns: from a random set of each patch first, later from the one nearest to its own answer (eq. 9).
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...dense_networks import PlanesNetwork, Representative, agreement, apart
from ...prediction import volume_probabilities
from ...reporting import TimeLeft
from ..loop import Run, Stage, train_stage
from ..pseudo_labels import kept
from ..supervised import first_weights, steps_for
from ..validation import live_dice
from ..volumetric import draw_patches, known_voxels, run_shape
from .dense_voxnet import known_cross_entropy, supervised_twice, train_voxels


def train(run: Run) -> nn.Module:
    """Train both base networks, label all volumes with them, and train the meta network; returns all three as one."""
    with first_weights(run, "meta"):
        network = Representative(run_shape(run))
    network.planes.load_state_dict(train_planes(run).state_dict())
    network.voxels.load_state_dict(train_voxels(run, "voxels").state_dict())
    pseudo = kept(run, lambda: pseudo_labels(run, network), "pseudo")
    return train_meta(run, network, pseudo)


def train_planes(run: Run) -> nn.Module:
    """The network of slices: every step shows slices of patches across each of the three axes."""
    settings, steps = run.settings, steps_for(run.settings, len(run.data.cases))

    def batch_loss(network, _, generator):
        images, labels, known = draw_patches(run, run.data.cases, run.settings.batch, generator, drawn_on=True)
        total = 0.0
        for axis in range(3):
            shown, truth, where = (apart(part, axis) for part in (images, labels[:, None], known[:, None]))
            chosen = best_known(known, axis, run.settings.batch * settings.volumetric.planes, generator)
            total = total + known_cross_entropy(network.slices(shown[chosen]), truth[chosen, 0], where[chosen, 0])
        return total / 3

    with first_weights(run, "planes"):
        network = PlanesNetwork(run_shape(run))
    epochs = max(1, round(settings.baseline_epochs * settings.volumetric.planes_epochs))
    rate = settings.learning_rate
    schedule = late_tenth if settings.schedule == "poly" else None  # the paper's "poly" is of its other two networks
    stage = Stage("planes", network, epochs, rate, lambda *_: [None] * steps, batch_loss, steps, schedule=schedule)
    return train_stage(run, stage)


def late_tenth(done: float) -> float:
    """Share of the first learning rate: a tenth from 10 000 of the 15 000 steps of the preset ``paper`` on."""
    return 1.0 if done < 2 / 3 else 0.1


def best_known(known: Tensor, axis: int, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of at most ``count`` slices of patches ``apart`` across ``axis``, at random, the best known ones first.

    ``known`` (B, slices, rows, columns) bool. The best known of a patch have half as many known pixels as any: those
    drawn across this axis, augmentation having moved them. Few of these are in a patch where slices of three planes
    are drawn; then those that cross other drawn slices fill the batch.
    """
    pixels = known.movedim(1 + axis, 1).flatten(2).sum(2)
    best = (2 * pixels >= pixels.amax(1, keepdim=True)).flatten()
    numbers = torch.nonzero(((pixels > 0) | ~known.any()).flatten())[:, 0]  # never none
    order = best[numbers].cpu() + torch.rand(len(numbers), generator=generator)
    return numbers[order.topk(min(count, len(numbers))).indices.to(numbers.device)]


def pseudo_labels(run: Run, network: Representative) -> Tensor:
    """The base networks' labels of the whole stack, uint8 (4, slices, rows, columns) on the CPU; known slices stay."""
    data, patch = run.data, run_shape(run).patch
    result, left = torch.zeros(4, *data.labels.shape, dtype=torch.uint8), TimeLeft()
    network.to(run.device).eval()
    for done, case in enumerate(data.cases):
        run.reporter.progress("pseudo labels", done / len(data.cases), case.name, left(done / len(data.cases)))
        volume = data.volume(data.images, case).to(run.device)[None, None].float() / 255
        truth, known = data.volume(data.labels, case).cpu(), known_voxels(data, case)
        for labels, source in zip(result, network.sources(), strict=True):
            found = volume_probabilities(source, volume, patch, step=run.reporter.check_cancelled)[0].argmax(0)
            found = found.to(torch.uint8).cpu()
            found[known] = truth[known]
            data.volume(labels, case).copy_(found)
    return result


def train_meta(run: Run, network: Representative, pseudo: Tensor) -> nn.Module:
    """The meta network, the base networks staying as they are."""
    settings, steps = run.settings, steps_for(run.settings, len(run.data.cases))
    how = settings.volumetric
    network.requires_grad_(False).meta.requires_grad_(True)

    def epoch_batches(epoch, averaged, generator):
        return [(epoch * steps + step) / (settings.epochs * steps) for step in range(steps)]

    def batch_loss(network, done, generator):
        images, labels, inside = labelled_patches(run, pseudo, generator)
        answers = network.meta.answers(images, agreement(labels, run.data.classes))
        choice = torch.randint(len(labels), (len(images),), generator=generator).to(images.device)
        if done >= how.nearest_from:
            choice = nearest(answers[0].detach(), labels, inside)
        target = labels[choice, torch.arange(len(images), device=images.device)]
        return supervised_twice(answers, target, inside, how.side)

    stage = Stage("target", network, settings.epochs, settings.learning_rate, epoch_batches, batch_loss, steps)
    stage.dice = partial(live_dice, run)
    return train_stage(run, stage)


def labelled_patches(run: Run, pseudo: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Patches (B, 1, ...) with each of their pseudo labels (4, B, ...), and what is inside the volume (B, ...) bool."""
    state, sets = generator.get_state(), []
    for labels in pseudo:
        generator.set_state(state)  # the same places, and the same augmentation
        images, found, inside = draw_patches(run, run.data.cases, run.settings.batch, generator, labels)
        sets.append(found)
    return images, torch.stack(sets), inside


def nearest(logits: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
    """For each patch the number of the set of pseudo labels (V, B, ...) of lowest cross-entropy with ``logits``."""
    distances = [(F.cross_entropy(logits, own.long(), reduction="none") * inside).flatten(1).sum(1) for own in labels]
    return torch.stack(distances).argmin(0)
