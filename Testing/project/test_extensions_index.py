"""The extension would pass the checks of Slicer's ExtensionsIndex (scripts/check_description_files.py there).

What needs the network (the repository's address, its topics) is not checked here.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = json.loads((ROOT / "SparseSeg.json").read_text(encoding="utf-8"))
# The fields of slicer-extension-catalog-entry-schema-v1.0.1.json, which allows no others.
FIELDS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
LICENSE_NAMES = ("LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt")
LARGEST = 100e6  # bytes
# What a module may import at file scope: what Slicer ships, and the extension itself.
ALLOWED = {*sys.stdlib_module_names, "slicer", "vtk", "qt", "ctk", "SimpleITK", "numpy", "scipy"}
OWN = {"SparseSegLib": ROOT / "SparseSeg", "sparseseg_trainer": ROOT / "SparseSegTrainer"}


def cmake(variable: str) -> str:
    """The value of EXTENSION_``variable`` as the index looks for it."""
    return re.search(rf'set\s*\(EXTENSION_{variable}\s*"([^"]+)"[ ]*\)', CMAKE)[1]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout, so it is not known which files belong to the repository")
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_the_entry_has_the_fields_of_the_schema_and_no_others():
    assert ENTRY["$schema"].rstrip("#").endswith("/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json")
    assert ENTRY.keys() >= {"$schema", "category", "scm_url"}
    for name, value in ENTRY.items():
        assert type(value) is FIELDS[name], name
    assert ENTRY["tier"] in (1, 3, 5)


def test_entry_cmake_and_module_agree_on_name_category_address_and_dependencies():
    assert re.findall(r"project\s*\(\s*([^\s\)]+)", CMAKE)[0] == "SparseSeg"  # as the entry's file name
    assert ENTRY["scm_url"].removesuffix(".git") == cmake("HOMEPAGE")
    assert ENTRY["scm_url"].split("/")[-1].startswith("Slicer")
    assert ENTRY["build_dependencies"] == cmake("DEPENDS").split()
    assert f'"{ENTRY["category"]}")]' in (ROOT / "SparseSeg/SparseSeg.py").read_text(encoding="utf-8")
    assert ENTRY["category"] == "Segmentation"  # one that the index knows
    assert len(cmake("DESCRIPTION")) > 50 and cmake("CONTRIBUTORS")


def test_icon_and_screenshots_are_images_of_the_repository():
    icons, screenshots = [cmake("ICONURL")], cmake("SCREENSHOTURLS").split()
    assert screenshots
    files = tracked()
    for address in icons + screenshots:
        prefix = f"{cmake('HOMEPAGE').replace('github.com', 'raw.githubusercontent.com')}/{ENTRY['scm_revision']}/"
        assert address.startswith(prefix)
        path = ROOT / address.removeprefix(prefix)
        assert path in files
        with Image.open(path) as image:
            image.verify()
            assert image.size == (128, 128) if address in icons else image.width >= 640


def test_the_license_has_a_name_that_the_index_finds():
    assert any((ROOT / name).is_file() for name in LICENSE_NAMES)


def test_the_repository_with_its_history_is_small_enough():
    history = (path for path in (ROOT / ".git").rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in (*tracked(), *history) if path.is_file()) < LARGEST


def test_every_python_file_in_the_modules_folder_is_a_module():
    for path in (ROOT / "SparseSeg").glob("*.py"):
        classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
        bases = {node.name: [ast.unparse(base) for base in node.bases] for node in classes}
        assert bases[path.stem] == ["ScriptedLoadableModule"]


def test_nothing_that_slicer_lacks_is_imported_at_file_scope_not_even_through_the_trainer():
    reached, waiting = set(), list((ROOT / "SparseSeg").rglob("*.py"))
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        for name in file_scope_imports(path):
            package = name.split(".")[0]
            if package in OWN:
                waiting += own_files(OWN[package].joinpath(*name.split(".")))
            else:
                assert package in ALLOWED, f"{path} imports {name}"
    assert len(reached) > 20


def file_scope_imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports when it is imported itself."""
    package = path.relative_to(next(root for root in (*OWN.values(), ROOT) if path.is_relative_to(root))).parent.parts
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            name = ".".join([*start, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names if name.split(".")[0] in OWN)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += node.body + node.orelse
        elif isinstance(node, (ast.Try, ast.With)):
            waiting += node.body


def own_files(path: Path) -> list[Path]:
    """The file of an own module or package, none if the name is that of something inside a module."""
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]


def test_everything_of_the_module_is_named_in_its_cmake_file():
    text = (ROOT / "SparseSeg/CMakeLists.txt").read_text(encoding="utf-8")
    for path in tracked():
        if not path.is_relative_to(ROOT / "SparseSeg") or path.name == "CMakeLists.txt":
            continue
        name = path.relative_to(ROOT / "SparseSeg").as_posix().replace("SparseSeg.p", "${MODULE_NAME}.p")
        folder = Path(name).parent.as_posix()
        assert name in text or f"{folder}/*{path.suffix}" in text, name
