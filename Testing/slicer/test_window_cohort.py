"""Step 4 in the window: cases are added, opened, saved again and removed by clicks, and none is lost."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from scenes import data, voxels  # noqa: E402
from windows import answering, click, drawOn, finish, panelOf, phantom, tableTexts, writeCohort  # noqa: E402

from sparseseg_trainer.cohort import load_case, read_cohort  # noqa: E402


@pytest.fixture
def panel(a_window):
    return panelOf(a_window, "CohortPanel")


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_a_folder_or_a_drawing_the_panel_says_what_to_do(a_window, panel):
    a_window.settings.cohortFolder = ""
    a_window.update()
    assert panel.ui.instruction.text == "Choose a folder for the cohort."
    assert not panel.ui.contents.enabled and panel.ui.contents.toolTip == panel.ui.instruction.text
    panel.ui.folderEdit.currentPath = "/nowhere/yet"
    assert panel.ui.contents.enabled
    assert "Load and select a volume" in panel.ui.addCurrentButton.toolTip
    a_window.chooseVolume(phantom("Ann")[0])
    assert "step 2" in panel.ui.addCurrentButton.toolTip


def test_one_click_adds_the_case_with_slices_ends_and_terminology(a_window, panel):
    volumeNode, label = phantom("Ann")
    drawOn(a_window, volumeNode, label, [6, 8])
    a_window.case.firstSlice, a_window.case.reachesLast = 3, True
    click(panel.ui.addCurrentButton)
    assert tableTexts(panel.ui.caseTable) == [["Ann", "6, 8", "drawn", ""]]
    [case] = read_cohort(panel.folder).cases
    assert (case.annotated_slices, case.axis, case.first_slice, case.reaches_last) == ((6, 8), 2, 3, True)
    assert np.array_equal(load_case(case).label[[6, 8]], label[[6, 8]])
    assert "Prostate" in read_cohort(panel.folder).labels[0].terminology


def test_another_volume_of_the_same_name_is_refused_without_loss(a_window, panel):
    volumeNode, label = phantom("Ann")
    drawOn(a_window, volumeNode, label, [6])
    click(panel.ui.addCurrentButton)
    before = contents(panel.folder)
    other, otherLabel = phantom("Ann", 1)
    drawOn(a_window, other, otherLabel, [7])
    click(panel.ui.addCurrentButton)
    assert "has a case 'Ann' already. Rename the volume" in panel.ui.messageLabel.text
    assert contents(panel.folder) == before


def test_an_opened_case_is_corrected_and_saved_again_after_a_question(a_window, panel, monkeypatch):
    volumeNode, label = phantom("Ann")
    drawOn(a_window, volumeNode, label, [6])
    a_window.case.lastSlice = 11
    click(panel.ui.addCurrentButton)
    slicer.mrmlScene.Clear(False)
    a_window.update()
    panel.ui.caseTable.selectRow(0)
    a_window.update()
    click(panel.ui.openButton)
    case = a_window.case
    assert (case.volume.GetName(), case.lastSlice, case.centralSlice) == ("Ann", 11, 6)
    [segmentId] = case.segmentation.GetSegmentation().GetSegmentIDs()
    assert np.array_equal(voxels(case.segmentation, segmentId, case.volume)[6], label[6] > 0)

    mask = voxels(case.segmentation, segmentId, case.volume).astype(np.uint8)
    mask[8] = label[8]
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, case.segmentation, segmentId, case.volume)
    a_window.update()
    assert panel.ui.addCurrentButton.text == "Save changes"
    answering(monkeypatch, False)
    click(panel.ui.addCurrentButton)
    assert tableTexts(panel.ui.caseTable) == [["Ann", "6", "drawn", ""]]
    answering(monkeypatch, True)
    click(panel.ui.addCurrentButton)
    assert tableTexts(panel.ui.caseTable) == [["Ann", "6, 8", "drawn", ""]]
    assert len(read_cohort(panel.folder).cases) == 1


def test_a_new_structure_in_a_later_case_is_pointed_out(a_window, panel):
    for number, (name, structure) in enumerate({"Ann": "Ellipsoid", "Bob": "Sphere"}.items()):
        volumeNode, label = phantom(name, number)
        drawOn(a_window, volumeNode, label, [6], structure)
        click(panel.ui.addCurrentButton)
    assert "Sphere is new there" in panel.ui.messageLabel.text
    assert [label.name for label in read_cohort(panel.folder).labels] == ["Ellipsoid", "Sphere"]


def test_loaded_volumes_and_files_are_added_and_a_case_is_removed(a_window, panel, monkeypatch, tmp_path):
    volumeNode, _ = phantom("Ann")
    phantom("Bob", 1)
    path = tmp_path / "Carl.nrrd"
    slicer.util.saveNode(volumeNode, str(path))
    a_window.update()
    click(panel.ui.addLoadedButton)
    monkeypatch.setattr("SparseSegLib.panels.cohortPanel.askFiles", lambda *_: [path, tmp_path / "gone.nrrd"])
    click(panel.ui.addFilesButton)
    assert [row[0] for row in tableTexts(panel.ui.caseTable)] == ["Ann", "Bob", "Carl"]
    assert "Added: Carl." in panel.ui.messageLabel.text and "gone.nrrd does not exist" in panel.ui.messageLabel.text
    assert not panel.ui.addLoadedButton.enabled
    panel.ui.caseTable.selectRow(1)
    a_window.update()
    click(panel.ui.removeButton)
    assert [row[0] for row in tableTexts(panel.ui.caseTable)] == ["Ann", "Carl"]
    assert (panel.folder / "images" / "Bob.nrrd").is_file()


def test_a_case_whose_file_is_gone_is_shown_with_the_reason(a_window, panel):
    panel.folder.mkdir()
    (panel.folder / "cohort.csv").write_text("case,image\nAnn,gone.nrrd\n")
    a_window.update()
    assert tableTexts(panel.ui.caseTable) == [["Ann", "", "cannot be used", ""]]
    assert "gone.nrrd does not exist" in panel.ui.caseTable.item(0, 2).toolTip()
    panel.ui.caseTable.selectRow(0)
    a_window.update()
    assert "gone.nrrd does not exist" in panel.ui.openButton.toolTip


class Database:
    """What Slicer's DICOM database tells of one series (names of ctkDICOMDatabase)."""

    isOpen = True
    patients = staticmethod(lambda: ["1"])
    studiesForPatient = staticmethod(lambda patient: ["1.2"])
    seriesForStudy = staticmethod(lambda study: ["1.2.3"])
    nameForPatient = staticmethod(lambda patient: "ProstateX-0000")
    descriptionForSeries = staticmethod(lambda series: "t2_tse_tra")
    fieldForStudy = staticmethod(lambda field, study: "20110707")
    fieldForSeries = staticmethod(lambda field, series: {"Modality": "MR", "SeriesNumber": "4"}[field])
    filesForSeries = staticmethod(lambda series: [str(path) for path in data("dicom/ProstateX-0000_T2").iterdir()])


