"""Opens reports in Chromium, headless, as a reader does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --dump-dom"

# What a reader does with the first table, and what is then on the page: the rows' names, how they are sorted, and how
# wide the pictures are.
CLICKS = """<script>
const said = [], table = document.querySelector("table.sortable");
const heading = text => [...table.querySelectorAll("th")].find(one => one.textContent.startsWith(text));
const look = () => said.push([...table.tBodies[0].rows].map(row => row.cells[0].textContent).join(","));
window.onload = () => {
  look();
  heading("Dice").firstChild.click(); look();
  heading("Dice").firstChild.click(); look();
  said.push(heading("Dice").ariaSort);
  heading("Method").firstChild.click(); look();
  said.push(heading("Dice").ariaSort, [...document.images].map(one => one.complete && one.naturalWidth).join(","));
  document.title = said.join("|");
};
</script>"""


def clicked(page: str, folder: Path) -> list[str]:
    """What ``CLICKS`` say of a report (HTML) in the browser; ``folder`` is for its files."""
    (folder / "report.html").write_text(page.replace("</body>", CLICKS + "</body>"), encoding="utf-8")
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", (folder / "report.html").as_uri()]
    seen = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True).stdout
    return re.search("<title>(.*?)</title>", seen)[1].split("|")
