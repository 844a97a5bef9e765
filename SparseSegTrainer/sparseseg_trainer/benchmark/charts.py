"""Charts of a benchmark as PNG images: a metric over a setting, bars, Dice along the structure. Needs matplotlib."""

from __future__ import annotations

import csv
from collections import defaultdict
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..figures import DPI, png_of
from ..labels import COLORS
from ..report import SIGNIFICANT
from ..scores import ALL_METRICS
from .results import Row

BINS = 10  # parts of the structure's extent


def curve(rows: list[Row], setting: str, metric: str) -> bytes | None:
    """Mean and standard deviation of ``metric`` over the number that each row's settings give to ``setting``.

    None if no row gives one.
    """
    given = [(row.done[0].settings.get(setting), row) for row in rows]
    points = sorted(((x, row) for x, row in given if isinstance(x, (int, float))), key=lambda point: point[0])
    if not points:
        return None
    figure, axes = _axes(xlabel=setting, ylabel=ALL_METRICS[metric])
    means, spreads = zip(*(_spread(row, metric) for _, row in points), strict=True)
    axes.errorbar([x for x, _ in points], means, spreads, marker="o", capsize=4, color=COLORS[4])
    return png_of(figure)


def bars(rows: list[Row], metric: str, compare: Row | None) -> bytes:
    """Mean and standard deviation of ``metric``, with * where a row differs from ``compare``."""
    figure, axes = _axes(ylabel=ALL_METRICS[metric])
    for place, row in enumerate(rows):
        mean, spread = _spread(row, metric)
        axes.bar(place, mean, 0.6, yerr=spread, capsize=4, color=COLORS[place % len(COLORS)])
        p = row.against(compare)[metric].get("p")
        if p is not None and p < SIGNIFICANT:
            axes.text(place, mean + spread, "*", ha="center", va="bottom", fontsize=14)
    axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=20, ha="right")
    axes.margins(y=0.12)
    return png_of(figure)


def positions(rows: list[Row], out: Path) -> bytes:
    """Mean Dice of slices from the structure's first (0) to its last slice (1), a line for each row."""
    figure, axes = _axes(xlabel="position in the structure, from its first to its last slice", ylabel="Dice")
    middles = (np.arange(BINS) + 0.5) / BINS
    colors, styles = cycle(COLORS), cycle(["-"] * len(COLORS) + ["--"] * len(COLORS))
    for row, color, style in zip(rows, colors, styles, strict=False):
        files = [cell.folder(out) / "positions.csv" for cell in row.done]
        axes.plot(middles, profile(files), style, color=color, marker=".", label=row.name)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="lower center", ncols=2, fontsize=8)
    return png_of(figure)


def profile(files: list[Path]) -> np.ndarray:
    """Mean Dice in each of ``BINS`` equal parts of the extent: of slices within a case, then of cases; NaN for none."""
    by_case: dict[tuple[str, int], list[float]] = defaultdict(list)
    for file in files:
        with open(file, newline="", encoding="utf-8") as lines:
            for line in csv.DictReader(lines):
                part = min(int(float(line["position"]) * BINS), BINS - 1)
                by_case[line["case"], part].append(float(line["dice"]))
    means = [[np.mean(values) for (_, at), values in by_case.items() if at == part] for part in range(BINS)]
    return np.array([np.mean(values) if values else np.nan for values in means])


def _spread(row: Row, metric: str) -> tuple[float, float]:
    numbers = row.against(None)[metric]
    return numbers["mean"], numbers["sd"] or 0.0


def _axes(**labels: str):
    figure = Figure(figsize=(8, 4.5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set(**labels)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes
