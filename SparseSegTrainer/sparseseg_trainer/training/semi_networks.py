"""The semi-supervised networks of a training: several that see slices at different sizes answer together.

One network alone is as good as its seed has it. What two of them disagree on is left to neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..cohort_grid import MULTIPLE
from ..volume_networks import mean_answer


class SemiNetworks(nn.Module):
    """Networks of slices, each shown them with rows and columns ``scales`` times as many; the mean is their answer.

    ``forward`` takes and returns what each of the networks does (``SegmentationNetwork``).
    """

    def __init__(self, networks: Sequence[nn.Module], scales: Sequence[float]):
        super().__init__()
        self.networks, self.scales = nn.ModuleList(networks), tuple(scales)

    def forward(self, images: Tensor) -> Tensor:
        answers = [_at_scale(*own, images) for own in zip(self.networks, self.scales, strict=True)]
        return mean_answer(answers) if len(answers) > 1 else answers[0]


def _at_scale(network: nn.Module, scale: float, images: Tensor) -> Tensor:
    """The network's logits for ``images`` that it is shown at another size, at the size of ``images``."""
    if scale == 1:
        return network(images)
    size = images.shape[2:]
    smaller = tuple(MULTIPLE * max(1, round(side * scale / MULTIPLE)) for side in size)
    answer = network(interpolate(images, smaller, mode="bilinear", antialias=True))
    return interpolate(answer, size, mode="bilinear")
