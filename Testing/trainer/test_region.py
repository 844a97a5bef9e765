"""Which part of the slices the networks see: where structures were drawn, if that is a small part of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms import GEOMETRY, Warnings, bordered_cohort, ellipsoid_volume

from sparseseg_trainer.cohort import Case, load_case, read_cohort, write_cohort
from sparseseg_trainer.cohort_grid import uncropped
from sparseseg_trainer.labels import Label
from sparseseg_trainer.model_info import ModelInfo, read_info
from sparseseg_trainer.models import Model
from sparseseg_trainer.network_shape import NetworkShape, Orthogonal, Overview
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segment import SegmentSettings, predict_volume, segment, segment_volume
from sparseseg_trainer.segmentation_network import build_network
from sparseseg_trainer.training import region
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.measuring import measure
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_image, write_image, write_label

LARGER = replace(GEOMETRY, size=(69, 51, 14))
BORDER = 40  # pixels of noise around phantoms of 32 x 28


def grid_of(folder, pixels=0, seen="drawn"):
    return measure(read_cohort(folder), pixels, "spacing", seen, [], Reporter())[1]


def test_a_small_structure_keeps_its_resolution(tmp_path):
    folder = bordered_cohort(tmp_path, (1.0,) * 3, (BORDER,))
    part, whole = grid_of(folder, 4000), grid_of(folder, 4000, "whole")
    assert part.partial and not whole.partial
    assert part.spacing == pytest.approx((0.9, 0.9)) and whole.spacing[0] > 1.4
    assert part.shape[0] < 32 + 2 * BORDER and part.shape[1] < 28 + 2 * BORDER


def test_where_structures_take_most_of_a_slice_all_of_it_is_seen(tmp_path):
    assert grid_of(bordered_cohort(tmp_path, (1.0,) * 3)) == grid_of(tmp_path / "sparse", seen="whole")


def test_of_drawings_across_another_axis_nothing_is_concluded(tmp_path):
    cohort = read_cohort(bordered_cohort(tmp_path, (1.0,) * 3, (BORDER,)))
    cohort.cases[0].other_slices = ((0, 50),)
    assert not measure(cohort, 0, "spacing", "drawn", [], Reporter())[1].partial


def test_the_longer_the_volume_the_farther_aside_the_structure_may_lie_unless_its_ends_are_marked(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(region, "MOVED", 0.0)  # of these wide slices it is more
    folder, reporter = bordered_cohort(tmp_path, (1.0,) * 3, (BORDER,)), Reporter()
    measured = measure(read_cohort(folder), 0, "spacing", "drawn", [], reporter)[0]
    near = [replace(case, case=replace(case.case, first_slice=6, last_slice=8)) for case in measured]
    wide, narrow = (region.drawn_region(cases, None, reporter) for cases in (measured, near))
    assert wide[0] > narrow[0] and wide[1] > narrow[1]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.integers(0, 150)] * 2, *[st.integers(1, 50)] * 4), min_size=1, max_size=5))
def test_all_that_is_drawn_lies_in_the_part_that_is_seen(tmp_path, boxes):
    cases = []
    for number, (row, column, rows, columns, *beside) in enumerate(boxes):  # slices of several sizes
        label = np.zeros((3, row + rows + 3 * beside[0], column + columns + 3 * beside[1]), np.uint8)
        label[1, row : row + rows, column : column + columns] = 1
        case = Case(f"case{number}", tmp_path / f"i{number}.nrrd", tmp_path / f"l{number}.nrrd", (1,))
        geometry = replace(GEOMETRY, size=tuple(reversed(label.shape)))
        write_image(case.image, label.astype(np.int16), geometry)
        write_label(case.label, label, geometry)
        cases.append(case)
    write_cohort(tmp_path / "cohort", cases, [Label(1, "structure", (0.9, 0.6, 0.0))])
    data = prepare(read_cohort(tmp_path / "cohort"), tmp_path / "data", 0, Reporter(), region="drawn")
    for case, number, box in zip(data.cases, data.drawn, boxes, strict=True):
        fits = all(own <= side for own, side in zip(case.size, data.grid.shape, strict=True))
        if data.grid.partial or fits:  # larger slices lose their border where whole ones are seen
            assert int((data.labels[number] > 0).sum()) == box[2] * box[3]


def test_along_an_axis_that_structures_fill_longer_volumes_are_seen_whole(tmp_path):
    cases = []
    for number, columns in enumerate((60, 60, 100, 160)):  # the last one is new
        label = np.zeros((5, 96, columns), np.uint8)
        label[1:4, 44:52] = 1
        image = 900 * label.astype(np.int16) + np.random.default_rng(number).integers(0, 99, label.shape, np.int16)
        case = Case(f"case{number}", tmp_path / f"i{number}.nrrd", tmp_path / f"l{number}.nrrd", (2,))
        geometry = replace(GEOMETRY, size=tuple(reversed(label.shape)))
        write_image(case.image, image, geometry)
        write_label(case.label, label, geometry)
        cases.append(case)
    write_cohort(tmp_path / "cohort", cases[:3], [Label(1, "structure", (0.9, 0.6, 0.0))])
    how = TrainSettings("central_only", "fast", width=4, baseline_epochs=1, steps=1, orthogonal_epochs=0)
    train(tmp_path / "cohort", tmp_path / "model", how)
    rows, columns = read_info(tmp_path / "model").region
    assert rows < 96 and columns is None
    assert "mm x all (rows x columns)" in (tmp_path / "model/README.md").read_text()
    segment([cases[3].image], tmp_path / "model", tmp_path / "out", SegmentSettings(probabilities=True))
    seen = read_image(tmp_path / "out/probabilities/i3_1.nrrd").array > 0
    assert seen.any((0, 1)).all() and not seen.any((0, 2)).all()


def test_a_model_finds_the_structure_where_it_has_learned_to_look_and_nothing_beyond(tmp_path):
    folder = bordered_cohort(tmp_path, (1.0,) * 3, (BORDER,))
    how = TrainSettings("central_only", "fast", width=8, baseline_epochs=15, steps=20, orthogonal_epochs=0)
    train(folder, tmp_path / "model", how)
    info, content = read_info(tmp_path / "model"), json.loads((tmp_path / "model/model.json").read_text())
    assert content["schema"] == 3 and info.region == grid_of(folder, 14000).shape
    card = (tmp_path / "model/README.md").read_text()
    assert f"It looks only at {info.region[0] * 0.9:.0f} mm x {info.region[1] * 0.9:.0f} mm (rows" in card
    image, label = (np.pad(array, ((0, 0), (BORDER,) * 2, (BORDER,) * 2)) for array in ellipsoid_volume(5))
    twice = np.maximum(image, np.roll(image, (BORDER, BORDER), (1, 2)))  # another in the corner
    twice[twice == 0] = np.random.default_rng(0).integers(250, 350, (twice == 0).sum())
    write_image(tmp_path / "new.nrrd", twice, replace(GEOMETRY, size=tuple(reversed(image.shape))))
    settings = SegmentSettings(probabilities=True, largest_component=False)
    segment([tmp_path / "new.nrrd"], tmp_path / "model", tmp_path / "out", settings)
    found = read_image(tmp_path / "out/labels/new.nrrd").array > 0
    seen = (slice(None), *uncropped(image.shape[1:], info.region))
    assert 2 * (found & (label > 0)).sum() > 0.7 * (found[seen].sum() + label.sum())
    for array in (found, read_image(tmp_path / "out/probabilities/new_1.nrrd").array):
        array[seen] = 0
        assert not array.any()


def test_networks_answer_to_a_part_of_a_slice_as_if_there_were_no_more_and_who_may_miss_something_is_told(tmp_path):
    image, _ = ellipsoid_volume(0)
    write_image(tmp_path / "volume.nrrd", np.pad(image, ((0, 0), (9, 10), (20, 21))), LARGER)
    whole = load_case(Case("volume", tmp_path / "volume.nrrd"), need_label=False)
    part = replace(whole, image=whole.image[:, 9:41, 20:48])
    views = {"overview": Overview(4, 16, (32, 32), 1.0), "orthogonal": Orthogonal(0.9)}
    shape = NetworkShape(0, 1, 4, 2, 1, **views)
    info = ModelInfo(shape, (Label(1, "structure", (0.9, 0.6, 0.0)),), (0.9, 0.9))
    torch.manual_seed(0)
    network, how = build_network(shape).eval(), SegmentSettings(flips=False, smoothing=1.0)
    of_part, of_whole = Model(network, replace(info, region=(32, 28))), Model(network, info)
    answer = predict_volume(whole, of_part, how, Reporter())
    assert np.allclose(answer[:, :, 9:41, 20:48], predict_volume(part, of_whole, how, Reporter()))
    told, not_told = Warnings(), Warnings()
    segment_volume(whole, of_part, how, tmp_path, told)
    segment_volume(part, of_whole, how, tmp_path, not_told)
    [message] = told.messages  # the network, which has learned nothing, finds something everywhere
    assert message.startswith("Case volume: what was found reaches the edge") and not not_told.messages
    answer[:, :, 9:41, 20:48] = 0
    assert not answer.any()


def test_who_keeps_a_case_aside_that_is_drawn_beyond_the_part_that_is_seen_is_told(tmp_path):
    grid = grid_of(bordered_cohort(tmp_path, (1.0,) * 3, (BORDER,)))
    image, label = (np.pad(array, ((0, 0), (2 * BORDER, 0), (2 * BORDER, 0))) for array in ellipsoid_volume(0))
    geometry = replace(GEOMETRY, size=tuple(reversed(image.shape)))
    case = Case("corner", tmp_path / "image.nrrd", tmp_path / "label.nrrd", (7,))
    write_image(case.image, image, geometry)
    write_label(case.label, label, geometry)
    write_cohort(tmp_path / "aside", [case], [Label(1, "structure", (0.9, 0.6, 0.0))])
    told = Warnings()
    prepare(read_cohort(tmp_path / "aside"), tmp_path / "data", 0, told, grid)
    [message] = told.messages
    assert message.startswith("Case corner: ") and "of what is drawn lies beyond the part" in message
    assert message.endswith("Train with region=whole.")
