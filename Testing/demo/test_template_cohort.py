"""The demo's images are a cohort like any other, the same in every run."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("nilearn")

from template_cohort import write_template_cohort

from sparseseg_trainer.cohort import load_case, read_cohort
from sparseseg_trainer.volumes import read_image


def test_the_demo_cohort_has_a_brain_on_its_central_slices_and_repeats_with_the_seed(tmp_path):
    for name in ("once", "again"):
        write_template_cohort(tmp_path / name, ["a", "b"], seed=3)
    cohort, again = read_cohort(tmp_path / "once"), read_cohort(tmp_path / "again")
    assert [label.name for label in cohort.labels] == ["Brain"]
    volumes = [load_case(case) for case in cohort.cases]
    for volume, case in zip(volumes, again.cases, strict=True):
        assert volume.label[len(volume.label) // 2].sum() > 500
        assert np.array_equal(load_case(case).image, volume.image)
    assert not np.array_equal(volumes[0].image, volumes[1].image)


def test_the_demo_brains_lie_where_nilearn_says(tmp_path):
    """The origin of MNI space, the anterior commissure, is inside the brain."""
    write_template_cohort(tmp_path, ["a"], seed=0)
    image = read_image(tmp_path / "images" / "a.nrrd")
    center = np.linalg.solve(image.geometry.voxel_to_world(), -np.array(image.geometry.origin))
    i, j, k = np.round(center).astype(int)
    assert image.array[k, j, i] > 200
