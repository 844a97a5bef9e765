"""Step 6 in the window: a model is imported, applied, measured and exported, and so is what it has found."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from scenes import TERMINOLOGY, data, moveBy, voxels  # noqa: E402
from windows import click, drawOn, finish, panelOf, phantom, tableTexts, writeCohort  # noqa: E402

from sparseseg_trainer.errors import InputError  # noqa: E402
from sparseseg_trainer.volumes import read_image, read_label, read_label_names, write_label  # noqa: E402
from SparseSegLib.segmenting import SegmentJob  # noqa: E402
from SparseSegLib.segments import newSegmentation  # noqa: E402


@pytest.fixture(scope="module")
def a_packed_model(tmp_path_factory):
    """A model of the phantoms' ellipsoid, trained on all slices for a moment, as a .sparseseg file."""
    from sparseseg_trainer.training.settings import TrainSettings
    from sparseseg_trainer.training.train import train

    folder = tmp_path_factory.mktemp("model")
    writeCohort(folder / "cohort", cases=3, complete=3)
    settings = {"method": "full", "preset": "fast", "device": "cpu", "width": 4, "batch": 4}
    settings |= {"steps": 10, "baseline_epochs": 3, "orthogonal_epochs": 0, "averaging": 0.0, "learning_rate": 0.02}
    train(folder / "cohort", folder / "ellipsoid.sparseseg", TrainSettings(**settings))
    return folder / "ellipsoid.sparseseg"


@pytest.fixture
def panel(a_window):
    return panelOf(a_window, "SegmentPanel")


@pytest.fixture
def a_model(a_window, panel, a_packed_model, monkeypatch):
    """The model imported by a click; its path in the folder of all models."""
    monkeypatch.setattr("SparseSegLib.panels.segmentPanel.askFile", lambda *_: a_packed_model)
    a_window.update()
    click(panel.ui.importButton)
    return panel.folder / "ellipsoid.sparseseg"


def test_without_a_model_the_panel_says_where_to_get_one(a_window, panel):
    a_window.update()
    assert panel.ui.instruction.text == "Train a model first (step 5), or import one."
    assert not panel.ui.segmentButton.isEnabled() and panel.ui.importButton.isEnabled()


def test_an_imported_model_shows_its_card_and_is_not_replaced_by_another_of_its_name(a_window, panel, a_model):
    assert (panel.model, panel.ui.modelBox.currentText) == (a_model, "ellipsoid")
    assert "Segments: Ellipsoid (1)" in panel.ui.cardBrowser.plainText
    before = a_model.read_bytes()
    click(panel.ui.importButton)
    assert "a model 'ellipsoid' already. Rename the file" in panel.ui.messageLabel.text
    assert a_model.read_bytes() == before


def test_an_exported_model_is_the_same_model(a_window, panel, a_model, monkeypatch, tmp_path):
    monkeypatch.setattr("SparseSegLib.panels.segmentPanel.askNewFile", lambda *_: tmp_path / "gift")
    click(panel.ui.exportModelButton)
    assert (tmp_path / "gift.sparseseg").read_bytes() == a_model.read_bytes()
    assert "gift.sparseseg" in panel.ui.messageLabel.text


def test_a_file_that_is_no_model_is_refused(a_window, panel, monkeypatch, tmp_path):
    (tmp_path / "letter.sparseseg").write_text("Dear colleague")
    monkeypatch.setattr("SparseSegLib.panels.segmentPanel.askFile", lambda *_: tmp_path / "letter.sparseseg")
    a_window.update()
    click(panel.ui.importButton)
    assert "not a usable SparseSeg model" in panel.ui.messageLabel.text
    assert not panel.models


