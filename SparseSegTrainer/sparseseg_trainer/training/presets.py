"""The presets: a value for every setting that a user may leave open."""

from __future__ import annotations

from dataclasses import replace

from .augmentation import Augmentation
from .settings import Consistency, Volumetric

# osman2024, "Training Strategies" and eq. 2-7. Where the paper is silent: gamma of eq. 2 is 1, rotation goes to 20
# degrees, the semi-supervised network has 50 epochs beyond K2, and registration 100 epochs.
PAPER = {
    "absence": False,
    "absence_share": 0.0,
    "dimensions": 2,
    "size_by": "spacing",
    "region": "whole",
    "pixels": 0,
    "context": 0,
    "width": 16,
    "depth": 4,
    "stride": 1,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "momentum": 0.9,
    "schedule": "halving",
    "halve_every": 30,
    "averaging": 0.0,
    "batch": 4,
    "epochs": 100,
    "baseline_epochs": 100,
    "steps": 0,
    "gamma": 1.0,
    "semi_epochs": 150,
    "semi_scales": (1.0,),
    "K1": 50,
    "K2": 100,
    "alpha_f": 3.0,
    "semi_learning_rate": 1e-4,
    "registration": "tuned",
    "registration_epochs": 100,
    "registration_batch": 32,
    "registration_learning_rate": 0.01,
    "fusion": "consistency",
    "reach": 0,
    "smoothing": 0.0,
    "uncertain": "weighted",
    "beta": 0.5,
    "gamma_certain": 1.0,
    "gamma_uncertain": 0.1,
    "drawn_share": 0.0,
    "warm_start": False,
    "orthogonal_epochs": 0,
    "overview_epochs": 0,
    "overview_batch": 4,
    "overview_learning_rate": 2e-3,
    "overview_width": 16,
    "overview_side": 48,
    "consistency": Consistency(),
    "volumetric": Volumetric(),
    "augmentation": Augmentation(rotation=20.0, flip=True),
    "target_augmentation": Augmentation(rotation=20.0, flip=True),
    "test_flips": False,
    "largest_component": False,
    "fill_holes": False,
    "pseudo_labels": True,
}

AUGMENTATION = Augmentation(
    rotation=15.0,
    scale=0.15,
    shift=0.05,
    elastic=0.03,
    gamma=0.6,
    contrast=0.25,
    brightness=0.1,
    noise=0.05,
    blur=0.2,
)

# Chosen on the left-atrium benchmark's training cases, never on those held out; but see docs/benchmarks.md on FAST. A
# stride of 2 gives a CPU four times the steps in the same time, and small batches learn more a second than large ones.
BALANCED = PAPER | {
    "absence": True,
    "absence_share": 0.25,
    "size_by": "auto",
    "region": "drawn",
    "pixels": 16000,
    "width": 16,
    "stride": 2,
    "optimizer": "adamw",
    "learning_rate": 1.5e-3,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "averaging": 0.99,
    "batch": 8,
    "epochs": 60,
    "baseline_epochs": 90,
    "steps": 60,
    "semi_epochs": 22,
    "semi_scales": (1.0, 0.7, 0.7),
    "K1": 18,
    "K2": 22,
    "alpha_f": 1.0,
    "semi_learning_rate": 2e-3,
    "registration": "shipped",
    "fusion": "blend",
    "reach": 12,
    "smoothing": 1.5,
    "uncertain": "trusted",
    "drawn_share": 0.4,
    "warm_start": True,
    "orthogonal_epochs": 40,
    "overview_epochs": 20,
    "consistency": Consistency(apart=True),
    "augmentation": AUGMENTATION,
    # The target network alone has to do on volumes that it has never seen, and learns from many slices: it can take
    # other contrasts, which the semi-supervised network, that only labels the cohort itself, has no use for.
    "target_augmentation": replace(AUGMENTATION, curve=0.4, inversion=0.1),
    "largest_component": True,
}

FAST = BALANCED | {
    "pixels": 14000,
    "semi_scales": (0.75,),
    "epochs": 18,
    "baseline_epochs": 54,
    "reach": 8,
    "orthogonal_epochs": 10,
    "overview_epochs": 0,
    "target_augmentation": replace(AUGMENTATION, inversion=0.1),  # too few steps to learn from curves too
}

