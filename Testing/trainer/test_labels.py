"""Labels keep their names, and a damaged labels.json is refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseseg_trainer.errors import InputError
from sparseseg_trainer.labels import Label, read_labels, write_labels

COLORS = st.tuples(*[st.floats(0, 1)] * 3)
LABELS = st.lists(
    st.builds(Label, st.integers(1, 65535), st.text(), COLORS, st.text()), unique_by=lambda label: label.value
)


@given(labels=LABELS)
def test_labels_come_back_in_order_of_value(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("labels")
    write_labels(folder, labels)
    assert read_labels(folder) == sorted(labels, key=lambda label: label.value)


def test_values_without_labels_json_get_names_and_different_colors(tmp_path):
    labels = read_labels(tmp_path, {4, 2})
    assert [(label.value, label.name) for label in labels] == [(2, "Label 2"), (4, "Label 4")]
    assert labels[0].color != labels[1].color


def test_a_label_written_by_hand_needs_a_value_only(tmp_path):
    (tmp_path / "labels.json").write_text('{"labels": [{"value": 3}]}', encoding="utf-8-sig")
    assert [(label.value, label.name) for label in read_labels(tmp_path)] == [(3, "Label 3")]


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[]",
        '{"labels": 3}',
        '{"labels": [{"name": "no value"}]}',
        '{"labels": [{"value": 0}]}',
        '{"labels": [{"value": 1.5}]}',
        '{"labels": [{"value": true}]}',
        '{"labels": [{"value": 1}, {"value": 1}]}',
        '{"labels": [{"value": 1, "color": [2, 0, 0]}]}',
        '{"labels": [{"value": 1, "color": "red"}]}',
        '{"labels": ["atrium"]}',
    ],
)
def test_a_damaged_labels_json_is_refused_with_an_example(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(InputError) as caught:
        read_labels(tmp_path)
    assert caught.value.code == "bad_labels" and '"value": 1' in caught.value.advice


def test_labels_json_says_its_schema_version(tmp_path):
    write_labels(tmp_path, [Label(1, "Vorhof links", (1, 0, 0))])
    assert json.loads((tmp_path / "labels.json").read_text("utf-8"))["schema"] == 1
