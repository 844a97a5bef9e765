"""The evaluation's report: one HTML file with everything in it, that opens anywhere and loads nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .labels import Label
from .scores import MEAN, METRICS, CaseScores, rows_of
from .web_page import failure_list, figure, page, row, sortable_table

if TYPE_CHECKING:
    from .pictures import Picture

SIGNIFICANT = 0.05


def report_page(cases: list[CaseScores], labels: list[Label], content: dict, pictures: list[Picture]) -> str:
    """The page as HTML; ``content`` is that of metrics.json."""
    failed = sum(case.is_failed() for case in cases)
    verdict = f"{len(cases)} case{'s' if len(cases) != 1 else ''}"
    verdict += f", {failed} of them failed" if failed else ", none failed"
    failures = f"<h2>Could not be compared</h2>{failure_list(content['failed'])}" if content["failed"] else ""
    shown = "\n".join(map(figure, pictures)) or "<p>None were drawn.</p>"
    body = f"""<p class="sources">{escape(content["predictions"])} against {escape(content["reference"])}</p>
<p>{verdict}. Mean ± standard deviation over the cases:</p>
<div class="wide">{_summary(content)}</div>
{failures}
<h2>Pictures</h2>
{shown}
<h2>All cases</h2>
<p>Click a heading to sort.</p>
{_cases(cases, labels)}
{EXPLANATION}"""
    return page("SparseSeg evaluation", body)


def _summary(content: dict) -> str:
    """Mean ± standard deviation of every label; the compared method below, and the test of the difference."""
    rows = [row(["", *METRICS.values(), "cases", "failed"], "th")]
    rows += [_summary_row(line, line["name"]) for line in content["rows"]]
    for line, other in zip(content["rows"], content.get("compared_rows", ()), strict=False):
        rows.append(_summary_row(other, f"{other['name']}, compared"))
        marks = [_p_value(line[metric]["p"]) for metric in METRICS]
        rows.append(row([f"{escape(line['name'])}, p of the difference", *marks, "", ""]))
    note = ""
    if content["compare"]:
        note = f"Compared: {escape(content['compare'])}; paired, two-tailed t-test, p bold below {SIGNIFICANT}."
    return f"<table>{''.join(rows)}</table><p class='note'>{note}</p>"


def _summary_row(line: dict, name: str) -> str:
    cells = [_spread(line[metric]["mean"], line[metric]["sd"]) for metric in METRICS]
    return row([escape(name), *cells, str(line["n"]), str(line["failed"])])


def _spread(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _p_value(p: float | None) -> str:
    if p is None:
        return "-"
    text = "&lt; 0.001" if p < 0.001 else f"{p:.3f}"
    return f"<strong>{text}</strong>" if p < SIGNIFICANT else text


def _cases(cases: list[CaseScores], labels: list[Label]) -> str:
    rows = []
    for case in cases:
        for line in rows_of(labels):
            label = line["label"]
            fields = METRICS if label == MEAN else (*METRICS, "volume_ml", "reference_ml")
            numbers = [case.value(field, label) for field in fields]
            empty = [""] * (len(METRICS) + 2 - len(numbers))
            rows.append([case.name, line["name"], *numbers, *empty, "failed" if case.is_failed(label) else ""])
    return sortable_table(["Case", "Label", *METRICS.values(), "Volume (ml)", "Reference (ml)", "Failed"], rows)


EXPLANATION = """<h2>What the numbers are</h2>
<dl>
<dt>Dice, IoU</dt><dd>Overlap of prediction and reference, 0 to 1; more is better.</dd>
<dt>Boundary IoU</dt><dd>Overlap of the inner boundary bands, drawn in each slice,
2 % of the slice's diagonal wide.</dd>
<dt>ASSD</dt><dd>Average distance between the surfaces, both surfaces' points pooled; less is better.</dd>
<dt>HD95</dt><dd>The larger of the two directed 95th percentiles of these distances; less is better.</dd>
<dt>RAVD</dt><dd>Absolute volume difference, relative to the reference; less is better.</dd>
<dt>Failed</dt><dd>The structure was found where there is none, or not found where there is one, or the
prediction is missing. It counts with overlap 0 and the volume's diagonal as its distance. No case is left out
of the means, except where the reference itself could not be read.</dd>
</dl>"""