# zhang2024, "Experiments": what methods whose network sees volumes have instead; 120 epochs of 50 steps are its 6000
# iterations.
PAPER_VOLUMES = {
    "dimensions": 3,
    "width": 16,
    "depth": 4,
    "stride": 1,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "schedule": "tenth",
    "batch": 4,
    "baseline_epochs": 120,
    "steps": 50,
    "augmentation": Augmentation(flip=True),
}

BALANCED_VOLUMES = {
    "dimensions": 3,
    "pixels": 3000,
    "width": 8,
    "depth": 4,
    "stride": 1,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "averaging": 0.99,
    "batch": 4,
    "baseline_epochs": 40,
    "steps": 25,
    # Few steps: the teacher has to follow within tens of them, and labels have to be learned before pseudo labels.
    "volumetric": Volumetric(
        patch=(40, 48, 48), quarter_turns=False, teacher=0.05, teacher_of="answers", pseudo_ramp=1.0
    ),
}

FAST_VOLUMES = BALANCED_VOLUMES | {"baseline_epochs": 16}

# specktor2023, "Optimization" and "Experimental Results". Where the paper is silent: two steps of 180 epochs of 40
# batches, a rate that is halved after 10 epochs as in the public code of the network it builds on, mirrored blocks.
PAPER_PARTIAL = {
    "absence": True,  # of what lies beyond the marked ends
    "optimizer": "adam",
    "learning_rate": 5e-4,
    "weight_decay": 0.0,
    "batch": 8,
    "baseline_epochs": 180,
    "steps": 40,
    "volumetric": Volumetric(patch=(48, 128, 128), quarter_turns=False),
    "largest_component": True,
    "fill_holes": True,
}

BALANCED_PARTIAL = {
    "stride": 2,
    "learning_rate": 2e-3,
    "baseline_epochs": 20,
    "volumetric": Volumetric(patch=(40, 48, 48), quarter_turns=False, patience=4, restart=10),
    "fill_holes": True,
}

FAST_PARTIAL = BALANCED_PARTIAL | {
    "baseline_epochs": 8,
    "volumetric": Volumetric(patch=(40, 48, 48), quarter_turns=False, patience=2, restart=4),
}

# zheng2020, "Implementation Details". Where the paper is silent: 15 000 iterations of each network, four patches a
# batch, turns to the nearest labels half way. The network of slices has a schedule of its own (``late_tenth``).
PAPER_REPRESENTATIVE = {
    "optimizer": "adam",
    "learning_rate": 5e-4,
    "weight_decay": 0.0,
    "schedule": "poly",
    "batch": 4,
    "baseline_epochs": 300,
    "epochs": 300,
    "steps": 50,
    "volumetric": Volumetric(patch=(64, 128, 128)),
}

# A step of the network of slices is cheap, and it learns slowly: mostly from single rows of what is drawn.
BALANCED_REPRESENTATIVE = {
    "depth": 2,
    "batch": 2,
    "baseline_epochs": 24,
    "epochs": 24,
    "volumetric": Volumetric(patch=(40, 48, 48), quarter_turns=False, planes_epochs=4.0),
}

FAST_REPRESENTATIVE = BALANCED_REPRESENTATIVE | {"baseline_epochs": 10, "epochs": 10}

# Of single methods, where their papers differ: preset -> method -> values.
DENSE = ("representative", "dense_voxnet")
METHOD_PRESETS: dict[str, dict[str, dict]] = {
    "fast": {"partial": FAST_PARTIAL, **dict.fromkeys(DENSE, FAST_REPRESENTATIVE)},
    "balanced": {"partial": BALANCED_PARTIAL, **dict.fromkeys(DENSE, BALANCED_REPRESENTATIVE)},
    "paper": {"partial": PAPER_PARTIAL, **dict.fromkeys(DENSE, PAPER_REPRESENTATIVE)},
}

PRESETS = {"fast": FAST, "balanced": BALANCED, "paper": PAPER}
VOLUME_PRESETS = {"fast": FAST_VOLUMES, "balanced": BALANCED_VOLUMES, "paper": PAPER_VOLUMES}
