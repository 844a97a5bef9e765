"""The job ``evaluate``: predictions against a dense reference, as tables and a report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from .case_loop import reasons
from .cohort import CaseFailure, Cohort, read_cohort
from .errors import InputError
from .files import write_text
from .labels import Label
from .matching import Reference, read_prediction, read_reference
from .metrics import measure, measure_missing
from .report import report_page
from .reporting import Reporter, TimeLeft
from .scores import METRICS, CaseScores, rows_of, summarize, to_csv
from .settings import CheckedSettings
from .web_page import REPORT, pictures_or_none

SCHEMA = 1


@dataclass(frozen=True)
class EvaluateSettings(CheckedSettings):
    """What an evaluation adds to the scores: absolute paths of folders; empty leaves the addition out.

    ``compare`` holds another method's predictions, for the paired t-test. ``pseudo_labels`` holds a
    training's pseudo labels (CASE.nrrd), shown on the images of the cohort ``pseudo_cohort`` (empty: the
    reference). Without ``pictures`` the report has none.
    """

    compare: str = ""
    pseudo_labels: str = ""
    pseudo_cohort: str = ""
    pictures: bool = True


def evaluate(
    predictions: Path,
    reference: Path,
    out: Path,
    settings: EvaluateSettings | None = None,
    reporter: Reporter | None = None,
) -> dict:
    """Compares ``predictions`` of propagate or segment with the dense labels of the cohort ``reference``.

    Cases are matched by name. Every case of the reference counts: one whose prediction is missing, unreadable
    or on another grid gets overlap 0. Writes metrics.csv, metrics.json and report.html into ``out``.

    Returns {"cases": number compared, "failed": [...], "mean": {metric: value}, "report": path}; the mean is
    that over cases of each case's mean over labels. Raises InputError ("no_reference" and those of
    ``read_cohort``).
    """
    settings, reporter, out = settings or EvaluateSettings(), reporter or Reporter(), Path(out)
    truth, predicted = read_cohort(reference), read_cohort(predictions)
    other = read_cohort(settings.compare) if settings.compare else None
    labels = _labels(truth)
    _warn_about_names(truth, predicted, labels, reporter)
    cases, others, failed = _score_cohort(truth, labels, predicted, other, reporter)

    tables = _tables(cases, others, labels)
    sources = {"reference": str(reference), "predictions": str(predictions), "compare": settings.compare}
    failures = [asdict(failure) for failure in failed]
    write_text(out / "metrics.csv", to_csv(cases, labels))
    content = {"schema": SCHEMA, **sources, **tables, "failed": failures}
    write_text(out / "metrics.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    reporter.progress("report", 0)
    make_pictures = partial(_pictures, truth, predicted, cases, settings, reporter)
    pictures = pictures_or_none(make_pictures, reporter) if settings.pictures else []
    report = out / REPORT
    write_text(report, report_page(cases, labels, content, pictures))
    reporter.progress("report", 1)
    return {
        "cases": sum(case.failure is None for case in cases),
        "failed": failures,
        "mean": {metric: tables["rows"][-1][metric]["mean"] for metric in METRICS},
        "report": str(report),
    }


def _labels(truth: Cohort) -> list[Label]:
    if truth.labels:
        return truth.labels
    raise InputError(
        "no_reference",
        f"No case of {truth.folder} has a label to compare with.",
        "Give a cohort whose column label names dense label maps.",
    )


def _warn_about_names(truth: Cohort, predicted: Cohort, labels: list[Label], reporter: Reporter) -> None:
    """Says what of the predictions is left out: cases and label values that the reference does not have."""
    known = {case.name for case in truth.cases} | {failure.case for failure in truth.failed}
    extra = [case.name for case in predicted.cases if case.name not in known]
    if extra:
        names = ", ".join(extra[:5]) + (", ..." if len(extra) > 5 else "")
        reporter.warn(f"Predicted cases without a reference are left out ({len(extra)}): {names}.")
    unknown = {label.value for label in predicted.labels} - {label.value for label in labels}
    if unknown:
        reporter.warn(f"Predicted label values without a reference are left out: {sorted(unknown)}.")


def _score_cohort(
    truth: Cohort, labels: list[Label], predicted: Cohort, other: Cohort | None, reporter: Reporter
) -> tuple[list[CaseScores], list[CaseScores] | None, list[CaseFailure]]:
    """Scores of the predictions and of the ``other`` ones, case by case, and all failures.

    A case whose reference cannot be read has no scores, only a failure.
    """
    cases, others, failed = [], [], list(truth.failed)
    time_left = TimeLeft()
    for index, case in enumerate(truth.cases):
        done = index / len(truth.cases)
        reporter.progress("evaluate", done, case.name, time_left(done))
        try:
            reference = read_reference(case)
        except InputError as error:
            failed.append(CaseFailure.of(case.name, error))
            continue
        cases.append(_score_case(reference, predicted, labels, reporter))
        if cases[-1].failure:
            failed.append(cases[-1].failure)
        if other:
            others.append(_score_case(reference, other, labels, reporter))
    if not cases:
        message = f"No reference could be read. {reasons(failed)}"
        raise InputError("no_reference", message, "Correct the reference cohort.")
    return cases, others if other else None, failed


def _score_case(reference: Reference, predictions: Cohort, labels: list[Label], reporter: Reporter) -> CaseScores:
    name, spacing = reference.case.name, reference.spacing
    try:
        predicted = read_prediction(predictions, reference)
    except InputError as error:
        scores = {label.value: measure_missing(reference.label == label.value, spacing) for label in labels}
        return CaseScores(name, scores, CaseFailure.of(name, error))
    scores = {}
    for label in labels:
        reporter.check_cancelled()
        scores[label.value] = measure(predicted == label.value, reference.label == label.value, spacing)
    return CaseScores(name, scores)


def _tables(cases: list[CaseScores], others: list[CaseScores] | None, labels: list[Label]) -> dict:
    """The summary rows {"label", "name", "n", "failed", metric: {"mean", "sd"}} of both methods."""
    tables = {"rows": [row | summarize(cases, row["label"], others) for row in rows_of(labels)]}
    if others is not None:
        tables["compared_rows"] = [row | summarize(others, row["label"]) for row in rows_of(labels)]
    return tables


def _pictures(
    truth: Cohort, predicted: Cohort, cases: list[CaseScores], settings: EvaluateSettings, reporter: Reporter
) -> list:
    """The report's pictures; needs matplotlib."""
    from .pictures import case_pictures, pseudo_label_pictures

    pictures = case_pictures(truth, predicted, cases, reporter)
    if settings.pseudo_labels:
        images = read_cohort(settings.pseudo_cohort) if settings.pseudo_cohort else truth
        pictures += pseudo_label_pictures(Path(settings.pseudo_labels), images, reporter)
    return pictures
