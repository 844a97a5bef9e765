"""The whole path through the window, from a real volume to segments, by its buttons and with the real trainer."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from drawing import drawSlice, hippocampus, propagate, result, startDrawing  # noqa: E402
from windows import click, panelOf, waitFor  # noqa: E402

DRAWN, CORRECTED = 10, 14


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_two_structures_are_drawn_propagated_checked_corrected_and_undone(a_window):
    volumeNode, masks = hippocampus()
    startDrawing(a_window, volumeNode, DRAWN)
    drawSlice(a_window, masks, DRAWN)
    whole = masks["Anterior"] | masks["Posterior"]
    first, last = np.flatnonzero(whole.any(axis=(1, 2)))[[0, -1]]
    volume, draw, step = (panelOf(a_window, name) for name in ("VolumePanel", "DrawPanel", "PropagatePanel"))
    for index, button in ((first, draw.ui.firstButton), (last, draw.ui.lastButton)):
        volume.ui.strip.setCurrentCell(0, int(index))
        click(button)
    assert (a_window.case.firstSlice, a_window.case.lastSlice) == (first, last)

    click(step.ui.certaintyCheckBox)
    assert propagate(a_window) == "Done."
    found = {name: result(a_window, name) for name in masks}
    assert dice(found["Anterior"] | found["Posterior"], whole) > 0.7
    for name, mask in masks.items():
        assert np.array_equal(found[name][DRAWN], mask[DRAWN])
        assert not found[name][:first].any()
        assert not found[name][last + 1 :].any()
    assert "confidence" in volume.ui.strip.item(0, DRAWN + 2).toolTip()
    assert volume.ui.strip.item(0, DRAWN).toolTip() == f"Slice {DRAWN}: annotated by you"

    certainty = slicer.util.arrayFromVolume(a_window.case.certainty)
    assert certainty[whole].mean() > 60
    assert certainty[~whole].mean() < 10

    click(step.ui.nextButton)
    listed = step.ui.checkList.currentItem().text()
    assert listed.split(":")[0] in volume.ui.sliceStateLabel.text

    # A correction between the drawn slice and the last one changes nothing before the drawn slice.
    drawSlice(a_window, masks, CORRECTED)
    waitFor(lambda: a_window.sliceStates.drawn == (DRAWN, CORRECTED))
    confidence = a_window.case.confidence
    propagate(a_window)
    again = {name: result(a_window, name) for name in masks}
    for name, mask in masks.items():
        assert np.array_equal(again[name][: DRAWN + 1], found[name][: DRAWN + 1])
        assert np.array_equal(again[name][CORRECTED], mask[CORRECTED])
    assert any((again[name] != found[name])[DRAWN + 1 : CORRECTED].any() for name in masks)
    assert a_window.case.confidence[:DRAWN] == confidence[:DRAWN]
    assert min(a_window.case.confidence[DRAWN:CORRECTED]) > min(confidence[DRAWN:CORRECTED])

    a_window.editor.undo()
    for name, mask in masks.items():
        expected = found[name].copy()
        expected[CORRECTED] = mask[CORRECTED]
        assert np.array_equal(result(a_window, name), expected)
    a_window.editor.undo()
    for name, mask in masks.items():
        expected = np.zeros_like(mask)
        expected[DRAWN] = mask[DRAWN]
        assert np.array_equal(result(a_window, name), expected)
