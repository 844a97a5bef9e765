"""Propagation through the trainer's process: results in two steps, cancel, and errors."""

from __future__ import annotations

import time

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

from scenes import TWO_STEPS, voxels, writeResult  # noqa: E402

from sparseseg_trainer.volumes import write_label  # noqa: E402
from SparseSegLib import Cancelled, InputError  # noqa: E402
from SparseSegLib.propagation import PropagationJob, propagate  # noqa: E402

NAMES = ("Gland", "Lesion")


def test_the_instant_result_is_shown_first_and_one_undo_still_takes_all_back(
    an_oblique_volume, a_drawing, a_result, a_trainer_that
):
    a_trainer_that(TWO_STEPS)
    drawn = voxels(a_drawing, "Gland", an_oblique_volume)
    job = PropagationJob(an_oblique_volume, a_drawing, segmentIds=NAMES)
    instant = np.where(np.arange(19)[:, None, None] < 12, a_result, 0).astype(np.uint8)
    write_label(job.client.folder / "instant.nrrd", instant, job.geometry)
    writeResult(job, "T2", a_result)

    job.start()
    waitFor(lambda: job.update())
    assert np.array_equal(voxels(a_drawing, "Gland", an_oblique_volume), instant == 1)
    (job.client.folder / "go").touch()
    waitFor(job.isFinished)
    job.finish()
    assert np.array_equal(voxels(a_drawing, "Gland", an_oblique_volume), a_result == 1)
    job.editorLogic.Undo()
    assert np.array_equal(voxels(a_drawing, "Gland", an_oblique_volume), drawn)


def test_after_an_error_of_the_program_itself_the_logs_stay_but_no_image(an_oblique_volume, a_drawing, a_trainer_that):
    a_trainer_that("raise SystemExit('out of luck')")
    job = PropagationJob(an_oblique_volume, a_drawing, segmentIds=NAMES)
    job.start()
    with pytest.raises(InputError, match="out of luck") as error:
        job.wait()
    assert str(job.client.folder / "stderr.txt") in error.value.advice
    assert (job.client.folder / "stderr.txt").is_file()
    assert not (job.client.folder / "cohort").exists()


def waitFor(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_cancelled_propagation_leaves_the_drawing_and_no_files(an_oblique_volume, a_drawing):
    job = PropagationJob(an_oblique_volume, a_drawing, segmentIds=NAMES)
    job.start()
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert voxels(a_drawing, "Gland", an_oblique_volume).sum() == 80 * 100
    assert not job.client.folder.exists()


def test_what_the_trainer_refuses_reaches_the_user_and_leaves_the_segments_alone(an_oblique_volume, a_drawing):
    with pytest.raises(Exception, match="quality"):
        propagate(an_oblique_volume, a_drawing, segmentIds=NAMES, settings={"quality": "perfect"})
    assert voxels(a_drawing, "Gland", an_oblique_volume).sum() == 80 * 100
