"""The host behaves as Slicer does, and refuses what Slicer does not have."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import slicer_host

slicer = slicer_host.start()

import ctk  # noqa: E402
import qt  # noqa: E402
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper  # noqa: E402


class Preset(enum.Enum):
    QUICK = "minutes"
    FULL = "the paper's"


@parameterNodeWrapper
class Parameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    refine: bool = True
    threshold: Annotated[float, WithinRange(0, 1)] = 0.5
    speed: Annotated[str, Choice(["slow", "fast"])] = "fast"
    preset: Preset
    folder: Path | None
    slices: Annotated[list[int], Default(generator=lambda: [1, 2])]


def parameters() -> Parameters:
    return Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters"))


def addVolume(name: str):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def volumeSelector(noneEnabled: bool = True):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = noneEnabled
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


# PythonQt's manners


def test_properties_are_attributes_that_can_be_assigned():
    button, combo = qt.QPushButton("Run"), qt.QComboBox()
    button.checkable = button.checked = True
    combo.addItems(["a", "b"])
    combo.currentText = "b"
    assert (button.text, button.checked, combo.currentIndex, combo.count) == ("Run", True, 1, 2)
    assert isinstance(button.sizeHint, qt.QSize)
    with pytest.raises(TypeError):
        button.text()


def test_a_property_does_not_hide_a_function_of_the_class_that_has_its_name():
    heard, timer = [], qt.QTimer()
    timer.singleShot = True
    qt.QTimer.singleShot(0, lambda: heard.append("shot"))
    slicer.app.processEvents()
    assert (timer.singleShot, heard) == (True, ["shot"])


def test_connect_by_signature_gives_a_function_as_many_arguments_as_it_takes():
    button, heard = qt.QPushButton(), []
    button.checkable = True
    button.connect("clicked(bool)", lambda on: heard.append(on))
    button.connect("clicked()", lambda: heard.append("clicked"))
    button.click()
    assert heard == [True, "clicked"]
    assert button.disconnect("clicked()")
    button.click()
    assert heard == [True, "clicked", False]


def test_a_connection_to_a_signal_that_does_not_exist_raises():
    with pytest.raises(AttributeError, match=r"QPushButton has no signal 'pressed\(bool\)'"):
        qt.QPushButton().connect("pressed(bool)", print)
    with pytest.raises(AttributeError, match="currentNodeChanged"):
        volumeSelector().connect("currentNodeChanged(vtkMRMLVolumeNode*)", print)


def test_unknown_attributes_of_widgets_raise_when_read_and_when_assigned():
    for widget, name in (
        (qt.QLabel(), "txt"),
        (volumeSelector(), "currentVolume"),
        (ctk.ctkCollapsibleButton(), "folded"),
    ):
        with pytest.raises(AttributeError, match=name):
            getattr(widget, name)
        with pytest.raises(AttributeError, match=name):
            setattr(widget, name, 1)


def test_what_only_pyside_has_is_not_in_qt():
    for name in ("Signal", "Slot", "Property", "QEnum"):
        with pytest.raises(AttributeError, match=name):
            getattr(qt, name)


def test_setters_that_pythonqt_does_not_show_raise():
    with pytest.raises(AttributeError, match="setCollapsed"):
        ctk.ctkCollapsibleButton().setCollapsed(True)
    with pytest.raises(AttributeError, match="setNodeTypes"):
        volumeSelector().setNodeTypes([])


def test_a_host_class_cannot_be_given_what_slicers_class_lacks():
    from slicer_host.api import SlicerClass

    with pytest.raises(TypeError, match="shuffle"):
        type("ctkComboBox", (SlicerClass, qt.QComboBox), {"shuffle": lambda self: None})


def test_widgets_written_in_python_draw_themselves_and_keep_attributes():
    class Strip(qt.QWidget):
        def __init__(self):
            qt.QWidget.__init__(self)
            self.painted = []

        def paintEvent(self, event):
            painter = qt.QPainter(self)
            painter.fillRect(self.rect, qt.QColor("red"))
            painter.end()
            self.painted.append(self.width)

    strip = Strip()
    strip.resize(30, 10)
    assert strip.grab().toImage().pixelColor(5, 5).name() == "#ff0000"
    assert strip.painted == [30]


def test_functions_that_slicer_util_lacks_raise():
    with pytest.raises(AttributeError, match="showErrorBox"):
        slicer.util.showErrorBox("No.")
    with pytest.raises(AttributeError, match="pip_upgrade"):
        slicer.packaging.pip_upgrade("numpy")


# Nodes


def test_a_node_combo_box_follows_the_scene():
    selector, heard = volumeSelector(), []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    volume = addVolume("T1")
    assert (selector.nodeCount(), selector.currentNode()) == (1, None)
    selector.setCurrentNode(volume)
    slicer.mrmlScene.RemoveNode(volume)
    assert heard == [volume, None]
    assert selector.nodeCount() == 0


def test_a_node_combo_box_without_none_takes_the_first_node_and_shows_new_names():
    selector = volumeSelector(noneEnabled=False)
    volume = addVolume("T1")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert selector.currentNode() is volume
    selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    assert selector.nodeCount() == 1
    volume.SetName("T2")
    assert selector.findChildren(qt.QComboBox)[0].currentText == "T2"
    slicer.mrmlScene.Clear(False)
    assert selector.currentNode() is None


def test_the_segment_editor_adds_segments_and_undoes_it():
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(slicer.util.addVolumeFromArray(np.zeros((3, 4, 5))))
    [add] = slicer.util.findChildren(editor, text="+ Add")
    add.click()
    assert editor.currentSegmentID() == segmentation.GetSegmentation().GetNthSegmentID(0)
    editor.undo()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 0
    with pytest.raises(ValueError, match="Brush"):
        editor.setEffectNameOrder(["Paint", "Brush"])


# Parameter nodes


def test_parameters_have_defaults_and_refuse_wrong_values():
    p = parameters()
    assert (p.volume, p.refine, p.threshold, p.speed, p.preset) == (None, True, 0.5, "fast", Preset.QUICK)
    assert (p.folder, p.slices) == (None, [1, 2])
    for name, value in (("threshold", 2.0), ("speed", "medium"), ("refine", "yes"), ("preset", "QUICK"), ("volume", 3)):
        with pytest.raises(ValueError, match=name):
            setattr(p, name, value)
    with pytest.raises(AttributeError, match="volumes"):
        p.volumes = None


def test_parameters_are_saved_with_the_scene(tmp_path):
    p = parameters()
    p.volume, p.preset, p.folder, p.slices = (
        slicer.util.addVolumeFromArray(np.ones((2, 2, 2))),
        Preset.FULL,
        tmp_path,
        [7],
    )
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    again = Parameters(slicer.mrmlScene.GetFirstNodeByName("Parameters"))
    assert again.volume is slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert (again.preset, again.folder, again.slices) == (Preset.FULL, tmp_path, [7])


UI = """<ui version="4.0"><widget class="qMRMLWidget" name="Form"><layout class="QVBoxLayout" name="layout"><item>
<widget class="ctkCollapsibleButton" name="section"><property name="text"><string>Volume</string></property>
<layout class="QVBoxLayout" name="inner"><item>
<widget class="qMRMLNodeComboBox" name="selector">
 <property name="{property}"><bool>true</bool></property>
 <property name="SlicerParameterName" stdset="0"><string>volume</string></property></widget></item><item>
