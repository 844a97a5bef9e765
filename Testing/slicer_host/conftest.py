"""The host, with an empty scene; an error in a slot or an observer fails the test."""

from __future__ import annotations

import importlib.util

import pytest

if any(importlib.util.find_spec(name) is None for name in ("slicer", "PySide6")):

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makemodule(module_path, parent):
        yield
        pytest.skip("slicer-core and PySide6-Essentials are needed: pip install '.[test]'", allow_module_level=True)


@pytest.fixture(autouse=True)
def an_empty_scene():
    import slicer_host

    slicer = slicer_host.start()
    slicer.mrmlScene.Clear(False)
    with slicer_host.raisingErrors():
        yield slicer.mrmlScene
