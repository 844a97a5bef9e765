"""Every method of training, propagation and segmentation on a GPU; skipped on computers without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms import TINY_VIEWS
from test_methods import METHODS, cohort_for, cohorts, settings_of  # noqa: F401 (cohorts is a fixture)

from sparseseg_trainer.cohort import read_cohort
from sparseseg_trainer.propagate import PropagateSettings, propagate_case
from sparseseg_trainer.segment import SegmentSettings, segment
from sparseseg_trainer.settings import from_dict
from sparseseg_trainer.sparse_volume import load_case
from sparseseg_trainer.training.settings import TrainSettings
from sparseseg_trainer.training.train import train
from sparseseg_trainer.volumes import read_geometry, read_label

if not torch.cuda.is_available():
    pytest.skip("PyTorch finds no GPU on this computer", allow_module_level=True)


@pytest.mark.parametrize("method", [*METHODS, "several views"])
def test_a_model_trained_on_the_gpu_segments_alike_on_the_gpu_and_on_the_cpu(cohorts, tmp_path, method):  # noqa: F811
    settings, method = (TINY_VIEWS, "collaborative") if method == "several views" else (settings_of(method), method)
    settings = from_dict(TrainSettings, settings | {"device": "cuda"})
    train(cohort_for(method, cohorts), tmp_path / "model", settings)
    for device in ("cuda", "cpu"):
        segment(cohorts / "one", tmp_path / "model", tmp_path / device, SegmentSettings(device))
    geometry = read_geometry(cohorts / "images/0.nrrd")
    gpu, cpu = (read_label(tmp_path / device / "labels/case0.nrrd", geometry) for device in ("cuda", "cpu"))
    assert (
        np.mean(gpu == cpu) > 0.95
    )  # 16 bits on the GPU, and after a few steps most of the network's answers are close


@pytest.mark.parametrize("quality", ["instant", "refined"])
def test_propagation_on_the_gpu_keeps_the_drawn_slice_and_comes_near_that_of_the_cpu(cohorts, quality):  # noqa: F811
    volume = load_case(read_cohort(cohorts / "sparse").cases[0])
    gpu, cpu = (propagate_case(volume, PropagateSettings(quality, device=name)).label for name in ("cuda", "cpu"))
    drawn = list(volume.annotated)
    assert np.array_equal(gpu[drawn], volume.label[drawn])
    assert np.mean(gpu == cpu) > 0.98