<widget class="QCheckBox" name="refine">
 <property name="SlicerParameterName" stdset="0"><string>refine</string></property></widget></item><item>
<widget class="QComboBox" name="preset">
 <property name="SlicerParameterName" stdset="0"><string>preset</string></property></widget></item></layout>
</widget></item></layout></widget><connections><connection><sender>Form</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>selector</receiver><slot>{slot}(vtkMRMLScene*)</slot></connection></connections></ui>"""


@pytest.fixture
def load_form(tmp_path):
    def load(property="noneEnabled", slot="setMRMLScene"):
        (tmp_path / "form.ui").write_text(UI.format(property=property, slot=slot))
        return slicer.util.loadUI(str(tmp_path / "form.ui"))

    return load


def test_a_ui_file_is_loaded_with_slicers_widgets_and_its_connections_are_made(load_form):
    form = load_form()
    ui = slicer.util.childWidgetVariables(form)
    volume = addVolume("T1")
    form.setMRMLScene(slicer.mrmlScene)
    assert type(ui.section) is ctk.ctkCollapsibleButton
    assert (ui.section.text, ui.selector.noneEnabled, ui.selector.mrmlScene()) == ("Volume", True, slicer.mrmlScene)
    form.setMRMLScene(None)
    assert ui.selector.mrmlScene() is None
    assert volume is not None


def test_a_ui_file_with_a_property_or_slot_that_does_not_exist_raises(load_form):
    with pytest.raises(AttributeError, match="nonEnabled"):
        load_form(property="nonEnabled")
    with pytest.raises(AttributeError, match="setScene"):
        load_form(slot="setScene")


def test_widgets_and_parameters_follow_each_other_until_disconnected(load_form):
    form, p = load_form(), parameters()
    form.setMRMLScene(slicer.mrmlScene)
    ui = slicer.util.childWidgetVariables(form)
    volume = addVolume("T1")
    tag = p.connectGui(ui)
    p.volume, p.refine = volume, False
    assert (ui.selector.currentNode(), ui.refine.checked) == (volume, False)
    ui.refine.click()
    ui.preset.currentText = "FULL"
    ui.selector.setCurrentNode(None)
    assert (p.volume, p.refine, p.preset) == (None, True, Preset.FULL)
    p.disconnectGui(tag)
    ui.refine.click()
    assert p.refine is True
    p.preset = Preset.QUICK
    assert ui.preset.currentText == "FULL"


def test_collapsing_hides_what_is_inside_and_keeps_what_was_hidden_before(load_form):
    form = load_form()
    ui = slicer.util.childWidgetVariables(form)
    form.show()
    ui.refine.visible = False
    ui.section.collapsed = True
    assert not ui.selector.visible
    ui.section.collapsed = False
    assert ui.selector.visible and not ui.refine.visible


def test_what_is_put_into_a_collapsed_button_appears_when_it_is_opened():
    section = ctk.ctkCollapsibleButton()
    section.collapsed = True
    layout = qt.QVBoxLayout(section)
    label = qt.QLabel("Some words. " * 20)
    label.wordWrap = True
    layout.addWidget(label)
    section.show()
    slicer.app.processEvents()
    section.adjustSize()
    height = section.height
    assert not label.visible and not section.hasHeightForWidth()
    section.collapsed = False
    section.adjustSize()
    assert label.visible and section.height > height


def test_errors_in_slots_do_not_pass_silently():
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError), slicer_host.raisingErrors():
        button.click()


# Views


def drawnSquare():
    """A dark volume whose only segment, pure red, is a square in the middle."""
    volume = slicer.util.addVolumeFromArray(np.zeros((9, 40, 40), np.int16))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("red", "red", [1, 0, 0])
    mask = np.zeros((9, 40, 40), np.uint8)
    mask[2:7, 10:30, 10:30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segmentId, volume)
    return volume, segmentation


def colors(widget) -> np.ndarray:
    """The picture of a widget, (row, column, red green blue)."""
    image = widget.grab().toImage().convertToFormat(qt.QImage.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def test_slices_and_surfaces_of_segments_are_drawn_in_the_views_of_the_layout():
    volume, segmentation = drawnSquare()
    layoutManager = slicer.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert sorted(layoutManager.sliceViewNames()) == ["Green", "Red", "Yellow"]
    layoutManager.viewport().resize(600, 600)
    layoutManager.viewport().show()
    slicer.app.processEvents()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    sliceView = layoutManager.sliceWidget("Red").sliceView()
    picture = colors(sliceView)
    red = (picture[..., 0] > 100) & (picture[..., 1] < 60)
    assert 0.1 < red.mean() < 0.4
    segmentation.GetDisplayNode().SetVisibility(False)
    assert (colors(sliceView)[..., 0] < 100).all()

    segmentation.GetDisplayNode().SetVisibility(True)
    segmentation.CreateClosedSurfaceRepresentation()
    threeDView = layoutManager.threeDWidget(0).threeDView()
    layoutManager.resetThreeDViews()
    picture = colors(threeDView)
    assert ((picture[..., 0] > 60) & (picture[..., 1:] < 30).all(axis=2)).mean() > 0.02


def test_views_that_a_layout_does_not_show_are_kept_for_later():
    layoutManager = slicer.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    green = layoutManager.sliceWidget("Green")
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slicer.app.processEvents()
    assert layoutManager.sliceViewNames() == ["Red"]
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert layoutManager.sliceWidget("Green") is green


def test_requirements_are_checked_by_their_metadata_and_never_installed():
    assert slicer.packaging.pip_check(["numpy>=1", "nothing-like-this; python_version < '3'"])
    assert not slicer.packaging.pip_check("numpy<1")
    assert slicer.packaging.pip_ensure("nothing-like-this") is None  # skipped silently when testing, as in Slicer
    with pytest.raises(NotImplementedError, match="nothing-like-this"):
        slicer.packaging.pip_ensure("nothing-like-this", skip_in_testing=False, prompt_install=False)


def test_the_hosts_table_of_names_is_what_the_list_of_slicers_classes_says():
    import make_api

    if not make_api.SOURCE.exists():
        pytest.skip(f"{make_api.SOURCE} is missing")
    assert (make_api.HERE / "api.json").read_text() == make_api.table()