def test_a_series_of_the_dicom_database_becomes_a_case(a_window, panel, monkeypatch):
    data("dicom/ProstateX-0000_T2")  # skips here where it is missing: not in the click, where the window handles errors
    a_window.update()
    assert "open the DICOM module" in panel.ui.addDicomButton.toolTip
    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    from SparseSegLib.dicomSeries import listSeries

    monkeypatch.setattr("SparseSegLib.panels.cohortPanel.askSeries", listSeries)
    a_window.update()
    click(panel.ui.addDicomButton)
    [[name, _, state, _]] = tableTexts(panel.ui.caseTable)
    assert (name, state) == ("ProstateX-0000_20110707_4_t2_tse_tra", "not drawn on")
    assert len(list((panel.folder / "images" / name).iterdir())) == 19


def test_all_drawn_cases_are_propagated_by_one_click_and_open_with_what_was_found(a_window, panel):
    writeCohort(panel.folder, cases=2, complete=1)
    a_window.update()
    click(panel.ui.propagateCohortButton)
    finish(a_window)
    assert "1 cases were propagated" in panel.ui.messageLabel.text
    states = {row[0]: row[2] for row in tableTexts(panel.ui.caseTable)}
    assert states == {"case0": "drawn on all slices", "case1": "propagated"}
    panel.ui.caseTable.selectRow(1)
    a_window.update()
    click(panel.ui.openButton)
    case = next(case for case in read_cohort(panel.folder).cases if case.name == "case1")
    [segmentId] = a_window.case.segmentation.GetSegmentation().GetSegmentIDs()
    found, drawn = voxels(a_window.case.segmentation, segmentId, a_window.case.volume), load_case(case).label
    assert np.array_equal(found[7], drawn[7] > 0) and found[4].any() and found[10].any()
    assert a_window.sliceStates.drawn == (7,)


def test_without_a_case_drawn_in_part_there_is_nothing_to_propagate(a_window, panel):
    writeCohort(panel.folder, cases=1, complete=1)
    a_window.update()
    assert not panel.ui.propagateCohortButton.isEnabled()
    assert "drawn on some of its slices" in panel.ui.propagateCohortButton.toolTip