def test_the_volume_is_segmented_into_a_new_segment_beside_the_old_ones(a_window, panel, a_model):
    volumeNode, label = phantom("Ann", 5)
    segmentationNode = drawOn(a_window, volumeNode, label, [6])
    before = voxels(segmentationNode, "Ellipsoid", volumeNode)
    click(panel.ui.segmentButton)
    assert finish(a_window) == "Done."
    first, found = segmentationNode.GetSegmentation().GetSegmentIDs()
    segment = segmentationNode.GetSegmentation().GetSegment(found)
    assert (segment.GetName(), segment.GetTerminology()) == ("Ellipsoid 2", TERMINOLOGY)
    assert segment.GetColor() == pytest.approx((0.2, 0.6, 0.4))
    assert np.array_equal(voxels(segmentationNode, first, volumeNode), before)
    result = voxels(segmentationNode, found, volumeNode)
    assert 2 * (result & (label > 0)).sum() / (result.sum() + label.sum()) > 0.5
    milliliters = result.sum() * 0.9 * 0.9 * 3 / 1000
    assert tableTexts(panel.ui.volumeTable) == [["Ellipsoid 2", f"{milliliters:.2f}"]]
    a_window.case.segment = found
    a_window.onDrawingModified()
    a_window.update()
    assert a_window.sliceStates.drawn == ()  # what the model has found is not taken for drawn

    a_window.editor.undo()
    assert list(segmentationNode.GetSegmentation().GetSegmentIDs()) == [first]


def test_a_result_whose_volume_was_removed_is_kept_in_a_file(a_model):
    volumeNode, label = phantom("Ann")
    job = SegmentJob(volumeNode, a_model)
    path = job.folder / "out" / "labels" / "volume.nrrd"
    write_label(path, label, job.geometry)
    (job.folder / "result.json").write_text('{"cases": 1, "failed": []}')
    slicer.mrmlScene.RemoveNode(volumeNode)
    with pytest.raises(InputError, match="changed or removed") as error:
        job.finish()
    assert str(path) in error.value.advice
    assert np.array_equal(read_label(path, job.geometry), label)
    assert not (job.folder / "volume.nrrd").exists()  # no image of a patient stays
    shutil.rmtree(job.folder)


