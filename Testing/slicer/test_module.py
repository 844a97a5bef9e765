"""The module file, with the base classes that only the application has replaced by empty ones."""

from __future__ import annotations

import importlib
import sys
import unittest
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("slicer")


@pytest.fixture
def the_module(a_scene, monkeypatch):
    """SparseSeg.py, imported as Slicer does."""
    scripted, i18n = ModuleType("slicer.ScriptedLoadableModule"), ModuleType("slicer.i18n")
    scripted.ScriptedLoadableModule = type("ScriptedLoadableModule", (), {"__init__": lambda self, parent: None})
    scripted.ScriptedLoadableModuleWidget = scripted.ScriptedLoadableModuleLogic = object
    scripted.ScriptedLoadableModuleTest = unittest.TestCase
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    monkeypatch.setitem(sys.modules, "slicer.ScriptedLoadableModule", scripted)
    monkeypatch.setitem(sys.modules, "slicer.i18n", i18n)
    monkeypatch.delitem(sys.modules, "SparseSeg", raising=False)
    return importlib.import_module("SparseSeg")


def test_the_module_is_listed_under_segmentation_with_its_texts(the_module):
    parent = SimpleNamespace()
    the_module.SparseSeg(parent)
    assert (parent.title, parent.categories) == ("SparseSeg", ["Segmentation"])
    assert parent.helpText and parent.contributors


def test_the_modules_own_test_passes(the_module):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(the_module.SparseSegTest).run(result)
    assert result.testsRun == 1
    assert not result.failures + result.errors, result.failures + result.errors
