"""The settings of a training; whatever is left out comes from the preset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from .augmentation import Augmentation


@dataclass(frozen=True)
class TrainSettings:
    """What and how to train. ``None`` means: as the preset has it (``presets.resolve`` fills it in).

    Constants named in osman2024 keep their names: K1, K2 and alpha_f of eq. 3, gamma of eq. 2, beta, gamma_certain and
    gamma_uncertain of eq. 6-7.
    """

    method: Literal["collaborative", "central_only", "full"] = "collaborative"
    preset: Literal["fast", "balanced", "paper"] = "balanced"
    seed: int = 0
    device: str = "auto"
    validation: int = 0  # cases kept aside, to measure the network on what is drawn on them

    absence: bool | None = None  # outermost slices, and those beyond first and last slice, are background labels
    absence_share: float | None = None  # part of a labelled batch that shows absent slices

    pixels: int | None = None  # working resolution: pixels of the median slice, 0 = as acquired
    context: int | None = None  # neighbouring slices on each side given to the network besides (2.5D)
    width: int | None = None  # features of the U-Net's first level
    depth: int | None = None  # how many of the U-Net's four down-samplings double the features
    stride: int | None = None  # the U-Net works on slices reduced by this factor: 1, 2 or 4

    optimizer: Literal["adam", "adamw"] | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: Literal["one_cycle", "halving", "constant"] | None = None
    halve_every: int | None = None  # epochs, for the schedule "halving"
    averaging: float | None = None  # decay of the moving average of the weights, 0 = the last weights
    batch: int | None = None  # slices in a step
    epochs: int | None = None  # of the target network
    baseline_epochs: int | None = None  # of the only network of the methods central_only and full
    steps: int | None = None  # optimizer steps in an epoch, 0 = each slice once
    gamma: float | None = None  # cross-entropy beside Dice in eq. 2

    semi_epochs: int | None = None  # of the semi-supervised network
    K1: int | None = None
    K2: int | None = None
    alpha_f: float | None = None
    semi_learning_rate: float | None = None

    registration: Literal["shipped", "tuned"] | None = None  # network that propagates: as shipped, or trained further
    registration_epochs: int | None = None
    registration_batch: int | None = None
    registration_learning_rate: float | None = None

    fusion: Literal["consistency", "intersection", "union", "blend"] | None = None
    uncertain: Literal["weighted", "background", "ignored", "trusted"] | None = None  # what eq. 5 is in the loss
    reach: int | None = None  # slices that a propagated label is used for on either side of the drawn one, 0 = all
    beta: float | None = None
    gamma_certain: float | None = None
    gamma_uncertain: float | None = None
    drawn_share: float | None = None  # part of the target's batches that shows drawn and absent slices
    warm_start: bool | None = None  # the target network starts from the semi-supervised one

    augmentation: Augmentation | None = None
    test_flips: bool | None = None  # average the predictions over mirrored slices (only if trained with flips)
    largest_component: bool | None = None  # keep the largest connected part of each class
    smoothing: float | None = None  # mm, Gaussian average of the probabilities along slices
    pseudo_labels: bool | None = None  # write the fused labels to MODEL/pseudo_labels, for the report

    def known(self) -> dict:
        """The settings that are given, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not None
        }
