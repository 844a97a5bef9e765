"""A cohort is read row by row: what is wrong with one case is said, and the others run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantoms import GEOMETRY, SHAPE, cohort_of, ellipsoid_volume, one_case, refusal

from sparseseg_trainer.cohort import Case, load_case, read_cohort, write_cohort
from sparseseg_trainer.labels import Label
from sparseseg_trainer.propagate import propagate
from sparseseg_trainer.sparsify import sparsify
from sparseseg_trainer.volumes import read_label, write_label

IMAGE, LABEL = ellipsoid_volume(0)


def test_three_columns_are_enough_and_the_label_may_be_empty(files):
    cohort = cohort_of(files, "case,image,label\nAnn,image.nrrd,label.nrrd\nBob,image.nrrd,\n")
    ann, bob = cohort.cases
    assert ann.annotated_slices is ann.axis is ann.first_slice is None and not ann.reaches_first
    assert bob.label is None and cohort.failed == []
    assert load_case(ann).annotated == tuple(np.flatnonzero(LABEL.any((1, 2))))


def test_a_spreadsheet_s_byte_order_mark_spaces_and_semicolons_are_understood(files):
    text = 'case; image; label; annotated_slices; notes, mine\r\nAnn; image.nrrd; label.nrrd; "6;7"; good, bad\r\n'
    (files / "cohort.csv").write_text(text, encoding="utf-8-sig")
    assert read_cohort(files).cases[0].annotated_slices == (6, 7)


def test_columns_may_be_written_in_upper_case(files):
    case = cohort_of(files, "CASE,Image,label,Annotated_Slices,AXIS\nAnn,image.nrrd,label.nrrd,6,1\n").cases[0]
    assert case.name == "Ann" and case.annotated_slices == (6,) and case.axis == 1


def test_what_is_written_is_read_again(files):
    cases = [
        Case("Ann", files / "image.nrrd", files / "label.nrrd", (3, 7), 2, 2, 9, "test", False, True),
        Case("Bob b", files / "image.nrrd"),
        Case("Ça va", files / "image.nrrd", files / "label.nrrd", reaches_first=True),
        Case("Eve", files / "image.nrrd", files / "label.nrrd", (7,), other_slices=((0, 12), (1, 30))),
    ]
    labels = [Label(2, "Wand, dünn", (0.5, 0, 1), "SCT^1^x")]
    write_cohort(files / "sub" / "folder", cases, labels)
    cohort = read_cohort(files / "sub" / "folder")
    assert cohort.failed == [] and cohort.labels == labels and cohort.values == (2,)
    for case in cohort.cases:
        case.image = case.image.resolve()
        case.label = case.label and case.label.resolve()
    assert cohort.cases == cases
    assert "../../image.nrrd" in (files / "sub/folder/cohort.csv").read_text("utf-8")


@given(
    numbers=st.sets(st.integers(0, 500)),
    others=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 500))),
    ends=st.tuples(*[st.none() | st.integers(0, 500)] * 2),
    axis=st.sampled_from([None, 0, 1, 2]),
    reaches=st.tuples(st.booleans(), st.booleans()),
)
def test_every_mark_survives_the_file(tmp_path_factory, numbers, others, ends, axis, reaches):
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "image.nrrd").touch()
    marks = (tuple(sorted(numbers)) or None, axis, *ends, "g", *reaches, tuple(sorted(others)))
    write_cohort(folder, [Case("a", folder / "image.nrrd", None, *marks)], [])
    assert read_cohort(folder).cases == [Case("a", folder / "image.nrrd", None, *marks)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "no_cohort"),
        ("", "bad_cohort"),
        ("case,image,label\n", "bad_cohort"),
        ("name,image,label\nAnn,image.nrrd,\n", "bad_cohort"),
        ("case,label\nAnn,label.nrrd\n", "bad_cohort"),
        (b"case,image\n\xff\xfe,\xe4.nrrd\n", "bad_cohort"),
    ],
)
def test_a_cohort_that_cannot_be_read_at_all_is_refused(tmp_path, text, code):
    if text is not None:
        (tmp_path / "cohort.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    error = refusal(read_cohort, tmp_path)
    assert error.code == code and str(tmp_path) in error.message


BAD_ROWS = {
    "Bad,missing.nrrd,label.nrrd,,,,": "missing_file",
    "Bad,image.nrrd,missing.nrrd,,,,": "missing_file",
    "Bad,,label.nrrd,,,,": "missing_file",
    "../Bad,image.nrrd,label.nrrd,,,,": "bad_case_name",
    "Bad/er,image.nrrd,label.nrrd,,,,": "bad_case_name",
    "Bad\\er,image.nrrd,label.nrrd,,,,": "bad_case_name",
    "..,image.nrrd,label.nrrd,,,,": "bad_case_name",
    ",image.nrrd,label.nrrd,,,,": "bad_case_name",
    f"{201 * 'a'},image.nrrd,label.nrrd,,,,": "bad_case_name",
    "Bad,image.nrrd,label.nrrd,seven,,,": "bad_cohort",
    "Bad,image.nrrd,label.nrrd,-1,,,": "bad_cohort",
    "Bad,image.nrrd,label.nrrd,,3,,": "bad_cohort",
    "Bad,image.nrrd,label.nrrd,,,1.5,": "bad_cohort",
    "Bad,image.nrrd,label.nrrd,,,,x": "bad_cohort",
    "Bad,image.nrrd,label.nrrd,6,2,3,10,7": "bad_cohort",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_fails_alone_and_the_other_cases_run(files, row):
    header = "case,image,label,annotated_slices,axis,first_slice,last_slice"
    cohort = cohort_of(files, f"{header}\n{row}\nGood,image.nrrd,label.nrrd,7,2,,\n")
    assert [case.name for case in cohort.cases] == ["Good"]
    assert [failure.code for failure in cohort.failed] == [BAD_ROWS[row]]
    assert row.split(",")[0].replace("\\", "\\\\") in cohort.failed[0].message


@pytest.mark.parametrize("text", ["12", "0:", "3:4", "0:1:2", "0:-1", "0:12,1:30", "i:12"])
def test_other_slices_that_are_not_axis_and_number_are_refused(files, text):
    cohort = cohort_of(files, f'case,image,label,other_slices\nBad,image.nrrd,label.nrrd,"{text}"\n')
    [failure] = cohort.failed
    assert failure.code == "bad_cohort" and f"other_slices is '{text}'" in failure.message
    assert "0:12;1:30" in failure.advice


def test_where_other_slices_are_listed_no_slice_counts_as_annotated_by_itself(files):
    rows = "Ann,image.nrrd,label.nrrd,,1:16; 0:14;1:16\nBob,image.nrrd,label.nrrd,7,0:14\n"
    ann, bob = cohort_of(files, "case,image,label,annotated_slices,other_slices\n" + rows).cases
    assert ann.other_slices == ((0, 14), (1, 16)) and ann.annotated_slices == ()
    assert bob.other_slices == ((0, 14),) and bob.annotated_slices == (7,)


def test_values_on_slices_across_other_axes_make_classes_too(files):
    label = LABEL.copy()
    label[:, :, 14] *= 5
    label[7, 2, 3] = 9  # on no slice that is listed
    write_label(files / "label.nrrd", label, GEOMETRY)
    columns = "case,image,label,annotated_slices,other_slices"
    assert cohort_of(files, f"{columns}\nAnn,image.nrrd,label.nrrd,,0:14\n").values == (5,)
    assert cohort_of(files, f"{columns}\nAnn,image.nrrd,label.nrrd,6,0:14\n").values == (1, 5)


def test_cases_of_one_name_fail_together_upper_and_lower_case_alike(files):
    rows = [f"{name},image.nrrd,label.nrrd" for name in ("Ann", "Bob", "ann")]
    cohort = cohort_of(files, "\n".join(["case,image,label", *rows]))
    assert [case.name for case in cohort.cases] == ["Bob"]
    assert [(failure.case, failure.code) for failure in cohort.failed] == [("Ann", "duplicate_case")]


def test_absolute_paths_are_taken_as_they_are(files, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    cohort = cohort_of(elsewhere, f"case,image,label\nAnn,{files}/image.nrrd,{files}/label.nrrd\n")
    assert load_case(cohort.cases[0]).image.shape == SHAPE


def test_class_indices_count_in_order_of_the_cohort_s_values_and_turn_back(files):
    rows = "Ann,image.nrrd,label.nrrd\nBob,image.nrrd,many.nrrd\nCyd,image.nrrd,\n"
    cohort = cohort_of(files, "case,image,label\n" + rows)
    assert cohort.values == (1, 7, 9)
    volume = load_case(cohort.cases[1])
    assert set(np.unique(volume.label)) == {0, 2, 3}
    many = read_label(files / "many.nrrd", GEOMETRY)
    assert np.array_equal(volume.file_values(volume.label), many)
    assert load_case(one_case(files, label=files / "many.nrrd")).values == (7, 9)


def test_values_on_slices_that_nobody_listed_make_no_class(files):
    label = LABEL.copy()
    label[4] *= 5
    write_label(files / "label.nrrd", label, GEOMETRY)
    cohort = cohort_of(files, "case,image,label,annotated_slices\nAnn,image.nrrd,label.nrrd,7\n")
    assert cohort.values == (1,)


def test_a_label_value_that_labels_json_does_not_list_is_refused(files):
    write_cohort(files, [one_case(files, label=files / "many.nrrd")], [Label(7, "wall", (1, 0, 0))])
    error = refusal(load_case, read_cohort(files).cases[0])
    assert error.code == "unknown_label" and "9" in error.message


def test_names_come_from_the_segmentation_file_where_labels_json_is_missing(files):
    label = Label(1, "Prostate", (0.25, 0.5, 1.0), "Anatomy~SCT^41216001^Prostate")
    write_label(files / "label.seg.nrrd", LABEL, GEOMETRY, [label])
    assert cohort_of(files, "case,image,label\nAnn,image.nrrd,label.seg.nrrd\n").labels == [label]


def test_a_bad_label_does_not_hide_the_labels_of_the_others(files):
    (files / "bad.nrrd").write_text("no image")
    cohort = cohort_of(files, "case,image,label\nA,image.nrrd,bad.nrrd\nB,image.nrrd,label.nrrd\n")
    assert cohort.values == (1,)
    assert refusal(load_case, cohort.cases[0]).code == "not_an_image"


def test_the_tiny_cohort_of_the_tests_is_sparse_and_whole(tiny_cohort):
    cohort = read_cohort(tiny_cohort)
    assert len(cohort.cases) == 3 and cohort.failed == []
    for case in cohort.cases:
        volume = load_case(case)
        assert volume.annotated == (7,) and volume.image.shape == (14, 32, 28)
        assert 60 < np.count_nonzero(volume.label) < 300


@pytest.mark.parametrize("job", [sparsify, propagate])
def test_results_never_replace_a_label_that_they_are_made_from(dense_cohort, job):
    text = (dense_cohort / "cohort.csv").read_text().replace(",images", ",../images").replace(",labels", ",../labels")
    (dense_cohort / "cohort.csv").unlink()
    (dense_cohort / "first try").mkdir()
    (dense_cohort / "first try" / "cohort.csv").write_text(text)
    labels = sorted((dense_cohort / "labels").iterdir())
    before = [path.read_bytes() for path in labels]
    error = refusal(job, dense_cohort / "first try", dense_cohort)
    assert error.code == "same_file" and str(labels[0]) in error.message
    assert [path.read_bytes() for path in labels] == before
