"""What a training offers and what it has reached, in a clinician's words."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _


def methods() -> list[tuple[str, str]]:
    """What a network can learn from, in words, and the trainer's name of it."""
    return [
        (_("the drawn slices and the volumes around them"), "collaborative"),
        (_("the drawn slices alone"), "central_only"),
        (_("volumes drawn on all slices"), "full"),
    ]


def presets() -> list[tuple[str, str]]:
    """How much time to spend, in words, and the trainer's name of it."""
    return [
        (_("minutes: a first impression"), "fast"),
        (_("less than an hour: the usual choice"), "balanced"),
        (_("many hours: the recipe of the paper"), "paper"),
    ]


def duration(seconds: float) -> str:
    """A time in words that do not pretend to be exact."""
    if seconds < 90:
        return _("About {n} seconds").format(n=max(5, 5 * round(seconds / 5)))
    if seconds < 5400:
        return _("About {n} minutes").format(n=round(seconds / 60))
    return _("About {n:.1f} hours").format(n=seconds / 3600)


def gigabytes(count: float) -> str:
    """Bytes as GB."""
    return _("{n:.1f} GB").format(n=count / 2**30)


def report(summary: dict) -> str:
    """What a training has reached, and what the figure is worth."""
    lines = [
        _("{name} is ready: trained on {n} cases. {time}.").format(
            name=Path(summary["model"]).name, n=summary["cases"], time=duration(summary["seconds"])
        )
    ]
    if "validation_dice" in summary:
        cases = ", ".join(f"{case} {dice:.2f}" for case, dice in summary["validation"].items())
        lines.append(
            _("Dice on the drawn slices of cases kept aside: {dice:.2f} ({cases}).").format(
                dice=summary["validation_dice"], cases=cases
            )
        )
    else:
        lines.append(
            _("Dice on the drawn slices themselves: {dice:.2f}. Keep cases aside to learn about new volumes.").format(
                dice=summary["drawn_slices_dice"]
            )
        )
    lines += [failure["message"] for failure in summary["failed"]]
    return "\n".join(lines)
