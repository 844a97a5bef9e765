"""A few numbers that describe a slice, from an auto-encoder (zheng2020, eq. 3-4, "Feature Extractor").

Its convolutions are those of VGG-19 as trained on ImageNet, kept as they are, where torchvision's weights lie in
PyTorch's folder of downloads; nothing is downloaded. Elsewhere the convolutions are trained here, on the slices too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .reporting import Reporter, TimeLeft

LATENT, HIDDEN = 128, 256
WIDTHS, LIGHT = (16, 32, 64, 128), (32, 16, 8)  # channels of the convolutions trained here, and of the decoder
CHUNK = 64  # slices encoded at once
VGG19 = (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0)  # features, 0 is a pooling
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colors


class Vgg19(nn.Module):
    """The convolutions of VGG-19 (Simonyan and Zisserman 2014) with torchvision's names, for grey slices."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for width in VGG19:
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, side, side) in [0, 1] -> (B, 512, side / 32, side / 32)."""
        mean, deviation = (images.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        return self.features((images - mean) / deviation)


class AutoEncoder(nn.Module):
    """Convolutions, two fully connected layers to ``LATENT`` numbers, and a decoder of slices of half the size."""

    def __init__(self, side: int, convolutions: nn.Module | None = None):
        super().__init__()
        self.convolutions = convolutions or nn.Sequential(*_halvings())
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, 1, side, side)).numel()
        self.compression = nn.Sequential(
            nn.Flatten(), nn.Linear(flat, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, LATENT)
        )
        self.decoder = nn.Sequential(*_doublings(side))

    def forward(self, maps: Tensor) -> Tensor:
        """Slices (B, 1, side / 2, side / 2) from what the convolutions made of them."""
        return self.decoder(self.compression(maps))


def _halvings() -> list[nn.Module]:
    layers, channels = [], 1
    for width in WIDTHS:
        layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1, inplace=True)]
        channels = width
    return layers


def _doublings(side: int) -> list[nn.Module]:
    bottom, channels = side // 2 ** (len(LIGHT) + 1), WIDTHS[-1]
    layers = [nn.Linear(LATENT, channels * bottom**2), nn.Unflatten(1, (channels, bottom, bottom))]
    for width in LIGHT:
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(channels, width, 3, padding=1)]
        layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.1, inplace=True)]
        channels = width
    return [*layers, nn.Conv2d(channels, 1, 3, padding=1)]


def vgg19_on_disk() -> nn.Module | None:
    """VGG-19's convolutions as trained on ImageNet, from PyTorch's folder of downloads; None where there are none."""
    files = sorted(Path(torch.hub.get_dir(), "checkpoints").glob("vgg19-*.pth"))
    if not files:
        return None
    weights = torch.load(files[0], map_location="cpu", weights_only=True)  # tensors only: nothing in it can execute
    network = Vgg19()
    network.load_state_dict({name: value for name, value in weights.items() if name.startswith("features.")})
    return network.eval().requires_grad_(False)


def describe(
    slices: np.ndarray, steps: int, batch: int, rate: float, seed: int, device: torch.device, reporter: Reporter
) -> tuple[np.ndarray, str]:
    """Features (slices, ``LATENT``) of ``slices`` (slices, side, side) uint8, and what made the maps they come from.

    ``side`` is a multiple of 32. The auto-encoder has ``steps`` steps of Adam to learn (eq. 4, mean squared error).
    """
    pretrained = vgg19_on_disk()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoEncoder(slices.shape[-1], pretrained).to(device)
    images = torch.from_numpy(slices).unsqueeze(1)
    maps = _maps(network, images, device, reporter) if pretrained else None  # they never change: made once
    _learn(network, images, maps, steps, batch, rate, seed, device, reporter)
    network.eval()
    with torch.inference_mode():
        maps = _maps(network, images, device, reporter) if maps is None else maps
        found = torch.cat([network.compression(part.to(device)).cpu() for part in maps.split(CHUNK)])
    found = found - found.mean(0)  # what all slices share would make all of them alike
    return found.numpy(), "VGG-19" if pretrained else "an auto-encoder trained on these slices"


def _learn(network, images, maps, steps, batch, rate, seed, device, reporter) -> None:
    network.train()
    if maps is not None:
        network.convolutions.eval()
    optimizer = torch.optim.Adam([value for value in network.parameters() if value.requires_grad], lr=rate)
    generator, left = torch.Generator().manual_seed(seed), TimeLeft()
    for step in range(steps):
        reporter.check_cancelled()
        reporter.progress("describe", step / steps, "", left(step / steps))
        chosen = torch.randint(len(images), (batch,), generator=generator)
        slices = images[chosen].to(device).float() / 255
        seen = network.convolutions(slices) if maps is None else maps[chosen].to(device)
        loss = F.mse_loss(network(seen), F.avg_pool2d(slices, 2))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    reporter.progress("describe", 1.0)


@torch.no_grad()
def _maps(network: AutoEncoder, images: Tensor, device: torch.device, reporter: Reporter) -> Tensor:
    """What the convolutions in evaluation mode make of all slices, on the CPU."""
    network.convolutions.eval()
    parts = []
    for part in images.split(CHUNK):
        reporter.check_cancelled()
        parts.append(network.convolutions(part.to(device).float() / 255).cpu())
    return torch.cat(parts)
