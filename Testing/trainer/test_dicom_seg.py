"""Segmentations as DICOM objects: voxels, grid, names, colors, codes; and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from phantoms import SHAPE, ellipsoid_volume, refusal, write_series

from sparseseg_trainer.dicom import series_files
from sparseseg_trainer.dicom_seg import read_dicom_seg, write_dicom_seg
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.export import export
from sparseseg_trainer.jobs import run_job
from sparseseg_trainer.labels import Label, write_labels
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.terminology import TISSUE, parse_entry
from sparseseg_trainer.volumes import read_geometry, read_image, read_label, read_label_names, write_label

PROSTATE = (
    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^41216001^Prostate"
    "~SCT^24028007^Right~Anatomic codes - DICOM master list~SCT^12921003^Pelvis~SCT^7771000^Left"
)
LABELS = [
    Label(1, "Prostata übergroß 前列腺", (0.9, 0.62, 0.0), PROSTATE),
    Label(7, "wall", (0.0, 0.45, 0.7)),
]
MASK = ellipsoid_volume(0)[1]
ARRAY = MASK.copy()
ARRAY[:6] *= 7


class Listening(Reporter):
    def __init__(self):
        self.warnings = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def series(tmp_path) -> Path:
    """An oblique MR series of 14 slices of 32 x 28 whose files are not in the order of its slices."""
    write_series(tmp_path / "series", ellipsoid_volume(0)[0])
    return tmp_path / "series"


def check_round_trip(series: Path, array: np.ndarray, path: Path) -> None:
    """The label map comes back from the file bit for bit, each frame exactly where its slice is."""
    geometry = read_geometry(series)
    without_codes = write_dicom_seg(path, array, geometry, series, LABELS)
    assert [label.name for label in without_codes] == ["wall"]
    found, grid, labels = read_dicom_seg(path)
    assert np.array_equal(found, np.where(array == 7, 2, array))
    assert geometry.same_grid(grid)
    assert (grid.size, grid.spacing, grid.origin) == (geometry.size, geometry.spacing, geometry.origin)
    assert np.allclose(grid.direction, geometry.direction, rtol=0, atol=1e-8)
    assert [label.name for label in labels] == [label.name for label in LABELS]
    assert labels[0].terminology == PROSTATE
    assert parse_entry(labels[1].terminology) == TISSUE
    for label, original in zip(labels, LABELS, strict=True):
        assert np.allclose(label.color, original.color, atol=1 / 255)
    check_against_headers(series, array, pydicom.dcmread(path))


def check_against_headers(series: Path, array: np.ndarray, written: pydicom.Dataset) -> None:
    """Every frame has its voxels, the very decimals of its slice, and refers to its file."""
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in series_files(series, "")]
    assert written.StudyInstanceUID == headers[0].StudyInstanceUID
    assert written.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert (written.PatientID, written.Modality) == (headers[0].PatientID, "SEG")
    orientation = written.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert orientation == headers[0].ImageOrientationPatient
    assert measures.PixelSpacing == headers[0].PixelSpacing
    slices = {tuple(header.ImagePositionPatient): k for k, header in enumerate(headers)}
    seen = set()
    for frame, pixels in zip(written.PerFrameFunctionalGroupsSequence, written.pixel_array, strict=True):
        k = slices[tuple(frame.PlanePositionSequence[0].ImagePositionPatient)]
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert np.array_equal(pixels > 0, array[k] == LABELS[number - 1].value)
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == headers[k].SOPInstanceUID
        seen.add((number, k))
    assert len(seen) == len(LABELS) * len(headers)


def test_a_segmentation_comes_back_bit_for_bit_on_the_grid_of_an_oblique_series_made_here(series, tmp_path):
    check_round_trip(series, ARRAY, tmp_path / "seg.dcm")


def test_a_segmentation_comes_back_bit_for_bit_on_the_grid_of_the_real_oblique_series(data_dir, tmp_path):
    folder = data_dir / "dicom/ProstateX-0000_T2"
    image = read_image(folder).array
    check_round_trip(folder, np.where(image > 400, 7, image > 200).astype(np.uint8), tmp_path / "seg.dcm")


def test_the_codes_stand_in_the_file_as_dicom_wants_them(series, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", ARRAY, read_geometry(series), series, LABELS, "automatic", "My series")
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    prostate, wall = written.SegmentSequence
    kind, region = prostate.SegmentedPropertyTypeCodeSequence[0], prostate.AnatomicRegionSequence[0]
    codes = (
        prostate.SegmentedPropertyCategoryCodeSequence[0],
        kind,
        kind.SegmentedPropertyTypeModifierCodeSequence[0],
        region,
        region.AnatomicRegionModifierSequence[0],
        wall.SegmentedPropertyTypeCodeSequence[0],
    )
    values = ["123037004", "41216001", "24028007", "12921003", "7771000", "85756007"]
    assert [code.CodeValue for code in codes] == values
    assert {code.CodingSchemeDesignator for code in codes} == {"SCT"}
    assert (written.SeriesDescription, prostate.SegmentAlgorithmType) == ("My series", "AUTOMATIC")
    assert "AnatomicRegionSequence" not in wall


def test_slicer_reads_the_terminology_that_was_read_from_dicom(series, tmp_path):
    slicer = pytest.importorskip("slicer")
    write_dicom_seg(tmp_path / "seg.dcm", ARRAY, read_geometry(series), series, LABELS)
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.DeserializeTerminologyEntry(read_dicom_seg(tmp_path / "seg.dcm")[2][0].terminology, entry)
    assert entry.GetTypeObject().GetCodeValue() == "41216001"
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Right"
    assert entry.GetRegionObject().GetCodeMeaning() == "Pelvis"


def test_a_series_without_the_patients_particulars_still_gets_its_segmentation(series, tmp_path):
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.PatientID, dataset.PatientName
        dataset.save_as(file)
    write_dicom_seg(tmp_path / "seg.dcm", ARRAY, read_geometry(series), series, LABELS)
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientID == ""


def test_the_job_exports_a_segmentation_file_with_its_names_and_says_what_went_as_tissue(series, tmp_path):
    write_label(tmp_path / "label.seg.nrrd", ARRAY, read_geometry(series), LABELS)
    reporter = Listening()
    job = {"kind": "export", "label": "label.seg.nrrd", "series": "series", "out": "out/seg.dcm"}
    summary = run_job(job, tmp_path, reporter)
    assert summary == {"out": str(tmp_path / "out/seg.dcm"), "segments": [label.name for label in LABELS]}
    assert reporter.warnings == ["wall has no terminology: its code is that of Tissue."]
    assert np.array_equal(read_dicom_seg(tmp_path / "out/seg.dcm")[0] > 0, ARRAY > 0)


def test_a_result_of_propagate_gets_names_and_codes_from_the_labels_of_its_cohort(series, tmp_path):
    write_label(tmp_path / "cohort/labels/ann.nrrd", ARRAY, read_geometry(series))
    write_labels(tmp_path / "cohort", LABELS)
    export(tmp_path / "cohort/labels/ann.nrrd", tmp_path / "ann.seg.nrrd")
    assert read_label_names(tmp_path / "ann.seg.nrrd") == LABELS
    export(tmp_path / "cohort/labels/ann.nrrd", tmp_path / "ann.dcm", series)
    assert read_dicom_seg(tmp_path / "ann.dcm")[2][0].terminology == PROSTATE


def test_a_dicom_segmentation_is_converted_to_other_formats_on_the_very_grid_of_its_series(series, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", ARRAY, read_geometry(series), series, LABELS)
    export(tmp_path / "seg.dcm", tmp_path / "whole.seg.nrrd", series)
    assert read_geometry(tmp_path / "whole.seg.nrrd") == read_geometry(series)
    assert read_label_names(tmp_path / "whole.seg.nrrd")[0].terminology == PROSTATE
    export(tmp_path / "seg.dcm", tmp_path / "whole.nii.gz")
    assert np.array_equal(read_label(tmp_path / "whole.nii.gz", read_geometry(series)) > 0, ARRAY > 0)


def test_overlapping_segments_of_another_program_are_refused(series, tmp_path, monkeypatch):
    import highdicom

    write = highdicom.seg.Segmentation
    both = np.stack([MASK, MASK], axis=-1)
    monkeypatch.setattr(highdicom.seg, "Segmentation", lambda **given: write(**given | {"pixel_array": both}))
    write_dicom_seg(tmp_path / "seg.dcm", ARRAY, read_geometry(series), series, LABELS)
    assert refusal(read_dicom_seg, tmp_path / "seg.dcm").code == "overlap"


def test_a_label_on_another_grid_is_refused(series, tmp_path, files):
    image = sitk.ReadImage(str(files / "label.nrrd"))
    assert image.GetSize() == SHAPE[::-1]  # only the place differs
    error = refusal(export, files / "label.nrrd", tmp_path / "seg.dcm", series)
    assert error.code == "other_grid"
    error = refusal(write_dicom_seg, tmp_path / "seg.dcm", ARRAY, read_geometry(files / "label.nrrd"), series, LABELS)
    assert (error.code, (tmp_path / "seg.dcm").exists()) == ("other_grid", False)


def test_what_cannot_become_a_dicom_segmentation_is_refused_and_leaves_no_file(series, tmp_path):
    geometry, out = read_geometry(series), tmp_path / "seg.dcm"
    write_label(tmp_path / "label.nrrd", ARRAY, geometry)

    def code(call, *arguments):
        return refusal(call, *arguments).code

    assert code(export, tmp_path / "label.nrrd", out) == "missing_series"
    assert code(export, tmp_path / "label.nrrd", out, tmp_path / "nowhere") == "missing_file"
    assert code(export, tmp_path / "label.nrrd", tmp_path / "label.nrrd") == "same_file"
    assert code(write_dicom_seg, out, ARRAY * 0, geometry, series, LABELS) == "empty_label"
    assert code(write_dicom_seg, out, ARRAY, geometry, series, LABELS[:1]) == "unknown_label"
    assert code(read_dicom_seg, next(series.iterdir())) == "not_a_segmentation"
    assert code(read_dicom_seg, tmp_path / "label.nrrd") == "not_a_segmentation"
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.FrameOfReferenceUID
        dataset.save_as(file)
    assert code(export, tmp_path / "label.nrrd", out, series) == "no_frame_of_reference"
    assert not out.exists() and not list(tmp_path.glob(".seg*"))


def test_without_highdicom_the_message_says_how_to_install_it(series, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    error = refusal(write_dicom_seg, tmp_path / "seg.dcm", ARRAY, read_geometry(series), series, LABELS)
    assert error.code == "missing_package"
    assert "pip install highdicom" in error.advice


def test_the_settings_of_an_export_are_checked(tmp_path):
    job = {"kind": "export", "label": "a", "out": "b.dcm", "settings": {"algorithm": "magic"}}
    with pytest.raises(InputError, match="semiautomatic"):
        run_job(job, tmp_path, Reporter())
