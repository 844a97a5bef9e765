"""What the semi-supervised methods for volumes add to a V-Net while it is trained; the V-Net alone is the result."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import fast_numbers
from ..network_shape import NetworkShape
from ..volume_networks import Decoder, VNet, convolution

EMBEDDED = 32  # features of the voxels that SS-Net compares


class Extended(nn.Module):
    """A V-Net with parts beside it that are trained, averaged and kept in checkpoints with it."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.network = VNet(shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class DistanceHead(Extended):
    """A V-Net that answers with a signed distance map of each class, too (SASSNet, DTC)."""

    def __init__(self, shape: NetworkShape):
        super().__init__(shape)
        self.distance = nn.Conv3d(shape.width, shape.classes, 1)

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, C + 1, ...) and distance maps (B, C, ...) from -1 to 1."""
        with fast_numbers(images):
            features = self.network.features(images)
            logits, maps = self.network.head(features), self.distance(features)
        return logits.float(), maps.float().tanh()


class Judged(DistanceHead):
    """The same with a discriminator, which learns to tell maps of labelled patches from others (SASSNet)."""

    def __init__(self, shape: NetworkShape):
        super().__init__(shape)
        self.rival = Discriminator(shape)


class Discriminator(nn.Module):
    """Logits (B, 2) of "not labelled" and "labelled" from distance maps (B, C, ...) and images (B, 1, ...)."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        first, *strides = shape.strides()
        width = 4 * shape.width
        self.maps, self.images = strided(shape.classes, width, first), strided(1, width, first)
        widths = [width * 2**level for level in range(len(strides) + 1)]
        sides = zip(widths, widths[1:], strides, strict=False)
        self.deeper = nn.ModuleList(strided(*side) for side in sides)
        self.classifier = nn.Linear(widths[-1], 2)

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        with fast_numbers(images):
            features = F.leaky_relu(self.maps(maps) + self.images(images), 0.2)
            for layer in self.deeper:
                features = F.leaky_relu(layer(features), 0.2)
            logits = self.classifier(features.mean((2, 3, 4)))
        return logits.float()


def strided(inputs: int, outputs: int, stride: tuple[int, int, int]) -> nn.Conv3d:
    """A convolution that halves the axes with stride 2: with 4 voxels along them, with 3 along the others."""
    return nn.Conv3d(inputs, outputs, [step + 2 for step in stride], stride, 1)


class Pyramid(Extended):
    """A V-Net that answers from the coarser levels of its decoder, too: four in all at most (URPC)."""

    def __init__(self, shape: NetworkShape):
        super().__init__(shape)
        levels = range(1, min(4, len(shape.strides())))
        self.heads = nn.ModuleList(nn.Conv3d(shape.width * 2**level, shape.classes + 1, 1) for level in levels)

    def answers(self, images: Tensor) -> list[Tensor]:
        """Logits (B, C + 1, ...) of each level in full resolution, the finest first."""
        heads = [self.network.head, *self.heads]
        with fast_numbers(images):
            features = self.network.decoder(self.network.encoder(images))
            logits = [head(level) for head, level in zip(heads, features, strict=False)]
        return [F.interpolate(some.float(), images.shape[2:], mode="trilinear") for some in logits]


class TrilinearDecoder(Decoder):
    """A decoder that interpolates, where the V-Net's own has transposed convolutions (MC-Net)."""

    mode = "trilinear"

    def up(self, inputs: int, outputs: int, stride) -> nn.Module:
        larger = nn.Upsample(scale_factor=tuple(map(float, stride)), mode=self.mode)
        return nn.Sequential(larger, convolution(inputs, outputs))


class NearestDecoder(TrilinearDecoder):
    """The third decoder of MC-Net+."""

    mode = "nearest"


class Decoders(Extended):
    """A V-Net with one or two further decoders on its encoder (MC-Net, MC-Net+)."""

    def __init__(self, shape: NetworkShape, count: int):
        super().__init__(shape)
        kinds = (TrilinearDecoder, NearestDecoder)[: count - 1]
        self.decoders = nn.ModuleList(kind(shape) for kind in kinds)
        self.heads = nn.ModuleList(nn.Conv3d(shape.width, shape.classes + 1, 1) for _ in kinds)

    def answers(self, images: Tensor) -> list[Tensor]:
        """Logits (B, C + 1, ...) of each decoder, the V-Net's own first."""
        decoders, heads = [self.network.decoder, *self.decoders], [self.network.head, *self.heads]
        with fast_numbers(images):
            levels = self.network.encoder(images)
            logits = [head(decoder(levels)[0]) for decoder, head in zip(decoders, heads, strict=True)]
        return [some.float() for some in logits]


class Prototypes(Extended):
    """A V-Net with embeddings of its last features, and remembered ones of each class to compare with (SS-Net)."""

    def __init__(self, shape: NetworkShape, count: int):
        super().__init__(shape)
        self.projection, self.prediction = perceptron(shape.width, EMBEDDED), perceptron(EMBEDDED, EMBEDDED)
        # How much each embedding and each prototype of a class counts
        self.attention = nn.ModuleList(perceptron(EMBEDDED, 1) for _ in range(shape.classes))
        self.memory_attention = nn.ModuleList(perceptron(EMBEDDED, 1) for _ in range(shape.classes))
        self.register_buffer("memory", torch.zeros(shape.classes, count, EMBEDDED))

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, C + 1, ...) and the features that they are made of (B, width, ...)."""
        with fast_numbers(images):
            features = self.network.features(images)
            logits = self.network.head(features)
        return logits.float(), features.float()


def perceptron(inputs: int, outputs: int) -> nn.Module:
    """Two layers, for (N, inputs)."""
    return nn.Sequential(
        nn.Linear(inputs, EMBEDDED), nn.LayerNorm(EMBEDDED), nn.LeakyReLU(0.2), nn.Linear(EMBEDDED, outputs)
    )
