"""What the settings of a training become: filled in from the preset, and checked."""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError
from ..network_shape import PATCH_STEP, NetworkShape, check_limits, check_patch
from ..settings import to_dict
from .keys import PSEUDO_LABELED, SEMI_SUPERVISED, SLICES_TOO, VOLUMETRIC, WITH_VIEWS
from .limits import (
    AUGMENTATION_LIMITS,
    CONSISTENCY_LIMITS,
    LIMITS,
    MOST_SEMI_NETWORKS,
    SEMI_SCALES,
    VOLUMETRIC_LIMITS,
)
from .presets import METHOD_PRESETS, PRESETS, VOLUME_PRESETS
from .settings import TrainSettings

VIEW_EPOCHS = ("orthogonal_epochs", "overview_epochs")  # of the networks beside that of slices


def asks_for_views(settings: TrainSettings) -> bool:
    """Whether (resolved) settings ask for networks beside that of slices."""
    return any(getattr(settings, name) for name in VIEW_EPOCHS)


def resolve(settings: TrainSettings) -> TrainSettings:
    """The settings with what was left out filled in from the preset. Raises ``InputError`` for impossible values."""
    preset = PRESETS[settings.preset]
    if _dimensions(settings) == 3:
        preset = preset | VOLUME_PRESETS[settings.preset]
    preset = preset | METHOD_PRESETS[settings.preset].get(settings.method, {})
    if settings.method not in WITH_VIEWS:
        preset = preset | dict.fromkeys(VIEW_EPOCHS, 0)
    resolved = replace(settings, **(preset | settings.known()))
    check_limits(resolved, LIMITS)
    _check_views(resolved)
    _check_scales(resolved.semi_scales)
    check_limits(resolved.volumetric, VOLUMETRIC_LIMITS)
    check_patch(resolved.volumetric.patch)
    for augmentation in (resolved.augmentation, resolved.target_augmentation):
        check_limits(augmentation, AUGMENTATION_LIMITS)
    check_limits(resolved.consistency, CONSISTENCY_LIMITS)
    NetworkShape(resolved.context, 1, resolved.width, resolved.depth, resolved.stride).check()
    if not resolved.K1 <= resolved.K2:
        raise InputError(
            "bad_setting",
            f"The settings K1 and K2 are {resolved.K1} and {resolved.K2}.",
            "K2 has to be at least K1.",
        )
    return resolved


def _check_views(settings: TrainSettings) -> None:
    """Raises InputError ("bad_setting") for networks beside that of slices that cannot be trained."""
    if settings.overview_side % PATCH_STEP:
        raise InputError(
            "bad_setting",
            f"The setting 'overview_side' is {settings.overview_side}.",
            f"It has to be a multiple of {PATCH_STEP}.",
        )
    for name in VIEW_EPOCHS:
        if getattr(settings, name) and settings.method not in WITH_VIEWS:
            raise InputError(
                "bad_setting",
                f"The setting '{name}' is {getattr(settings, name)}.",
                f"The method {settings.method} has no networks beside that of slices: leave the setting out.",
            )


def _check_scales(scales: tuple[float, ...]) -> None:
    """Raises InputError ("bad_setting") for semi-supervised networks that cannot be trained."""
    low, high = SEMI_SCALES
    if not 1 <= len(scales) <= MOST_SEMI_NETWORKS or not all(low <= scale <= high for scale in scales):
        raise InputError(
            "bad_setting",
            f"The setting 'semi_scales' is {list(scales)}.",
            f"Give one to {MOST_SEMI_NETWORKS} numbers from {low} to {high}.",
        )


def _dimensions(settings: TrainSettings) -> int:
    """2 or 3, of what the method's network sees. Raises InputError ("bad_setting") if the method cannot see that."""
    possible = {3} if settings.method in VOLUMETRIC else {2}
    if settings.method in SLICES_TOO:
        possible = {2, 3}
    wanted = settings.dimensions or min(possible)
    if wanted not in possible:
        raise InputError(
            "bad_setting",
            f"The setting 'dimensions' is {wanted}.",
            f"The method {settings.method} has a network that sees {'volumes' if wanted == 2 else 'slices'}: "
            "leave the setting out.",
        )
    return wanted


def described(settings: TrainSettings) -> dict:
    """Resolved settings as JSON values, without what changes nothing: so a new setting leaves old cells as they are."""
    values = to_dict(settings)
    if settings.dimensions == 2:
        del values["dimensions"], values["volumetric"]
    if settings.method not in PSEUDO_LABELED and not asks_for_views(settings):
        del values["target_augmentation"]
    if settings.region == "whole":
        del values["region"]
    if settings.method not in SEMI_SUPERVISED or settings.semi_scales == (1.0,):
        del values["semi_scales"]
    if not settings.fill_holes:
        del values["fill_holes"]
    if not settings.orthogonal_epochs:
        del values["orthogonal_epochs"]
    if not settings.overview_epochs:
        values = {name: value for name, value in values.items() if not name.startswith("overview_")}
    return values
