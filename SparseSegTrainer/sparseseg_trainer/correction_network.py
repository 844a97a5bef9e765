"""A small network that has learned how labels go wrong on their way through a volume. It ships with the package.

It sees one structure at a time, as registration and appearance have it, and knows no organ.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from monai.inferers import sliding_window_inference
from monai.networks.blocks import Convolution
from safetensors.torch import load_file
from torch import Tensor, nn

from .correction import Combined
from .devices import fast_numbers
from .known_slices import KnownSlices

SHIPPED_CORRECTION = Path(__file__).parent / "weights" / "correction.safetensors"
CLUES = 11  # that the network sees of each voxel, in the order of ``clues``
COMBINED, IMAGE, DRAWN, ABSENT = 0, 4, 9, 10  # of these
DILATIONS = ((1, 2, 2), (2, 4, 4), (4, 8, 8))  # neighbouring slices differ more than neighbouring pixels
LEAST = 1e-2  # probability: beyond it a logit says nothing more
SHARE, SHARE_MARKED = 0.5, 0.25  # of the change that counts; on the way to a marked end less is wrong
FOUND = 0.1  # probability from which a voxel may belong to the structure; what is far from all such is not looked at
MARGIN = 8  # slices, rows and columns around these
AT_ONCE = 64  # slices, which bounds the memory


class CorrectionNetwork(nn.Module):
    """Convolutions of growing reach: clues (batch, ``CLUES``, slice, row, column) -> change of the logit.

    The change is (batch, 1, slice, row, column), in bfloat16 where that is faster.
    """

    def __init__(self, width: int = 16):
        super().__init__()
        self.near = nn.Sequential(_convolution(CLUES, width), _convolution(width, width))
        self.far = nn.ModuleList(_convolution(width, width, dilation) for dilation in DILATIONS)
        self.change = nn.Sequential(
            _convolution(width * (1 + len(DILATIONS)), width, size=1), nn.Conv3d(width, 1, kernel_size=1)
        )
        nn.init.zeros_(self.change[-1].weight)
        nn.init.zeros_(self.change[-1].bias)
        self.to(memory_format=torch.channels_last_3d)

    def forward(self, clues: Tensor) -> Tensor:
        with fast_numbers(clues, min(clues.shape[2:]) // DILATIONS[-1][-1]):  # the farthest see every eighth voxel
            seen = [self.near(clues.contiguous(memory_format=torch.channels_last_3d))]
            for wider in self.far:
                seen.append(wider(seen[-1]))
            return self.change(torch.cat(seen, 1))


@cache
def shipped_correction(device: torch.device | str = "cpu") -> CorrectionNetwork:
    """The network that ships with the package (see ``weights/README.md``), in evaluation mode."""
    network = CorrectionNetwork()
    network.load_state_dict(load_file(SHIPPED_CORRECTION))
    return network.to(device).eval()


@torch.no_grad()
def mended(network: CorrectionNetwork, combined: Combined) -> Tensor:
    """The ``combined`` probability (slice, class, row, column) as the network changes it, class by class.

    Drawn slices, absent ones and what lies far from the structure stay.
    """
    known, probability = combined.known, combined.probability.clamp_min(LEAST).log()
    open_slices = ~known.drawn_slices & ~known.absent
    share = open_slices * torch.where(_place(combined)[1] > 0, SHARE_MARKED, SHARE)
    share = share.to(probability.device)[:, None, None]
    for number in sorted(set(range(1, known.classes + 1)) - set(known.missing)):
        box = looked_at(combined.probability[:, number])
        seen = clues(combined, number, box)[None]
        window = min(AT_ONCE, seen.shape[2]), *seen.shape[3:]
        change = sliding_window_inference(seen, window, 1, network, overlap=0.3, mode="gaussian")[0, 0].float()
        probability[:, number][box] += share[box[0]] * change
    return torch.where(open_slices.view(-1, 1, 1, 1).to(share.device), probability.softmax(1), combined.probability)


def clues(combined: Combined, number: int, box: tuple[slice, slice, slice]) -> Tensor:
    """What the network sees of the class of that ``number`` in a ``box``: (``CLUES``, slice, row, column).

    Logits of the combined, the tapered and the carried probability, halved; the appearance's evidence, halved; the
    image in standard deviations of the drawn structure; then, the same for a whole slice: how far it lies towards the
    end (0 to 1), whether that end is marked, distance, confidence, whether it is drawn, and whether it is absent.
    """
    known, labels = combined.known, (combined.probability, combined.tapered, combined.travelled.carried)
    images = [torch.logit(label[:, number][box], eps=LEAST) / 2 for label in labels]
    images += [combined.evidence[:, number - 1][box] / 2, _standardized(known, number, box)]
    rows = [*_place(combined), (combined.travelled.distance + 1).log() / 3, combined.travelled.confidence]
    rows = torch.stack([*rows, known.drawn_slices.float(), known.absent.float()])[:, box[0]].to(images[0])
    return torch.cat([torch.stack(images), rows[:, :, None, None].expand(-1, -1, *images[0].shape[1:])])


def _place(combined: Combined) -> tuple[Tensor, Tensor]:
    """Of each slice (slice,) its way from the outermost drawn slice to the end, 0 to 1, and whether the end is marked.

    Between drawn slices 0 and 1, and 0 where the structure leaves the volume.
    """
    known, count = combined.known, len(combined.known.slices)
    way, marked, number = torch.zeros(count), torch.ones(count), torch.arange(count)
    sides = zip((min(known.drawn), max(known.drawn)), combined.usual, (combined.first, combined.last), strict=True)
    for side, (start, taper, end) in enumerate(sides):
        beyond = number > start if side else number < start
        if taper.end is not None:
            way[beyond] = ((number - start).abs() / max(1, abs(taper.end - start))).clamp_max(1)[beyond]
        marked[beyond] = float(end is not None)
    return way, marked


def _standardized(known: KnownSlices, number: int, box: tuple[slice, slice, slice]) -> Tensor:
    """A ``box`` of the image (slice, row, column) minus the mean of the drawn structure, in its standard deviations."""
    mask = torch.stack([label[number] for label in known.drawn.values()])
    inside, area = known.slices[list(known.drawn)], mask.sum().clamp_min(1e-6)
    mean = (mask * inside).sum() / area
    deviation = ((mask * (inside - mean) ** 2).sum() / area).sqrt() + 0.02
    return ((known.slices[box] - mean) / deviation).clamp(-4, 4) / 2


def looked_at(probability: Tensor) -> tuple[slice, slice, slice]:
    """The part of a ``probability`` (slice, row, column) that may show the structure, with a margin.

    All of it if it is nowhere.
    """
    found = torch.nonzero(probability > FOUND)
    if not len(found):
        return (slice(None),) * 3
    low, high = (found.amin(0) - MARGIN).clamp_min(0).tolist(), (found.amax(0) + 1 + MARGIN).tolist()
    return tuple(slice(*ends) for ends in zip(low, high, strict=True))


def _convolution(channels: int, width: int, dilation: tuple[int, ...] | int = 1, size: int = 3) -> nn.Module:
    act = ("LeakyReLU", {"negative_slope": 0.1})
    return Convolution(3, channels, width, kernel_size=size, dilation=dilation, norm=None, act=act)
