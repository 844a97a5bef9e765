"""The module file: what Slicer lists of it, and its own test as Slicer runs it."""

from __future__ import annotations

import importlib
import unittest
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")


@pytest.fixture
def the_module(a_scene):
    """SparseSeg.py, imported as Slicer does."""
    import windows  # finds the host

    windows.slicer_host.start()
    return importlib.import_module("SparseSeg")


def test_the_module_is_listed_under_segmentation_with_its_texts(the_module):
    parent = SimpleNamespace(path=the_module.__file__)
    the_module.SparseSeg(parent)
    assert (parent.title, parent.categories) == ("SparseSeg", ["Segmentation"])
    assert parent.helpText and parent.contributors


def test_the_modules_own_test_passes(the_module):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(the_module.SparseSegTest).run(result)
    assert result.testsRun == 1
    assert not result.failures + result.errors, result.failures + result.errors
