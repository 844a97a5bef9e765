"""The evaluation's report: one HTML file with everything in it, that opens anywhere and loads nothing."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from string import Template
from typing import TYPE_CHECKING

from .labels import Label
from .scores import MEAN, METRICS, CaseScores, rows_of

if TYPE_CHECKING:
    from .pictures import Picture

SIGNIFICANT = 0.05


def report_page(cases: list[CaseScores], labels: list[Label], content: dict, pictures: list[Picture]) -> str:
    """The page as HTML; ``content`` is that of metrics.json."""
    failed = sum(case.is_failed() for case in cases)
    verdict = f"{len(cases)} case{'s' if len(cases) != 1 else ''}"
    verdict += f", {failed} of them failed" if failed else ", none failed"
    return Template(PAGE).substitute(
        sources=f"{escape(content['predictions'])} against {escape(content['reference'])}",
        verdict=verdict,
        summary=_summary(content),
        failures=_failures(content["failed"]),
        pictures="\n".join(_figure(picture) for picture in pictures)
        or "<p>None could be drawn: see the warnings of this evaluation.</p>",
        cases=_cases(cases, labels),
    )


def _row(cells: list[str], tag: str = "td") -> str:
    """A table row; cells are HTML already."""
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _summary(content: dict) -> str:
    """Mean ± standard deviation of every label; the compared method below, and the test of the difference."""
    rows = [_row(["", *METRICS.values(), "cases", "failed"], "th")]
    rows += [_summary_row(row, row["name"]) for row in content["rows"]]
    for row, other in zip(content["rows"], content.get("compared_rows", ()), strict=False):
        rows.append(_summary_row(other, f"{other['name']}, compared"))
        marks = [_p_value(row[metric]["p"]) for metric in METRICS]
        rows.append(_row([f"{escape(row['name'])}, p of the difference", *marks, "", ""]))
    note = ""
    if content["compare"]:
        note = f"Compared: {escape(content['compare'])}; paired, two-tailed t-test, p bold below {SIGNIFICANT}."
    return f"<table>{''.join(rows)}</table><p class='note'>{note}</p>"


def _summary_row(row: dict, name: str) -> str:
    cells = [_spread(row[metric]["mean"], row[metric]["sd"]) for metric in METRICS]
    return _row([escape(name), *cells, str(row["n"]), str(row["failed"])])


def _spread(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _p_value(p: float | None) -> str:
    if p is None:
        return "-"
    text = "&lt; 0.001" if p < 0.001 else f"{p:.3f}"
    return f"<strong>{text}</strong>" if p < SIGNIFICANT else text


def _failures(failed: list[dict]) -> str:
    if not failed:
        return ""
    items = "".join(f"<li>{escape(failure['message'])} {escape(failure['advice'])}</li>" for failure in failed)
    return f"<h2>Could not be compared</h2><ul>{items}</ul>"


def _figure(picture: Picture) -> str:
    legend = "".join(
        f'<span class="key"><i style="background:{color}"></i>{escape(text)}</span>' for text, color in picture.legend
    )
    source = "data:image/png;base64," + b64encode(picture.png).decode()
    return (
        f"<h3>{escape(picture.heading)}</h3><figure><img alt='{escape(picture.heading)}' src='{source}'>"
        f"<figcaption>{legend}{escape(picture.caption)}</figcaption></figure>"
    )


def _cases(cases: list[CaseScores], labels: list[Label]) -> str:
    headings = ["Case", "Label", *METRICS.values(), "Volume (ml)", "Reference (ml)", "Failed"]
    head = _row([f"<button>{heading}</button>" for heading in headings], "th")
    rows = []
    for case in cases:
        for row in rows_of(labels):
            label = row["label"]
            numbers = [f"{case.value(metric, label):.3f}" for metric in METRICS]
            volumes = ["", ""]
            if label != MEAN:
                volumes = [f"{case.value(field, label):.2f}" for field in ("volume_ml", "reference_ml")]
            failed = "failed" if case.is_failed(label) else ""
            rows.append(_row([escape(case.name), escape(row["name"]), *numbers, *volumes, failed]))
    return f"<table id='cases'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SparseSeg evaluation</title>
<style>
:root { color-scheme: light dark; --line: #8885; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2em auto; padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2em; } .sources, .note { opacity: .7; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3em .6em; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, #cases th:nth-child(2), #cases td:nth-child(2) { text-align: left; }
tbody tr:hover { background: var(--soft); }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
figure { margin: 0; } img { max-width: 100%; display: block; }
figcaption { padding: .4em 0; } .key { margin-right: 1.2em; white-space: nowrap; }
.key i { display: inline-block; width: 1em; height: 1em; margin-right: .4em; vertical-align: -.15em; }
dt { font-weight: 600; } dd { margin: 0 0 .5em; }
</style>
</head>
<body>
<h1>SparseSeg evaluation</h1>
<p class="sources">$sources</p>
<p>$verdict. Mean ± standard deviation over the cases:</p>
<div class="wide">$summary</div>
$failures
<h2>Pictures</h2>
$pictures
<h2>All cases</h2>
<p>Click a heading to sort.</p>
<div class="wide">$cases</div>
<h2>What the numbers are</h2>
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
</dl>
<script>
document.querySelectorAll("#cases th").forEach((heading, column) => heading.firstChild.onclick = () => {
  const up = heading.getAttribute("aria-sort") !== "ascending", body = document.querySelector("#cases tbody");
  const compare = new Intl.Collator(undefined, {numeric: true}).compare;
  const key = row => row.cells[column].textContent, number = text => text === "" ? -1 : Number(text);
  const order = (a, b) => isNaN(number(a)) || isNaN(number(b)) ? compare(a, b) : number(a) - number(b);
  [...body.rows].sort((a, b) => (up ? 1 : -1) * order(key(a), key(b))).forEach(row => body.append(row));
  document.querySelectorAll("#cases th").forEach(other => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
});
</script>
</body>
</html>
"""