def test_a_result_whose_segmentation_lies_elsewhere_than_the_volume_by_now_is_kept_in_a_file(a_model):
    volumeNode, label = phantom("Ann")
    segmentationNode = newSegmentation(volumeNode)
    job = SegmentJob(volumeNode, a_model, segmentationNode)
    write_label(job.folder / "out" / "labels" / "volume.nrrd", label, job.geometry)
    (job.folder / "result.json").write_text('{"cases": 1, "failed": []}')
    moveBy(volumeNode, np.array([[1, 0, 0, 30], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    with pytest.raises(InputError, match="changed or removed"):
        job.finish()
    assert segmentationNode.GetSegmentation().GetNumberOfSegments() == 0
    shutil.rmtree(job.folder)


def test_the_cohort_is_segmented_and_compared_with_the_cases_drawn_on_all_slices(
    a_window, panel, a_model, tmp_path, monkeypatch
):
    writeCohort(tmp_path / "cohort", cases=2, complete=1)
    a_window.update()
    click(panel.ui.segmentCohortButton)
    finish(a_window)
    assert "2 cases were segmented" in panel.ui.messageLabel.text
    assert "Mean Dice on 1 cases that are drawn on all slices" in panel.ui.messageLabel.text
    [complete, sparse] = tableTexts(panelOf(a_window, "CohortPanel").ui.caseTable)
    assert complete[:3] == ["case0", "all", "drawn on all slices"] and float(complete[3]) > 0.5
    assert sparse == ["case1", "7", "drawn", ""]
    opened = []
    monkeypatch.setattr("SparseSegLib.panels.segmentPanel.openPath", opened.append)
    click(panel.ui.reportButton)
    assert "case0" in opened[0].read_text()


@pytest.fixture
def a_segmented_series(a_window):
    """The prostate's T2 series with a segment on slices 5 to 12."""
    volumeNode = slicer.util.loadVolume(sorted(data("dicom/ProstateX-0000_T2").iterdir())[0], {"name": "T2"})
    label = np.zeros((19, 384, 384), np.uint8)
    label[5:13, 150:200, 160:230] = 1
    return drawOn(a_window, volumeNode, label, list(range(5, 13)), "Prostate"), volumeNode


@pytest.mark.parametrize("name", ["t2.seg.nrrd", "t2.nii.gz"])
def test_the_segmentation_is_exported_as_a_file_on_the_volumes_grid(
    a_window, panel, a_segmented_series, monkeypatch, tmp_path, name
):
    segmentationNode, volumeNode = a_segmented_series
    monkeypatch.setattr("SparseSegLib.exportDialog.askNewFile", lambda *_: tmp_path / name)
    before = segmentationNode.GetStorageNode()
    a_window.update()
    click(panel.ui.exportButton)
    assert f"The segmentation is in {tmp_path / name}" in panel.ui.messageLabel.text
    geometry = read_image(data("dicom/ProstateX-0000_T2")).geometry
    assert np.array_equal(read_label(tmp_path / name, geometry) > 0, voxels(segmentationNode, "Prostate", volumeNode))
    if name.endswith("seg.nrrd"):
        assert [(label.name, label.terminology) for label in read_label_names(tmp_path / name)] == [
            ("Prostate", TERMINOLOGY)
        ]
    assert segmentationNode.GetStorageNode() == before


def test_the_segmentation_is_exported_as_dicom_with_its_codes(
    a_window, panel, a_segmented_series, monkeypatch, tmp_path
):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    segmentationNode, volumeNode = a_segmented_series
    monkeypatch.setattr("SparseSegLib.exportDialog.askNewFile", lambda *_: tmp_path / "t2.dcm")
    a_window.update()
    click(panel.ui.exportButton)
    assert a_window.jobRunner.ui.cancelButton.isEnabled()  # though there is no model to segment with
    assert finish(a_window) == "Done."
    written = pydicom.dcmread(tmp_path / "t2.dcm")
    source = pydicom.dcmread(sorted(data("dicom/ProstateX-0000_T2").iterdir())[0], stop_before_pixels=True)
    assert (written.Modality, written.StudyInstanceUID) == ("SEG", source.StudyInstanceUID)
    [segment] = written.SegmentSequence
    assert segment.SegmentLabel == "Prostate"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "41216001"
    assert written.pixel_array.sum() == voxels(segmentationNode, "Prostate", volumeNode).sum()


def test_a_volume_that_is_not_dicom_is_refused_before_a_process_starts(a_window, panel, monkeypatch, tmp_path):
    volumeNode, label = phantom("Ann")
    drawOn(a_window, volumeNode, label, [6])
    monkeypatch.setattr("SparseSegLib.exportDialog.askNewFile", lambda *_: tmp_path / "t2.dcm")
    click(panel.ui.exportButton)
    assert "'Ann' was not loaded from a DICOM series" in a_window.jobRunner.ui.messageLabel.text
    assert not a_window.jobRunner.isRunning()


class SlicersExporter:
    """Slicer's DICOMSegmentationPlugin as far as it is used: writes a file of its own name into the folder given."""

    def examineForExport(self, item):
        name = slicer.mrmlScene.GetSubjectHierarchyNode().GetItemName(item)
        return [SimpleNamespace(directory="", text=name)]

    def export(self, exportables):
        (Path(exportables[0].directory) / "export.dcm").write_text(exportables[0].text)
        return ""


def test_slicers_own_dicom_exporter_is_used_where_it_is_present(
    a_window, panel, a_segmented_series, monkeypatch, tmp_path
):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    segmentation, volume = (hierarchy.CreateItem(study, node) for node in a_segmented_series)
    hierarchy.SetItemParent(segmentation, hierarchy.GetSceneItemID())  # where Slicer puts it
    plugins = {"DICOMSegmentationPlugin": SlicersExporter}
    monkeypatch.setattr(slicer.modules, "dicomPlugins", plugins, raising=False)
    monkeypatch.setattr("SparseSegLib.exportDialog.askNewFile", lambda *_: tmp_path / "t2.dcm")
    a_window.update()
    click(panel.ui.exportButton)
    assert (tmp_path / "t2.dcm").read_text() == "T2 drawing"
    assert [path.name for path in tmp_path.glob("*.dcm*")] == ["t2.dcm"]
    assert hierarchy.GetItemParent(segmentation) == hierarchy.GetItemParent(volume) == study
