"""What reports are made of: one HTML page with everything in it, that opens anywhere and loads nothing."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterable
from html import escape
from itertools import zip_longest
from string import Template
from typing import TYPE_CHECKING

from .reporting import Reporter

if TYPE_CHECKING:
    from .pictures import Picture

REPORT = "report.html"  # its name in the folder of results


def page(title: str, body: str) -> str:
    """The page; ``body`` is HTML, of which tables of class "sortable" sort by a click on their headings."""
    return Template(PAGE).substitute(title=escape(title), body=body)


def pictures_or_none(make: Callable[[], list[Picture]], reporter: Reporter) -> list[Picture]:
    """What ``make`` returns, which imports what draws; nothing, and a warning, where matplotlib is missing."""
    try:
        return make()
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("matplotlib"):
            raise
        reporter.warn("The report has no pictures: matplotlib is missing. Add it with: pip install matplotlib")
        return []


def row(cells: Iterable[str], tag: str = "td") -> str:
    """A table row; cells are HTML already."""
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def sortable_table(
    headings: Iterable[str],
    rows: Iterable[Iterable[str | float | tuple[str, float]]],
    groups: Iterable[tuple[str, int]] = (),
) -> str:
    """A table whose headings sort it.

    Cells are plain text, numbers (shown with three decimals unless whole), or a text and the number it is sorted by.
    Where there is no number, which is nan, is "-"; it comes before all numbers. Above the headings of all columns stand
    those of ``groups``, each with the number of its columns, if given.
    """
    rows = [list(cells) for cells in rows]
    texts = [isinstance(cell, str) for cell in rows[0]] if rows else []
    head = "".join(
        f"<th{' class=text' if text else ''}><button>{escape(heading)}</button></th>"
        for heading, text in zip_longest(headings, texts)
    )
    above = "".join(f"<th colspan={count} class=group>{escape(name)}</th>" for name, count in groups)
    above = f"<tr>{above}</tr>" if above else ""
    body = "".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in rows)
    return (
        f"<div class='wide'><table class='sortable'><thead>{above}<tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: str | float | tuple[str, float]) -> str:
    if isinstance(value, str):
        return f"<td class='text'>{escape(value)}</td>"
    if not isinstance(value, tuple):
        value = (str(value) if isinstance(value, int) else f"{value:.3f}", value)
    text, number = ("-", "") if math.isnan(value[1]) else (value[0], repr(value[1]))
    return f"<td data-value='{number}'>{escape(text)}</td>"


def failure_list(failed: list[dict]) -> str:
    """The sentences of what failed, each a {"message", "advice"}."""
    items = "".join(f"<li>{escape(failure['message'])} {escape(failure['advice'])}</li>" for failure in failed)
    return f"<ul>{items}</ul>"


def figure(picture: Picture) -> str:
    """A picture with its heading, legend and caption."""
    legend = "".join(
        f'<span class="key"><i style="background:{color}"></i>{escape(text)}</span>' for text, color in picture.legend
    )
    source = "data:image/png;base64," + b64encode(picture.png).decode()
    return (
        f"<h3>{escape(picture.heading)}</h3><figure><img alt='{escape(picture.heading)}' src='{source}'>"
        f"<figcaption>{legend}{escape(picture.caption)}</figcaption></figure>"
    )


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8885; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2em auto; padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2em; } .sources, .note { opacity: .7; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3em .6em; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, .text { text-align: left; }
th.group { text-align: center; } th.group:empty { border: 0; }
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
<h1>$title</h1>
$body
<script>
document.querySelectorAll("table.sortable").forEach(table => {
  const headings = table.querySelectorAll("thead tr:last-child th"), body = table.tBodies[0];
  const compare = new Intl.Collator(undefined, {numeric: true}).compare;
  headings.forEach((heading, column) => heading.firstChild.onclick = () => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const number = text => text === "" ? -Infinity : Number(text);
    const order = (a, b) => isNaN(number(a)) || isNaN(number(b)) ? compare(a, b) : number(a) - number(b);
    [...body.rows].sort((a, b) => (up ? 1 : -1) * order(key(a), key(b))).forEach(row => body.append(row));
    headings.forEach(other => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
});
</script>
</body>
</html>
"""
