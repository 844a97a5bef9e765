"""From drawn segments to a job folder and back into the segments, on volumes of every orientation."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from scenes import appearance, data, draw, finishWith, moveBy, onOwnGrid, orient, setBox, voxels  # noqa: E402

from sparseseg_trainer.cohort import load_case, read_cohort  # noqa: E402
from sparseseg_trainer.errors import InputError  # noqa: E402
from sparseseg_trainer.volumes import read_image, read_label  # noqa: E402
from SparseSegLib.propagation import PropagationJob  # noqa: E402
from SparseSegLib.volumeFiles import geometryOf  # noqa: E402

NAMES = ("Gland", "Lesion")


def jobFor(volumeNode, segmentationNode, **options):
    return PropagationJob(volumeNode, segmentationNode, segmentIds=NAMES, **options)


def test_the_job_folder_holds_the_volume_and_the_drawn_slices_on_the_volumes_own_grid(an_oblique_volume, a_drawing):
    job = jobFor(an_oblique_volume, a_drawing)
    cohort = read_cohort(job.client.folder / "cohort")
    [case] = cohort.cases
    image = read_image(case.image)
    label = read_label(case.label, image.geometry)
    assert image.geometry == geometryOf(an_oblique_volume)
    assert np.array_equal(image.array, slicer.util.arrayFromVolume(an_oblique_volume))
    assert (case.annotated_slices, case.axis) == ((9,), 2)
    assert [np.count_nonzero(label[9] == value) for value in (1, 2)] == [80 * 100, 20 * 40]
    assert not np.delete(label, 9, axis=0).any()


def test_the_grid_in_lps_is_the_one_that_the_trainer_reads_from_the_dicom_series(an_oblique_volume):
    assert geometryOf(an_oblique_volume).same_grid(read_image(data("dicom/ProstateX-0000_T2")).geometry)


def test_names_colors_and_terminology_travel_with_the_job_and_are_kept(an_oblique_volume, a_drawing, a_result):
    before = appearance(a_drawing)
    job = jobFor(an_oblique_volume, a_drawing)
    labels = read_cohort(job.client.folder / "cohort").labels
    assert [(label.name, label.color, label.terminology) for label in labels] == before[:2]
    finishWith(job, a_result)
    assert appearance(a_drawing) == before


def test_the_result_arrives_in_the_drawn_segments(an_oblique_volume, a_drawing, a_result):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    for value, name in enumerate(NAMES, start=1):
        assert np.array_equal(voxels(a_drawing, name, an_oblique_volume), a_result == value)


def test_a_segment_that_takes_no_part_stays_bit_identical_where_the_result_overlaps_it(
    an_oblique_volume, a_drawing, a_result
):
    a_drawing.GetSegmentation().CollapseBinaryLabelmaps(False)  # all segments share one array, the hard case
    before = voxels(a_drawing, "Bladder", an_oblique_volume)
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    assert np.array_equal(voxels(a_drawing, "Bladder", an_oblique_volume), before)
    assert np.array_equal(voxels(a_drawing, "Gland", an_oblique_volume), a_result == 1)
    assert (before & (a_result == 1)).any()


def test_one_undo_takes_the_propagation_back(an_oblique_volume, a_drawing, a_result):
    names = (*NAMES, "Bladder")
    before = [voxels(a_drawing, name, an_oblique_volume) for name in names]
    job = jobFor(an_oblique_volume, a_drawing)
    finishWith(job, a_result)
    job.editorLogic.Undo()
    for name, drawn in zip(names, before, strict=True):
        assert np.array_equal(voxels(a_drawing, name, an_oblique_volume), drawn)
    job.editorLogic.Redo()
    assert np.array_equal(voxels(a_drawing, "Gland", an_oblique_volume), a_result == 1)


def test_a_drawn_slice_stays_bit_identical_whatever_the_trainer_returns(an_oblique_volume, a_drawing, a_result):
    drawn = [voxels(a_drawing, name, an_oblique_volume)[9] for name in NAMES]
    a_result[9] = 2
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    for name, slice_ in zip(NAMES, drawn, strict=True):
        assert np.array_equal(voxels(a_drawing, name, an_oblique_volume)[9], slice_)


def test_the_segmentation_refers_to_the_volumes_geometry_afterwards(an_oblique_volume, a_drawing, a_result):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Other")
    slicer.util.updateVolumeFromArray(other, np.zeros((3, 4, 5), np.uint8))
    a_drawing.SetReferenceImageGeometryParameterFromVolumeNode(other)
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert a_drawing.GetNodeReference(role) == an_oblique_volume


def test_a_second_propagation_starts_from_the_drawn_and_the_corrected_slices(an_oblique_volume, a_drawing, a_result):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    assert jobFor(an_oblique_volume, a_drawing).annotated == (9,)
    corrected = voxels(a_drawing, "Gland", an_oblique_volume)
    corrected[12, 95:100] = False
    slicer.util.updateSegmentBinaryLabelmapFromArray(corrected.astype(np.uint8), a_drawing, "Gland", an_oblique_volume)
    assert jobFor(an_oblique_volume, a_drawing).annotated == (9, 12)


def test_drawn_slices_are_still_known_after_saving_and_loading(an_oblique_volume, a_drawing, a_result, tmp_path):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    path = tmp_path / "drawing.seg.nrrd"
    assert slicer.util.saveNode(a_drawing, str(path))
    loaded = slicer.util.loadSegmentation(path)
    assert jobFor(an_oblique_volume, loaded).annotated == (9,)


@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, -1, -1), (-1, -1, -1)], ids=str)
def test_flipped_volumes_come_back_in_place(a_scene, signs):
    volumeNode = slicer.util.loadVolume(data("spinal_cord/t2s.nii.gz"))
    orient(volumeNode, np.diag(signs).astype(float))
    segmentationNode = draw(volumeNode, {"Cord": np.s_[4:5, 10:20, 12:30]})
    job = PropagationJob(volumeNode, segmentationNode)
    assert load_case(read_cohort(job.client.folder / "cohort").cases[0]).annotated == (4,)
    label = np.zeros(slicer.util.arrayFromVolume(volumeNode).shape, np.uint8)
    label[2:9, 8:22, 12:28] = 1
    label[4] = 0
    label[4, 10:20, 12:30] = 1
    finishWith(job, label)
    assert np.array_equal(voxels(segmentationNode, "Cord", volumeNode), label == 1)


def test_nodes_under_one_linear_transform_are_worked_on_in_the_volumes_ijk(an_oblique_volume, a_drawing, a_result):
    moveBy(an_oblique_volume, np.array([[0, -1, 0, 40], [1, 0, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1.0]]))
    a_drawing.SetAndObserveTransformNodeID(an_oblique_volume.GetTransformNodeID())
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    assert np.array_equal(voxels(a_drawing, "Lesion", an_oblique_volume), a_result == 2)


def test_a_segment_drawn_on_another_grid_is_read_as_slicer_does_and_written_on_the_volumes(
    an_oblique_volume, a_drawing, a_result
):
    a_drawing.GetSegmentation().CollapseBinaryLabelmaps(False)
    onOwnGrid(a_drawing, "Lesion", spacing=1.3, size=20)
    seen = voxels(a_drawing, "Lesion", an_oblique_volume)
    job = PropagationJob(an_oblique_volume, a_drawing, segmentIds=["Lesion"])
    label = read_label(job.client.folder / "cohort" / "label.nrrd", job.geometry)
    assert seen.any()
    assert np.array_equal(label == 1, seen)
    label[job.annotated[-1] + 1, 100:150, 100:150] = 1
    finishWith(job, label)
    assert np.array_equal(voxels(a_drawing, "Lesion", an_oblique_volume), label == 1)
    assert voxels(a_drawing, "Gland", an_oblique_volume).sum() == 80 * 100


def test_a_volume_moved_during_the_job_gets_no_result(an_oblique_volume, a_drawing, a_result):
    job = jobFor(an_oblique_volume, a_drawing)
    an_oblique_volume.SetOrigin(0, 0, 0)
    with pytest.raises(Exception, match="was changed during"):
        finishWith(job, a_result)
    assert voxels(a_drawing, "Gland", an_oblique_volume).any(axis=(1, 2)).sum() <= 1


def test_a_result_that_overlapping_segments_cannot_take_is_kept(an_oblique_volume, a_drawing, a_result):
    job = jobFor(an_oblique_volume, a_drawing)
    setBox(a_drawing, "Lesion", np.s_[9:10, 170:200, 120:160], an_oblique_volume)  # over a part of the gland
    with pytest.raises(InputError, match="overlap") as caught:
        finishWith(job, a_result)
    [path] = job.folder.rglob("*.nrrd")
    assert str(path) in caught.value.advice
    assert np.array_equal(read_label(path, geometryOf(an_oblique_volume)), a_result)


def test_explicit_slices_and_extents_reach_the_trainer(an_oblique_volume, a_drawing):
    setBox(a_drawing, "Gland", np.s_[8:11, 100:180, 100:200], an_oblique_volume)
    job = jobFor(an_oblique_volume, a_drawing, annotatedSlices=(8, 10), firstSlice=3, lastSlice=15, reachesLast=True)
    [case] = read_cohort(job.client.folder / "cohort").cases
    assert (case.annotated_slices, case.first_slice, case.last_slice) == ((8, 10), 3, 15)
    assert (case.reaches_first, case.reaches_last) == (False, True)


def correct(segmentationNode, volumeNode, index: int, columns: int) -> None:
    """Takes some columns of the gland away on one slice."""
    gland = voxels(segmentationNode, "Gland", volumeNode)
    gland[index, :, :columns] = False
    slicer.util.updateSegmentBinaryLabelmapFromArray(gland.astype(np.uint8), segmentationNode, "Gland", volumeNode)


def changed(before: np.ndarray, after: np.ndarray) -> set[int]:
    return set(np.flatnonzero((before != after).any(axis=(1, 2))).tolist())


def test_after_a_correction_only_what_lies_between_its_neighbors_changes(an_oblique_volume, a_drawing, a_result):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    for index in (6, 12):
        correct(a_drawing, an_oblique_volume, index, 110)
        finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    correct(a_drawing, an_oblique_volume, 11, 120)
    before = voxels(a_drawing, "Gland", an_oblique_volume)
    job = jobFor(an_oblique_volume, a_drawing)
    assert job.annotated == (6, 9, 11, 12)
    other = np.roll(a_result, 3, axis=2)
    result = finishWith(job, other)
    after = voxels(a_drawing, "Gland", an_oblique_volume)
    assert changed(before, after) == {10}
    assert set(result.confidence) == {10, 11}


def test_without_a_correction_the_whole_volume_is_propagated_again(an_oblique_volume, a_drawing, a_result):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    finishWith(jobFor(an_oblique_volume, a_drawing), np.roll(a_result, 3, axis=2))
    assert changed(voxels(a_drawing, "Gland", an_oblique_volume), a_result == 1) == set(range(4, 15)) - {9}


def test_other_ends_concern_only_what_lies_outside_the_drawn_slices(an_oblique_volume, a_drawing, a_result):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    correct(a_drawing, an_oblique_volume, 12, 110)
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    before = voxels(a_drawing, "Gland", an_oblique_volume)
    finishWith(jobFor(an_oblique_volume, a_drawing, firstSlice=2), np.roll(a_result, 3, axis=2))
    after = voxels(a_drawing, "Gland", an_oblique_volume)
    assert changed(before, after) == {4, 5, 6, 7, 8, 13, 14}


def test_a_slice_corrected_while_the_job_runs_is_kept_and_counts_next_time(an_oblique_volume, a_drawing, a_result):
    finishWith(jobFor(an_oblique_volume, a_drawing), a_result)
    job = jobFor(an_oblique_volume, a_drawing)
    correct(a_drawing, an_oblique_volume, 12, 110)
    corrected = voxels(a_drawing, "Gland", an_oblique_volume)[12]
    finishWith(job, np.roll(a_result, 3, axis=2))
    assert np.array_equal(voxels(a_drawing, "Gland", an_oblique_volume)[12], corrected)
    before = voxels(a_drawing, "Gland", an_oblique_volume)
    again = jobFor(an_oblique_volume, a_drawing)
    assert again.annotated == (9, 12)
    finishWith(again, a_result)
    assert changed(before, voxels(a_drawing, "Gland", an_oblique_volume)) == {10, 11, 13, 14}
