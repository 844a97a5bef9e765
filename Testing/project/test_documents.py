"""The documents: every link and picture is there, and the commands that they show exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer.main
from PIL import Image

from sparseseg_trainer.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Words of Slicer itself that the pages name in bold.
SLICERS = {"Sample Data", "MRHead", "SparseSeg", "Add", "Draw", "Paint", "Erase", "Undo"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file_of_the_repository_and_every_picture_is_one(document):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tracked = {ROOT / name for name in listed.stdout.splitlines()}
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if target.startswith(("https://", "#")):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve()
        assert path.exists(), target
        assert not tracked or path in tracked or path.is_dir(), f"{target} is not in the repository"
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
        if anchor:
            assert anchor in headings(path), target


def headings(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands() -> list[str]:
    """The lines of the documents that call sparseseg with real arguments."""
    blocks = [block for path in DOCUMENTS for _, block in FENCE.findall(path.read_text(encoding="utf-8"))]
    return [line for block in blocks for line in block.splitlines() if line.startswith("sparseseg ")]


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_that_a_document_shows_is_understood(line):
    # [OPTIONAL] parts and A|B choices are notation of the README.
    words = shlex.split(line.translate(str.maketrans("", "", "[]")).replace("...", ""))[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ["user-guide.md", "tutorial.md"])
def test_every_button_that_a_page_names_is_in_the_window(name):
    files = [path for path in (ROOT / "SparseSeg").rglob("*") if path.suffix in (".py", ".ui")]
    window = "\n".join(path.read_text(encoding="utf-8") for path in files)
    page = " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())
    named = set(re.findall(r"\*\*([^*.:]+)\*\*", page)) - SLICERS
    assert len(named) > 5
    assert {word for word in named if word not in window} == set()
