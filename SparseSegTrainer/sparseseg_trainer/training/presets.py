"""The presets: a value for every setting that a user may leave open."""

from __future__ import annotations

import dataclasses

from ..errors import InputError
from .augmentation import Augmentation
from .settings import TrainSettings

# osman2024, "Training Strategies" and eq. 2-7. Where the paper is silent: rotation by 20 degrees, 100 epochs of the
# semi-supervised network beyond K2 do not exist, 100 epochs of registration.
PAPER = {
    "absence": False,
    "absence_share": 0.0,
    "pixels": 0,
    "context": 0,
    "width": 16,
    "depth": 4,
    "stride": 1,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "schedule": "halving",
    "halve_every": 30,
    "averaging": 0.0,
    "batch": 4,
    "epochs": 100,
    "steps": 0,
    "gamma": 1.0,
    "semi_epochs": 150,
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
    "augmentation": Augmentation(rotation=20.0, flip=True),
    "test_flips": False,
    "largest_component": False,
    "pseudo_labels": True,
}

BALANCED = PAPER | {
    "absence": True,
    "absence_share": 0.4,
    "pixels": 8000,
    "width": 16,
    "depth": 4,
    "stride": 2,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "averaging": 0.99,
    "batch": 16,
    "epochs": 30,
    "steps": 60,
    "semi_epochs": 30,
    "K1": 15,
    "K2": 30,
    "alpha_f": 1.0,
    "semi_learning_rate": 2e-3,
    "registration": "shipped",
    "reach": 12,
    "smoothing": 1.0,
    "uncertain": "ignored",
    "drawn_share": 0.4,
    "warm_start": True,
    "augmentation": Augmentation(
        rotation=15.0, scale=0.15, shift=0.05, elastic=0.03, gamma=0.4, contrast=0.25, brightness=0.1, noise=0.05, blur=0.2
    ),
    "largest_component": True,
}

FAST = BALANCED | {"epochs": 12, "semi_epochs": 12, "K1": 8, "K2": 12}

PRESETS = {"fast": FAST, "balanced": BALANCED, "paper": PAPER}


def resolve(settings: TrainSettings) -> TrainSettings:
    """The settings with what was left out filled in from the preset. Raises ``InputError`` for impossible values."""
    resolved = dataclasses.replace(settings, **(PRESETS[settings.preset] | settings.known()))
    for name in ("batch", "epochs", "semi_epochs", "width", "depth", "stride", "learning_rate"):
        if not getattr(resolved, name) > 0:
            raise InputError(
                "bad_setting", f"The setting '{name}' is {getattr(resolved, name)}.", "It has to be above 0."
            )
    if not 0 <= resolved.K1 <= resolved.K2:
        raise InputError(
            "bad_setting",
            f"The settings K1 and K2 are {resolved.K1} and {resolved.K2}.",
            "K1 has to be at least 0 and K2 at least K1.",
        )
    return resolved
