"""The window and the scene: empty, refused, closed, saved, loaded again, and changed while a job runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from drawing import drawSlice, result, startDrawing, startPropagation  # noqa: E402
from scenes import TWO_STEPS, moveBy, writeResult  # noqa: E402
from test_job_client import isAlive  # noqa: E402
from windows import click, panelOf, phantom, reopened, waitFor  # noqa: E402

DRAWN = 7


def drawn(window, name: str = "Ann"):
    """A phantom with one slice drawn in the window: its volume node and its label (k, j, i)."""
    volumeNode, label = phantom(name)
    startDrawing(window, volumeNode, DRAWN)
    drawSlice(window, {"Ellipsoid": label > 0}, DRAWN)
    waitFor(lambda: window.sliceStates.drawn == (DRAWN,))
    return volumeNode, label


def test_over_an_empty_scene_every_step_says_what_to_do_and_nothing_is_added(a_window):
    hidden = {"vtkMRMLScriptedModuleNode", "vtkMRMLSegmentEditorNode"}
    nodes = [slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes())]
    added = [node.GetClassName() for node in nodes if not node.GetSingletonTag() and node.GetSaveWithScene()]
    assert not set(added) - hidden - {"vtkMRMLCameraNode"}
    for name in ("VolumePanel", "DrawPanel", "PropagatePanel"):
        panel = panelOf(a_window, name)
        assert panel.ui.instruction.text == "No volume with an image is selected. Load and select a volume."
        assert not panel.ui.contents.enabled
        assert panel.ui.contents.toolTip == panel.ui.instruction.text
    assert panelOf(a_window, "VolumePanel").ui.volumeSelector.enabled


def test_a_volume_proposes_its_thickest_axis_and_its_middle_and_shows_it_in_its_own_plane(a_window):
    volumeNode, _ = phantom("Ann")
    volumeNode.SetSpacing(4, 1, 1)
    moveBy(volumeNode, np.array([[0.8, -0.6, 0, 40], [0.6, 0.8, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1.0]]))
    a_window.update()
    count = volumeNode.GetImageData().GetDimensions()[0]
    assert (a_window.case.axis, a_window.case.centralSlice) == (0, count // 2)
    panel = panelOf(a_window, "VolumePanel")
    click(panel.ui.showButton)
    assert f"Slice {count // 2}:" in panel.ui.sliceStateLabel.text
    panel.ui.strip.setCurrentCell(0, 3)
    assert "Slice 3:" in panel.ui.sliceStateLabel.text
    assert panel.ui.strip.currentColumn() == 3
    assert not panelOf(a_window, "DrawPanel").obstacle()


def test_a_volume_under_a_warp_is_refused_until_it_is_taken_away(a_window):
    volumeNode, _ = drawn(a_window)
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    volumeNode.SetAndObserveTransformNodeID(warp.GetID())
    draw = panelOf(a_window, "DrawPanel")
    waitFor(lambda: not draw.ui.contents.enabled)
    assert "non-linear transform. Harden" in draw.ui.contents.toolTip
    volumeNode.SetAndObserveTransformNodeID(None)
    waitFor(lambda: draw.ui.contents.enabled)
    assert a_window.sliceStates.drawn == (DRAWN,)


def test_each_volume_keeps_its_own_marks_and_segmentation(a_window):
    first, _ = drawn(a_window, "Ann")
    a_window.case.firstSlice, a_window.case.reachesLast = 3, True
    annSegmentation = a_window.case.segmentation
    drawn(a_window, "Bob")
    assert (a_window.case.firstSlice, a_window.case.reachesLast) == (-1, False)
    assert a_window.case.segmentation != annSegmentation
    panelOf(a_window, "VolumePanel").ui.volumeSelector.setCurrentNode(first)
    waitFor(lambda: a_window.case.volume == first)
    a_window.update()
    assert (a_window.case.firstSlice, a_window.case.segmentation) == (3, annSegmentation)
    assert a_window.editor.segmentationNode() == annSegmentation
    assert panelOf(a_window, "DrawPanel").ui.reachesLastCheckBox.checked


def test_two_marks_in_the_wrong_order_are_put_right_and_a_second_click_takes_one_away(a_window):
    drawn(a_window)
    strip, draw = panelOf(a_window, "VolumePanel").ui.strip, panelOf(a_window, "DrawPanel").ui
    for index, button in ((10, draw.firstButton), (2, draw.lastButton)):
        strip.setCurrentCell(0, index)
        click(button)
    assert (a_window.case.firstSlice, a_window.case.lastSlice) == (2, 10)
    assert (draw.firstButton.text, draw.endsHint.visible) == ("First slice: 2", False)
    click(draw.firstButton)
    assert a_window.case.firstSlice == -1
    strip.setCurrentCell(0, DRAWN + 1)
    click(draw.firstButton)
    assert "Slice 7 is annotated, but lies beyond" in panelOf(a_window, "PropagatePanel").obstacle()


def test_the_result_goes_to_the_volume_it_was_started_for(a_window, a_trainer_that):
    ann, label = drawn(a_window, "Ann")
    annCase = a_window.case
    a_trainer_that(TWO_STEPS)
    startPropagation(a_window)
    job = a_window.jobRunner.job
    writeResult(job, "Ann", label)
    (job.client.folder / "instant.nrrd").write_bytes((job.client.folder / "out" / "labels" / "Ann.nrrd").read_bytes())
    drawn(a_window, "Bob")
    waitFor(lambda: annCase.confidence)
    assert set(annCase.confidence) == {0.25}  # that of the instant result
    (job.client.folder / "go").touch()
    waitFor(lambda: not a_window.jobRunner.isRunning())
    assert a_window.case.confidence == []
    assert set(annCase.confidence) == {0.5}
    assert list(np.flatnonzero(result(a_window, "Ellipsoid").any(axis=(1, 2)))) == [DRAWN]
    a_window.chooseVolume(ann)
    assert np.array_equal(result(a_window, "Ellipsoid"), label > 0)


def test_the_slice_axis_stays_while_a_result_along_it_is_on_its_way(a_window, a_trainer_that):
    drawn(a_window)
    selector = panelOf(a_window, "VolumePanel").ui.axisSelector
    assert selector.enabled
    a_trainer_that("import time; time.sleep(60)")
    startPropagation(a_window)
    waitFor(lambda: not selector.enabled)
    assert "Wait until the running job has ended" in selector.toolTip
    a_window.jobRunner.stop()
    waitFor(lambda: selector.enabled)


def test_a_result_whose_volume_is_gone_is_kept_in_the_job_folder(a_window, a_trainer_that):
    volumeNode, label = drawn(a_window)
    a_trainer_that(TWO_STEPS)
    startPropagation(a_window)
    job = a_window.jobRunner.job
    writeResult(job, "Ann", label)
    slicer.mrmlScene.RemoveNode(volumeNode)
    (job.client.folder / "go").touch()
    waitFor(lambda: not a_window.jobRunner.isRunning())
    kept = job.client.folder / "out" / "labels" / "Ann.nrrd"
    assert f"The result is kept in {kept}" in a_window.jobRunner.ui.messageLabel.text
    assert kept.is_file()
    assert not (job.client.folder / "cohort").exists()


def test_a_volume_that_is_removed_leaves_the_next_one_or_none(a_window):
    first, _ = drawn(a_window, "Ann")
    second, _ = drawn(a_window, "Bob")
    slicer.mrmlScene.RemoveNode(second)
    waitFor(lambda: a_window.case is not None and a_window.case.volume == first)
    slicer.mrmlScene.RemoveNode(first)
    waitFor(lambda: a_window.case is None)
    assert "Load and select a volume" in panelOf(a_window, "VolumePanel").ui.instruction.text


def test_closing_the_scene_stops_the_propagation_and_the_window_goes_on(a_window):
    drawn(a_window)
    startPropagation(a_window)
    job = a_window.jobRunner.job
    slicer.mrmlScene.Clear(False)
    assert not isAlive(job.client._process.pid)
    assert not job.client.folder.exists()
    assert a_window.jobRunner.ui.messageLabel.text == "Stopped, because the scene was closed."
    assert not panelOf(a_window, "PropagatePanel").ui.contents.enabled
    drawn(a_window, "Bob")
    assert panelOf(a_window, "PropagatePanel").ui.propagateButton.enabled


def test_what_was_drawn_and_marked_comes_back_with_the_saved_scene(a_window, tmp_path):
    _, label = drawn(a_window)
    a_window.case.firstSlice, a_window.case.reachesLast = 3, True
    a_window.case.confidence = [0.5] * len(label)
    a_window.parameters.refine = False
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    assert a_window.case is None
    slicer.util.loadScene(str(path))
    waitFor(lambda: a_window.case is not None)
    for window in (a_window, reopened(tmp_path)):
        assert window.case.volume.GetName() == "Ann"
        assert (window.case.firstSlice, window.case.reachesLast, window.case.centralSlice) == (3, True, DRAWN)
        assert window.case.confidence == [0.5] * len(label)
        assert window.sliceStates.drawn == (DRAWN,)
        assert not panelOf(window, "PropagatePanel").ui.refineCheckBox.checked
        assert np.array_equal(result(window, "Ellipsoid")[DRAWN], label[DRAWN] > 0)
    window.cleanup()


def test_one_segment_alone_can_be_propagated(a_window, a_trainer_that):
    _, label = drawn(a_window)
    drawSlice(a_window, {"Other": np.roll(label > 0, 12, axis=2)}, DRAWN)
    a_window.update()
    selector = panelOf(a_window, "PropagatePanel").ui.segmentSelector
    assert [selector.itemText(n) for n in range(selector.count)] == [
        "all that are drawn",
        "only Ellipsoid",
        "only Other",
    ]
    selector.currentIndex = 2
    waitFor(lambda: panelOf(a_window, "PropagatePanel").ui.propagateButton.enabled)
    a_trainer_that(TWO_STEPS)
    startPropagation(a_window)
    job = a_window.jobRunner.job
    labels = json.loads((job.client.folder / "cohort" / "labels.json").read_text())
    assert "Other" in str(labels)
    assert "Ellipsoid" not in str(labels)


def test_every_control_can_be_reached_by_the_keyboard_has_a_tool_tip_and_fits_a_small_screen(a_window):
    import qt

    drawn(a_window)
    controls = (qt.QAbstractButton, qt.QComboBox, qt.QAbstractSpinBox, qt.QLineEdit, qt.QAbstractItemView)
    for panel in a_window.panels[:3]:
        assert panel.widget.minimumSizeHint.width() <= 480
        for name, widget in vars(panel.ui).items():
            if isinstance(widget, controls) and not name.startswith("qt_"):
                assert widget.toolTip or name in ("strip", "collapsibleButton"), name
                assert widget.focusPolicy != qt.Qt.NoFocus, name
