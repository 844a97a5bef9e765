"""Networks that see volumes: the patches they learn from, sliding windows, and which cohorts they take."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from phantoms import refusal
from torch import nn

from sparseseg_trainer.cohort import read_cohort, write_cohort
from sparseseg_trainer.network_shape import NetworkShape
from sparseseg_trainer.prediction import volume_probabilities
from sparseseg_trainer.reporting import Reporter
from sparseseg_trainer.segmentation_network import build_network
from sparseseg_trainer.settings import from_dict
from sparseseg_trainer.training.augmentation import Augmentation
from sparseseg_trainer.training.data import prepare
from sparseseg_trainer.training.estimate import estimate
from sparseseg_trainer.training.loop import Run
from sparseseg_trainer.training.resolving import resolve
from sparseseg_trainer.training.settings import TrainSettings, Volumetric
from sparseseg_trainer.training.train import train
from sparseseg_trainer.training.volumetric import draw_patches, known_voxels, predicted_slices, run_shape


def run_on(cohort, folder, patch=(8, 16, 16), **settings) -> Run:
    settings = {"method": "ua_mt", "dimensions": 3, "preset": "paper", "augmentation": Augmentation()} | settings
    resolved = resolve(TrainSettings(**settings, volumetric=Volumetric(patch=patch, quarter_turns=True)))
    data = prepare(read_cohort(cohort), folder / "cache", 0, Reporter(), need_label=False)
    return Run(data, resolved, torch.device("cpu"), folder, Reporter(), [])


def partly_labelled(dense_cohort, folder):
    """The cohort with one of its cases without a label."""
    source = read_cohort(dense_cohort)
    write_cohort(folder, [*source.cases[:2], replace(source.cases[2], label=None)], source.labels)
    return folder


def test_labels_of_a_patch_fit_its_image_however_it_is_turned(dense_cohort, tmp_path):
    run = run_on(dense_cohort, tmp_path, patch=(8, 16, 24), augmentation=Augmentation(flip=True))
    run.data.labels = (run.data.images > 90).to(torch.uint8)
    images, labels, known = draw_patches(run, run.data.cases, 12, torch.Generator().manual_seed(0))
    assert images.shape == (12, 1, 8, 16, 24) and known.all()
    assert torch.equal(labels, (images[:, 0] * 255 > 90.5).to(torch.uint8))
    assert 0.05 < labels.float().mean() < 0.95


def test_patches_come_from_all_over_a_volume_and_every_case_comes_once_before_any_comes_again(dense_cohort, tmp_path):
    run = run_on(dense_cohort, tmp_path, patch=(8, 8, 8))
    run.settings = replace(run.settings, volumetric=Volumetric(patch=(8, 8, 8), quarter_turns=False))
    numbers = torch.arange(14).repeat(3) + torch.arange(3).repeat_interleave(14) * 50
    run.data.images = numbers.to(torch.uint8)[:, None, None].expand(run.data.images.shape)
    images, _, _ = draw_patches(run, run.data.cases, 60, torch.Generator().manual_seed(0))
    first = (images[:, 0, 0, 0, 0] * 255).round().int()
    assert sorted({value % 50 for value in first.tolist()}) == list(range(7))  # 14 slices, 8 of them seen
    assert all(sorted(value // 50 for value in first[n : n + 3].tolist()) == [0, 1, 2] for n in range(0, 60, 3))


def test_of_a_sparse_label_only_drawn_and_absent_slices_are_known(tiny_cohort, tmp_path):
    run = run_on(tiny_cohort, tmp_path, patch=(24, 32, 32))
    case = run.data.cases[0]
    assert torch.nonzero(known_voxels(run.data, case).all(2).all(1))[:, 0].tolist() == [0, 7, 13]
    _, labels, known = draw_patches(run, [case], 1, torch.Generator().manual_seed(0))
    # 16 slices for 14: one of padding before and after; 32 x 28 pixels, turned or not
    assert labels.shape == (1, 16, 32, 32) and known.any((2, 3))[0].nonzero()[:, 0].tolist() == [1, 8, 14]
    assert known.sum() == 3 * 32 * 28 and labels[0, 8].any() and not labels[0, 9].any()


def test_whole_labels_from_elsewhere_can_be_learned_from(tiny_cohort, tmp_path):
    run = run_on(tiny_cohort, tmp_path)
    whole = torch.ones_like(run.data.labels)
    _, labels, known = draw_patches(run, run.data.cases, 2, torch.Generator().manual_seed(0), whole)
    assert labels.all() and known.all()


def test_a_patch_is_no_larger_than_the_largest_volume_needs(dense_cohort, tmp_path):
    assert run_shape(run_on(dense_cohort, tmp_path, patch=(80, 112, 112))).patch == (16, 32, 32)
    assert run_shape(run_on(dense_cohort, tmp_path, patch=(8, 16, 112))).patch == (8, 16, 32)


def test_a_network_halves_each_side_while_two_voxels_are_left():
    def strides(*patch):
        return NetworkShape(0, 1, 4, 1, 1, "vnet", patch).strides()

    assert strides(80, 112, 112) == [(2, 2, 2)] * 4
    assert strides(8, 64, 64) == [(2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2)]
    assert strides(8, 8, 8) == [(2, 2, 2)] * 2


@pytest.mark.parametrize("patch", [(8, 16, 16), (16, 8, 40)])
def test_a_v_net_answers_for_every_voxel_of_a_patch(patch):
    network = build_network(NetworkShape(0, 2, 4, 1, 1, "vnet", patch))
    assert network(torch.rand(2, 1, *patch)).shape == (2, 3, *patch)


def test_a_model_of_slices_from_before_there_were_others_is_still_read():
    old = {"context": 1, "classes": 2, "width": 4, "depth": 2, "stride": 2}
    shape = from_dict(NetworkShape, old)
    shape.check()
    assert (shape.architecture, shape.patch, shape.volumetric) == ("slices", None, False)


@pytest.mark.parametrize(
    "wrong", [("vnet", None), ("slices", (16, 16, 16)), ("vnet", (16, 12, 16)), ("vnet", (0, 8, 8))]
)
def test_an_impossible_network_of_volumes_is_refused(wrong):
    assert refusal(NetworkShape(0, 1, 4, 1, 1, *wrong).check).code == "bad_setting"


class Voxelwise(nn.Module):
    """Logits that depend on the voxel alone, and the sizes of what was looked at."""

    def __init__(self):
        super().__init__()
        self.factor, self.seen = nn.Parameter(torch.tensor(3.0)), []

    def forward(self, images):
        self.seen.append(images.shape[2:])
        return torch.cat([torch.zeros_like(images), self.factor * (images - 0.5)], 1)


@pytest.mark.parametrize("size", [(20, 30, 40), (5, 40, 9)])
def test_sliding_windows_of_the_patchs_size_cover_a_volume_of_any_size(size):
    network, volume, steps = Voxelwise(), torch.rand(1, 1, *size), []
    found = volume_probabilities(network, volume, (8, 16, 16), True, lambda: steps.append(1))
    assert torch.allclose(found, network(volume).softmax(1), atol=1e-5)
    assert set(network.seen[:-1]) == {(8, 16, 16)} and steps


def test_slices_are_predicted_from_their_whole_volumes(dense_cohort, tmp_path):
    run, network = run_on(dense_cohort, tmp_path), Voxelwise()
    numbers = torch.tensor([3, 17, 30])
    assert torch.equal(predicted_slices(run, network, numbers), (run.data.images[numbers] > 127).to(torch.uint8))


def test_a_case_without_a_label_is_learned_from_by_methods_for_it_and_else_left_out(dense_cohort, tmp_path):
    cohort = partly_labelled(dense_cohort, tmp_path / "some")
    data = prepare(read_cohort(cohort), tmp_path / "with", 0, Reporter(), need_label=False)
    assert [(case.labelled, case.dense) for case in data.cases] == [(True, True)] * 2 + [(False, False)]
    assert not data.labels[data.cases[2].start :].any() and not data.failed
    data = prepare(read_cohort(cohort), tmp_path / "with", 0, Reporter())
    assert [case.name for case in data.cases] == ["case0", "case1"]
    assert [failure.code for failure in data.failed] == ["no_label"]


def test_a_method_for_whole_volumes_refuses_listed_slices_and_cohorts_in_which_every_case_has_a_label(
    tiny_cohort, dense_cohort, tmp_path
):
    settings = TrainSettings(method="hybrid_crop", preset="fast", device="cpu")
    error = refusal(train, tiny_cohort, tmp_path / "model", settings)
    assert error.code == "sparse_cohort" and "hybrid_crop" in error.message
    error = refusal(train, dense_cohort, tmp_path / "model", settings)
    assert error.code == "nothing_unlabelled" and "volumes" in error.message


def test_only_methods_that_can_see_volumes_and_slices_leave_the_choice():
    assert resolve(TrainSettings(method="ua_mt")).dimensions == 2
    assert resolve(TrainSettings(method="ua_mt", dimensions=3)).dimensions == 3
    assert resolve(TrainSettings(method="hybrid_crop")).dimensions == 3
    assert refusal(resolve, TrainSettings(method="ict", dimensions=3)).code == "bad_setting"
    assert refusal(resolve, TrainSettings(method="hybrid_crop", dimensions=2)).code == "bad_setting"


def test_an_estimate_counts_the_second_student_and_the_cases_without_a_label(dense_cohort, tmp_path):
    cohort = partly_labelled(dense_cohort, tmp_path / "some")
    small = {"preset": "fast", "device": "cpu", "width": 4, "volumetric": {"patch": [16, 16, 16]}}
    methods = (("ua_mt", 10), ("hybrid_crop", 10), ("hybrid_crop", 1000))
    more = [small | {"method": method, "dimensions": 3, "baseline_epochs": epochs} for method, epochs in methods]
    found = [estimate(cohort, from_dict(TrainSettings, settings)) for settings in more]
    assert all(summary["cases"] == 3 and not summary["failed"] for summary in found)
    assert found[0]["memory_bytes"] < found[1]["memory_bytes"] == found[2]["memory_bytes"]
    assert found[2]["seconds"] > 10 * found[1]["seconds"] > 0
