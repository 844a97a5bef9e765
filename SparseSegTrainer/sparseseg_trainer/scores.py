"""The tables of an evaluation: scores per case and label, their mean and spread, and the paired test."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import ttest_rel

from .cohort import CaseFailure
from .files import csv_text
from .labels import Label
from .metrics import Scores

# Scores field -> heading; the order of every table. The first are in every report.
METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "boundary_iou": "Boundary IoU",
    "assd": "ASSD (mm)",
    "hd95": "HD95 (mm)",
    "ravd": "RAVD",
}
# Measured too, for the tables of a benchmark's plan that name them.
FURTHER = {
    "hausdorff": "Hausdorff (mm)",
    "slice_assd": "2D ASSD (mm)",
    "adb": "ADB (mm)",
    "rand": "Rand F-score",
    "hvsmr": "HVSMR score",
}
SUMMED = ("hvsmr",)  # over a case's labels, where the others have the mean
ALL_METRICS = METRICS | FURTHER
UNITS = {name: f"{name}_mm" for name in ("assd", "hd95", "hausdorff", "slice_assd", "adb")}  # in the heads of CSV files
MEAN = "mean"  # stands for the label in rows that average a case's labels


@dataclass(frozen=True)
class CaseScores:
    """One case: its scores by label value, and why it could not be compared, if so."""

    name: str
    by_label: dict[int, Scores]
    failure: CaseFailure | None = None

    def is_failed(self, label: int | str = MEAN) -> bool:
        """Whether the prediction misses a structure, shows one that is not there, or is missing itself."""
        chosen = self.by_label.values() if label == MEAN else [self.by_label[label]]
        return any(scores.failed for scores in chosen)

    def value(self, metric: str, label: int | str = MEAN) -> float:
        """One metric for one label value, or its mean (or sum, see ``SUMMED``) over the labels."""
        if label == MEAN:
            values = [getattr(scores, metric) for scores in self.by_label.values()]
            return sum(values) if metric in SUMMED else fmean(values)
        return getattr(self.by_label[label], metric)


def rows_of(labels: Iterable[Label]) -> list[dict]:
    """The {"label", "name"} of a table's rows: every label, and their mean if there are several."""
    rows: list[dict] = [{"label": label.value, "name": label.name} for label in labels]
    return rows if len(rows) == 1 else [*rows, {"label": MEAN, "name": "all labels"}]


def summarize(cases: list[CaseScores], label: int | str, others: list[CaseScores] | None = None) -> dict:
    """The {"n", "failed", metric: {"mean", "sd"}} over cases; sd with n - 1, None for one case. Of none, mean is nan.

    With ``others``, another method's scores of the same cases in the same order, also "p" of the paired
    two-tailed t-test; None where it is not defined.
    """
    failed = sum(case.is_failed(label) for case in cases)
    summary: dict = {"n": len(cases), "failed": failed}
    for metric in ALL_METRICS:
        values = [case.value(metric, label) for case in cases]
        summary[metric] = {"mean": fmean(values) if values else math.nan, "sd": _spread(values)}
        if others is not None:
            summary[metric]["p"] = _p_value(values, [case.value(metric, label) for case in others])
    return summary


def to_csv(cases: list[CaseScores], labels: list[Label]) -> str:
    """One row for every case and label, and one for the case's mean where there are several labels."""
    metrics = [UNITS.get(metric, metric) for metric in ALL_METRICS]
    rows = [["case", "label", "name", *metrics, "volume_ml", "reference_ml", "failed"]]
    for case in cases:
        for row in rows_of(labels):
            label = row["label"]
            fields = ALL_METRICS if label == MEAN else (*ALL_METRICS, "volume_ml", "reference_ml")
            cells = [f"{case.value(field, label):.6g}" for field in fields]
            empty = [""] * (len(ALL_METRICS) + 2 - len(cells))
            failed = "true" if case.is_failed(label) else ""
            rows.append([case.name, label, row["name"], *cells, *empty, failed])
    return csv_text(rows)


def from_csv(text: str) -> list[CaseScores]:
    """The scores that ``to_csv`` wrote, without the reasons of failures."""
    by_case: dict[str, dict[int, Scores]] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if row["label"] != MEAN:
            values = {name: float(row[UNITS.get(name, name)]) for name in (*METRICS, "volume_ml", "reference_ml")}
            values |= {name: float(row.get(UNITS.get(name, name)) or math.nan) for name in FURTHER}
            by_case.setdefault(row["case"], {})[int(row["label"])] = Scores(**values, failed=row["failed"] == "true")
    return [CaseScores(name, by_label) for name, by_label in by_case.items()]


def _spread(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def _p_value(values: list[float], others: list[float]) -> float | None:
    differences = [a - b for a, b in zip(values, others, strict=True)]
    if len(differences) < 2 or len(set(differences)) == 1:
        return None
    p = float(ttest_rel(values, others).pvalue)
    return p if math.isfinite(p) else None
