"""Cases of the scene in a cohort folder: what is written, what comes back, and what is never lost."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from scenes import TERMINOLOGY, appearance, data, setBox, voxels  # noqa: E402
from windows import writeCohort  # noqa: E402

from sparseseg_trainer.cohort import load_case, read_cohort, write_cohort  # noqa: E402
from sparseseg_trainer.errors import InputError  # noqa: E402
from sparseseg_trainer.files import cannot_write  # noqa: E402
from sparseseg_trainer.labels import Label  # noqa: E402
from sparseseg_trainer.volumes import read_image, read_label, write_label  # noqa: E402
from SparseSegLib import sceneCases  # noqa: E402
from SparseSegLib.cohortFolder import addFiles, addSeries, caseNames, removeCase  # noqa: E402
from SparseSegLib.cohortPropagation import CohortPropagationJob  # noqa: E402
from SparseSegLib.propagation import PropagationJob  # noqa: E402
from SparseSegLib.sceneCases import addCase, addVolume, openCase  # noqa: E402
from SparseSegLib.volumeFiles import geometryOf  # noqa: E402

DRAWN = ["Gland", "Lesion"]


@pytest.fixture
def a_cohort(tmp_path):
    """A cohort folder that is not there yet."""
    return tmp_path / "cohort"


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_added_case_is_what_the_trainer_reads(an_oblique_volume, a_drawing, a_cohort):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN, first_slice=4, last_slice=14, reaches_last=True)
    cohort = read_cohort(a_cohort)
    [case] = cohort.cases
    volume = load_case(case)
    assert (case.name, volume.annotated, volume.axis, volume.first, volume.last) == ("T2", (9,), 2, 4, 14)
    assert (case.reaches_first, case.reaches_last) == (False, True)
    assert volume.geometry == geometryOf(an_oblique_volume)
    assert np.array_equal(read_image(case.image).array, slicer.util.arrayFromVolume(an_oblique_volume))
    for value, name in enumerate(DRAWN, start=1):
        assert np.array_equal(volume.label == value, voxels(a_drawing, name, an_oblique_volume))
    labels = [(label.name, label.color, label.terminology) for label in cohort.labels]
    assert labels == appearance(a_drawing)[:2]


def test_a_case_added_twice_is_refused_and_nothing_is_lost(an_oblique_volume, a_drawing, a_cohort):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    before = contents(a_cohort)
    an_oblique_volume.RemoveAttribute("SparseSeg.Case")  # another volume of the same name
    with pytest.raises(InputError, match="has a case 'T2' already") as error:
        addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    assert error.value.code == "duplicate_case"
    assert contents(a_cohort) == before


def test_a_case_with_slices_drawn_across_other_axes_is_not_replaced_by_one_without_them(
    an_oblique_volume, a_drawing, a_cohort
):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    cohort = read_cohort(a_cohort)
    cohort.cases[0].other_slices = ((0, 3),)
    write_cohort(a_cohort, cohort.cases, cohort.labels)
    before = contents(a_cohort)
    with pytest.raises(InputError, match="across other axes") as error:
        addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    assert error.value.code == "other_slices"
    assert contents(a_cohort) == before


def test_an_opened_case_comes_back_and_is_saved_again_with_its_corrections(an_oblique_volume, a_drawing, a_cohort):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN, first_slice=3)
    looks, drawn = appearance(a_drawing)[:2], voxels(a_drawing, "Gland", an_oblique_volume)
    slicer.mrmlScene.Clear(False)
    opened = openCase(a_cohort, "T2")
    volumeNode, segmentationNode = opened.volumeNode, opened.segmentationNode
    gland, lesion = segmentationNode.GetSegmentation().GetSegmentIDs()
    assert appearance(segmentationNode) == looks
    assert np.array_equal(voxels(segmentationNode, gland, volumeNode), drawn)
    assert opened.case.first_slice == 3

    setBox(segmentationNode, lesion, np.s_[9:11, 180:200, 120:160], volumeNode)
    images = list((a_cohort / "images").iterdir())
    addCase(a_cohort, volumeNode, segmentationNode)
    [case] = read_cohort(a_cohort).cases
    assert case.annotated_slices == (9, 10)
    assert (load_case(case).label == 2).sum() == 2 * 20 * 40
    assert list((a_cohort / "images").iterdir()) == images
    assert len(list((a_cohort / "labels").iterdir())) == 1


def test_where_the_table_cannot_be_written_the_saved_drawing_stays(an_oblique_volume, a_drawing, a_cohort, monkeypatch):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    before = read_cohort(a_cohort).cases[0].label.read_bytes()

    def locked(folder, rows):  # by a spreadsheet program
        raise cannot_write(folder / "cohort.csv")

    monkeypatch.setattr(sceneCases, "write_rows", locked)
    setBox(a_drawing, "Gland", np.s_[9:11, 100:180, 100:200], an_oblique_volume)
    with pytest.raises(InputError):
        addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    assert read_cohort(a_cohort).cases[0].label.read_bytes() == before


@pytest.mark.parametrize("name", ["T2..tra", "T2...", "..", "T2 tra: 1/2"])
def test_a_volume_of_any_name_becomes_a_case_that_the_trainer_takes(an_oblique_volume, a_drawing, a_cohort, name):
    an_oblique_volume.SetName(name)
    added = [addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)]
    added.append(addSeries(a_cohort, f"{name} copy", map(str, sorted(data("dicom/ProstateX-0000_T2").iterdir()))))
    assert [case.name for case in read_cohort(a_cohort).cases] == added
    job = PropagationJob(an_oblique_volume, a_drawing, segmentIds=DRAWN)
    assert not read_cohort(job.folder / "cohort").failed


def test_a_name_that_cannot_be_a_file_name_is_refused_before_anything_is_written(
    an_oblique_volume, a_drawing, a_cohort
):
    with pytest.raises(InputError, match="cannot be a file name"):
        addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN, name="../T2")
    assert not a_cohort.exists() and not list(a_cohort.parent.rglob("T2*"))


def test_a_case_that_is_open_already_is_found_not_loaded_again(an_oblique_volume, a_drawing, a_cohort):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    opened = openCase(a_cohort, "T2")
    assert (opened.volumeNode, opened.segmentationNode) == (an_oblique_volume, a_drawing)


def test_what_was_propagated_is_kept_for_the_eye_and_not_for_the_training(
    an_oblique_volume, a_drawing, a_result, a_cohort
):
    for value, name in enumerate(DRAWN, start=1):
        mask = (a_result == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, a_drawing, name, an_oblique_volume)
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN, annotatedSlices=[9])
    [case] = read_cohort(a_cohort).cases
    trained = read_label(case.label, geometryOf(an_oblique_volume))
    assert not np.delete(trained, 9, axis=0).any()
    slicer.mrmlScene.Clear(False)
    opened = openCase(a_cohort, "T2")
    [gland, _] = opened.segmentationNode.GetSegmentation().GetSegmentIDs()
    assert np.array_equal(voxels(opened.segmentationNode, gland, opened.volumeNode), a_result == 1)
    addCase(a_cohort, opened.volumeNode, opened.segmentationNode)
    assert read_cohort(a_cohort).cases[0].annotated_slices == (9,)


def test_a_case_without_a_drawing_opens_with_what_a_model_has_found(an_oblique_volume, a_result, a_cohort):
    addVolume(a_cohort, an_oblique_volume)
    results = a_cohort / "results" / "prostate"
    write_label(results / "labels" / "T2.nrrd", a_result * 5, geometryOf(an_oblique_volume))
    [case] = read_cohort(a_cohort).cases
    labels = [Label(5, "Gland", (0.5, 0.25, 0.75), TERMINOLOGY), Label(10, "Lesion", (0.5, 0.5, 0.5))]
    write_cohort(results, [replace(case, label=results / "labels" / "T2.nrrd")], labels)
    slicer.mrmlScene.Clear(False)
    opened = openCase(a_cohort, "T2")
    gland, lesion = opened.segmentationNode.GetSegmentation().GetSegmentIDs()
    assert appearance(opened.segmentationNode)[0] == ("Gland", (0.5, 0.25, 0.75), TERMINOLOGY)
    assert np.array_equal(voxels(opened.segmentationNode, lesion, opened.volumeNode), a_result == 2)
    # what a model has found is nobody's drawing, until a slice is corrected
    with pytest.raises(InputError, match="Nothing is drawn"):
        addCase(a_cohort, opened.volumeNode, opened.segmentationNode)
    mask = (a_result == 1).astype(np.uint8)
    mask[7, 100:110] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, opened.segmentationNode, gland, opened.volumeNode)
    addCase(a_cohort, opened.volumeNode, opened.segmentationNode)
    assert read_cohort(a_cohort).cases[0].annotated_slices == (7,)


def test_a_structure_has_one_value_in_all_cases_whatever_the_order_of_the_segments(
    an_oblique_volume, a_drawing, a_cohort
):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=["Gland"], name="one")
    an_oblique_volume.RemoveAttribute("SparseSeg.Case")
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=["Lesion", "Gland"], name="two")
    cohort = read_cohort(a_cohort)
    assert [(label.value, label.name) for label in cohort.labels] == [(1, "Gland"), (2, "Lesion")]
    assert (load_case(cohort.cases[1]).label == 1).sum() == 80 * 100


def test_a_removed_case_keeps_its_files_and_may_be_added_again(an_oblique_volume, a_drawing, a_cohort):
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=DRAWN)
    before = contents(a_cohort)
    removeCase(a_cohort, "T2")
    assert caseNames(a_cohort) == []
    addCase(a_cohort, an_oblique_volume, a_drawing, segmentIds=["Gland"])
    after = contents(a_cohort)
    assert all(after[name] == before[name] for name in before if name.startswith(("images", "labels/")))
    assert len(read_cohort(a_cohort).cases) == 1


def test_rows_of_missing_files_and_columns_of_the_users_own_survive_a_change(a_scene, a_cohort):
    image = data("hippocampus/images") / sorted(p.name for p in data("hippocampus/images").iterdir())[0]
    a_cohort.mkdir()
    (a_cohort / "cohort.csv").write_text("case,image,remark\ngone,gone.nrrd,on the other disk\n")
    added, refused = addFiles(a_cohort, [image, image])
    assert len(added) == 1 and refused[0].code == "duplicate_case"
    text = (a_cohort / "cohort.csv").read_text()
    assert "on the other disk" in text
    assert caseNames(a_cohort) == ["gone", *added]
    with pytest.raises(InputError, match="does not exist"):
        openCase(a_cohort, "gone")


def test_a_dicom_folder_is_one_case_and_a_file_that_is_no_image_is_told(a_scene, a_cohort, tmp_path):
    (tmp_path / "letter.nrrd").write_text("Dear colleague")
    series = Path(shutil.copytree(data("dicom/ProstateX-0000_T2"), tmp_path / "series"))
    (series / ".DS_Store").write_text("of macOS")
    added, refused = addFiles(a_cohort, [series, tmp_path / "letter.nrrd"])
    assert added == ["series"]
    assert [error.code for error in refused] == ["not_an_image"]
    opened = openCase(a_cohort, added[0])
    assert opened.volumeNode.GetImageData().GetDimensions() == (384, 384, 19)


def test_a_volume_without_a_drawing_is_a_case_to_segment_later(an_oblique_volume, a_cohort):
    assert addVolume(a_cohort, an_oblique_volume) == "T2"
    [case] = read_cohort(a_cohort).cases
    assert case.label is None and read_image(case.image).geometry == geometryOf(an_oblique_volume)


def test_a_series_of_the_dicom_database_is_copied_and_opens(a_scene, a_cohort):
    files = sorted(data("dicom/ProstateX-0000_T2").iterdir())
    assert addSeries(a_cohort, "T2 tra: 1", map(str, files)) == "T2_tra__1"
    assert len(list((a_cohort / "images" / "T2_tra__1").iterdir())) == len(files)
    assert openCase(a_cohort, "T2_tra__1").volumeNode.GetImageData().GetDimensions() == (384, 384, 19)


def test_a_case_that_is_saved_while_its_cohort_is_propagated_keeps_its_own_labels(tmp_path):
    writeCohort(tmp_path, cases=2)
    job = CohortPropagationJob(tmp_path, settings={"quality": "instant", "device": "cpu"})
    job.start()
    cohort = read_cohort(tmp_path)
    changed = replace(cohort.cases[1], first_slice=2)
    write_cohort(tmp_path, [cohort.cases[0], changed], cohort.labels)
    found = job.wait()
    assert found["cases"] == ["case0"]
    assert found["failed"] == ["case1 was changed meanwhile: propagate it again."]
    assert (tmp_path / "propagated/case0.seg.nrrd").is_file() and not (tmp_path / "propagated/case1.seg.nrrd").exists()
