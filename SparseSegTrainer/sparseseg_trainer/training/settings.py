"""The settings of a training; whatever is left out comes from the preset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from ..settings import CheckedSettings
from .augmentation import Augmentation
from .keys import Method


@dataclass(frozen=True)
class Consistency:
    """Constants of the semi-supervised comparison methods; the defaults are those of their public implementations.

    What changes in a training is given as parts of it, 0 to 1.
    """

    supervised: float = 0.5  # weight of the loss on known slices
    labelled: float = 0.5  # part of a batch that shows known slices
    # Known and unlabelled slices of a batch pass through the network apart, and the averages that batch normalization
    # keeps for later are of the known ones
    apart: bool = False
    weight: float = 0.1  # of the consistency with the teacher, once ramped up
    ramp: float = 1.0  # part of the training after which it is
    decay: float = 0.99  # of the moving average that is the teacher
    # Standard deviation of what is added to the teacher's slices, from 0 to 1; of patches of volumes, as part of their
    # own standard deviation
    noise: float = 0.1
    noise_limit: float = 0.2  # largest noise, likewise
    passes: int = 8  # ua_mt: of the teacher, with other noise each
    certain_from: float = 0.75  # ua_mt: part of the largest entropy below which the teacher is certain, at first
    certain_to: float = 1.0  # and at the end
    ambiguous_from: float = 0.75  # ac_mt: part of the largest entropy from which the student is ambiguous, at first
    ambiguous_to: float = 0.95  # and at the end
    mixing: float = 0.2  # ict: both parameters of the Beta distribution
    agreement: float = 0.5  # dct_seg: weight of the Jensen-Shannon divergence
    diversity: float = 0.05  # dct_seg: weight of the adversarial examples
    diversity_start: float = 0.17  # dct_seg: part of the training after which these come
    agreement_ramp: float = 0.42  # dct_seg: part of the training after which both weights are ramped up
    attack: float = 0.03  # dct_seg: change of each pixel in an adversarial example


@dataclass(frozen=True)
class Volumetric:
    """Constants of the methods whose network sees volumes; the defaults are those of zhang2024."""

    # Slices, rows and columns that the network sees at once; smaller where the largest volume is.
    patch: tuple[int, int, int] = (80, 112, 112)
    quarter_turns: bool = True  # augmentation by 90, 180 and 270 degrees within the slices
    tenth_after: float = 5 / 12  # part of the training after which the schedule "tenth" divides the rate, repeatedly
    teacher: float = 0.01  # hybrid_crop: part of the teacher's weights that a step replaces, alpha + beta of eq. 1
    second_share: float = 0.5  # hybrid_crop: of it, from the second student, beta / (alpha + beta)
    # hybrid_crop: what the teacher is the mean of, the weights of both students (eq. 1) or what their averages answer
    teacher_of: Literal["weights", "answers"] = "weights"
    unlabelled: float = 1.0  # hybrid_crop: lambda of eq. 18, once ramped up
    mixed: float = 1.0  # hybrid_crop: mu of eq. 18, once ramped up
    pseudo_ramp: float = 0.4  # hybrid_crop: part of the training after which these two are; 0: from the start
    crop: float = 0.5  # hybrid_crop: each side of the region that is mixed, as part of the patch's
    patience: int = 10  # partial: epochs without a better network after which the learning rate is halved
    second_step: float = 1.0  # partial: epochs of the second step as part of those of the first; 0 leaves it out
    restart: int = 60  # partial: epochs after which the learning rate starts anew, in the second step
    side: float = 0.33  # representative, dense_voxnet: weight of the loss of DenseVoxNet's side path
    planes: int = 8  # representative: slices across each axis that the network of slices sees of each patch
    planes_epochs: float = 1.0  # representative: epochs of the network of slices as part of those of DenseVoxNet
    nearest_from: float = 0.5  # representative: part of the meta network's training after which it fits nearest labels
    distance: float = 0.3  # sassnet, dtc: weight of the error of the distance maps
    adversarial: float = 0.01  # sassnet: weight of taking the discriminator in
    rival_rate: float = 1e-4  # sassnet: the discriminator's learning rate, which stays the same
    dual_task: float = 1.0  # dtc: weight of the agreement of both heads
    steepness: float = 1500.0  # dtc: of the step from a distance to a probability
    mutual: float = 1.0  # mc_net: weight of the agreement of the decoders
    temperature: float = 0.1  # mc_net: of the sharpening
    decoders: int = 2  # mc_net: 3 for its extension MC-Net+
    smoothness: float = 1.0  # ss_net: weight of smoothness and separation together
    separation: float = 0.1  # ss_net: weight of the separation beside the smoothness
    radius: float = 0.01  # ss_net: change of each voxel in an adversarial example, in standard deviations
    prototypes: int = 32  # ss_net: of each class
    voxels: int = 4096  # ss_net: of each class in a batch, that are compared with these


@dataclass(frozen=True)
class TrainSettings(CheckedSettings):
    """What and how to train. ``None`` means: as the preset has it (``resolving.resolve`` fills it in). A group that
    is given (``Consistency``, say) replaces the preset's whole group.

    Constants named in osman2024 keep their names: K1, K2 and alpha_f of eq. 3, gamma of eq. 2, beta, gamma_certain and
    gamma_uncertain of eq. 6-7.
    """

    method: Method = "collaborative"
    preset: Literal["fast", "balanced", "paper"] = "balanced"
    seed: int = 0
    device: str = "auto"
    validation: int = 0  # cases kept aside, to measure the network on what is drawn on them

    absence: bool | None = None  # outermost slices, and those beyond first and last slice, are background labels
    absence_share: float | None = None  # part of a labelled batch that shows absent slices

    dimensions: Literal[2, 3] | None = None  # what the network sees, slices or volumes, where the method leaves it open
    # What brings slices to one scale: the spacing in their files, or their field of view where that spacing is not true
    size_by: Literal["auto", "spacing", "field_of_view"] | None = None
    # What networks see of a slice: the part around its center where structures were drawn, with a margin, or all of it
    region: Literal["drawn", "whole"] | None = None
    pixels: int | None = None  # working resolution: pixels of what is seen of the median slice, 0 = as acquired
    context: int | None = None  # neighbouring slices on each side given to the network besides (2.5D)
    width: int | None = None  # features of the U-Net's first level
    depth: int | None = None  # how many of the U-Net's four down-samplings double the features
    stride: int | None = None  # the U-Net works on slices reduced by this factor: 1, 2 or 4

    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    momentum: float | None = None  # for the optimizer "sgd"
    schedule: Literal["one_cycle", "halving", "tenth", "poly", "constant"] | None = None
    halve_every: int | None = None  # epochs, for the schedule "halving"
    averaging: float | None = None  # decay of the moving average of the weights, 0 = the last weights
    batch: int | None = None  # slices (or patches of volumes) in a step
    epochs: int | None = None  # of the target network
    baseline_epochs: int | None = None  # of the methods that train one network on the drawings themselves
    steps: int | None = None  # optimizer steps in an epoch, 0 = each slice once
    gamma: float | None = None  # cross-entropy beside Dice in eq. 2

    semi_epochs: int | None = None  # of the semi-supervised network
    # One such network for each; it sees slices with so many times the rows and columns of the working grid
    semi_scales: tuple[float, ...] | None = None
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
    # The target network and those of cuts start from the first semi-supervised one, in ``full`` those from the target
    warm_start: bool | None = None

    # Networks that see volumes otherwise; the answers of all are averaged (``views.py``)
    orthogonal_epochs: int | None = None  # of those of cuts along rows and along columns; 0: there are none
    overview_epochs: int | None = None  # of that of whole volumes, coarsely; 0: there is none
    overview_batch: int | None = None  # volumes in a step
    overview_learning_rate: float | None = None
    overview_width: int | None = None  # features of its first level
    overview_side: int | None = None  # voxels that it sees at once along each axis, a multiple of 8

    consistency: Consistency | None = None
    volumetric: Volumetric | None = None
    augmentation: Augmentation | None = None
    target_augmentation: Augmentation | None = None  # of the network that learns from pseudo labels
    test_flips: bool | None = None  # average the predictions over mirrored slices (only if trained with flips)
    largest_component: bool | None = None  # keep the largest connected part of each class
    fill_holes: bool | None = None  # fill what a class encloses
    smoothing: float | None = None  # mm, Gaussian average of the probabilities along slices
    pseudo_labels: bool | None = None  # write the fused labels to MODEL/pseudo_labels, for the report

    def known(self) -> dict:
        """The settings that are given, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not None
        }
