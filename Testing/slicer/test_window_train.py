"""Step 5 in the window: estimated, trained by the real trainer, killed, cancelled and resumed, and told in the end."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from windows import TINY, answering, click, finish, panelOf, reopened, waitFor, writeCohort  # noqa: E402

from sparseseg_trainer.errors import InputError  # noqa: E402
from sparseseg_trainer.model_info import read_info  # noqa: E402


@pytest.fixture
def panel(a_window):
    panel = panelOf(a_window, "TrainPanel")
    panel.moreSettings = TINY | {"preset": "fast"}
    return panel


@pytest.fixture
def a_cohort(a_window, panel, tmp_path):
    """Three cases, the central slice drawn."""
    writeCohort(tmp_path / "cohort")
    a_window.update()
    return tmp_path / "cohort"


def test_without_a_drawing_in_the_cohort_nothing_can_be_trained(a_window, panel):
    a_window.update()
    assert "step 4" in panel.ui.instruction.text and not panel.ui.trainButton.isEnabled()
    assert panel.ui.trainButton.toolTip == panel.ui.instruction.text


def test_a_name_that_is_taken_and_a_method_that_does_not_fit_are_told_before_the_start(a_window, panel, a_cohort):
    assert panel.ui.nameEdit.text == "cohort" and panel.ui.trainButton.enabled
    (panel.folder / "atrium").mkdir(parents=True)
    panel.ui.nameEdit.text = "atrium"
    assert "choose another name" in panel.ui.trainButton.toolTip and not panel.ui.trainButton.enabled
    panel.ui.nameEdit.text = "../atrium"
    assert "can be a file name" in panel.ui.trainButton.toolTip
    panel.ui.nameEdit.text = "ventricle"
    panel.ui.methodBox.currentIndex = panel.ui.methodBox.findData("full")
    assert "case0 is not drawn on all slices" in panel.ui.trainButton.toolTip


def test_the_name_that_is_proposed_is_free_whatever_the_folder_of_the_cohort_is_called(a_window, panel, tmp_path):
    writeCohort(tmp_path / "hearts [2024]")
    (panel.folder / "hearts [2024]").mkdir(parents=True)
    a_window.settings.cohortFolder = str(tmp_path / "hearts [2024]")
    a_window.update()
    assert panel.ui.nameEdit.text == "hearts [2024] 2" and panel.ui.trainButton.enabled


def test_time_and_memory_are_estimated_before_the_start(a_window, panel, a_cohort):
    click(panel.ui.estimateButton)
    assert finish(a_window) == "Done."
    assert (
        panel.ui.estimateLabel.text.startswith("About ")
        and "GB of memory on the processor" in panel.ui.estimateLabel.text
    )
    panel.ui.presetBox.currentIndex = 2
    assert panel.ui.estimateLabel.text == ""


def test_a_cancelled_training_is_resumed_after_a_restart_and_tells_what_it_has_reached(
    a_window, panel, a_cohort, monkeypatch
):
    panel.ui.asideBox.value = 1
    panel.moreSettings |= {"epochs": 30}  # long enough that it does not end before it hears of the cancel
    click(panel.ui.trainButton)
    assert "Slicer can be used meanwhile" in panel.ui.instruction.text
    waitFor(lambda: panel.plot.points("semi/dice"))
    click(a_window.jobRunner.ui.cancelButton)
    assert finish(a_window) == "Cancelled."
    model = panel.folder / "cohort"
    assert list((model / "checkpoint").glob("*.safetensors")) and not (model / "model.json").exists()
    assert panel.ui.unfinishedBox.currentText == "cohort"

    a_window.cleanup()
    again = reopened(a_cohort.parent)
    other = panelOf(again, "TrainPanel")
    assert "was interrupted" in other.ui.instruction.text
    click(other.ui.resumeButton)
    assert finish(again) == "Done."
    info = read_info(model)
    [aside] = info.figures["validation"]
    assert info.training["settings"]["validation"] == 1
    result = other.ui.resultLabel.text
    assert f"slices of cases kept aside: {info.figures['validation_dice']:.2f} ({aside} " in result
    assert not other.ui.unfinishedWidget.visible and not (model / "job").exists()

    # the curves begin with the epochs before the restart: loss and Dice of each of the three networks, then the loss of
    # the two of cuts
    assert [epoch for epoch, _ in other.plot.points("semi/loss")] == [1, 2, 3]
    assert other.plot.chartNode.GetNumberOfPlotSeriesNodes() == 3 * 2 + 2
    table = other.plot.chartNode.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
    assert table.GetNumberOfRows() == 3

    opened = []
    monkeypatch.setattr("SparseSegLib.panels.trainPanel.openPath", opened.append)
    click(other.ui.pictureButton)
    click(other.ui.filesButton)
    assert [path.name for path in opened] == ["check.png", "cohort"] and opened[0].is_file()
    assert panelOf(again, "SegmentPanel").ui.modelBox.currentText == "cohort"
    again.cleanup()


REFUSES = """
import json
print(json.dumps({"event": "error", "code": "no_case", "message": "No case can be used.", "advice": "Look at them."}))
"""


def test_each_of_several_first_networks_has_its_name_with_a_number(a_window):
    from SparseSegLib.jobRunner import stageName
    from SparseSegLib.trainingPlot import seriesName

    assert (stageName("semi"), stageName("semi 3")) == ("Training the first network", "Training the first network (3)")
    assert seriesName("semi 2/loss") == "Loss, first network (2)" and seriesName("semi/dice") == "Dice, first network"
    assert stageName("pseudo labels") == "Labeling all slices"
    assert stageName("first labels") == "Labeling all slices for the first time"


@pytest.mark.parametrize("stage", ["semi", "registration", "target", "rows", "columns", "overview"])
def test_every_network_that_is_trained_has_a_name_in_the_window_and_in_the_plot(stage, a_window):
    from SparseSegLib.jobRunner import stageName
    from SparseSegLib.trainingPlot import seriesName

    assert stageName(stage).startswith("Training the ")
    assert seriesName(f"{stage}/loss").startswith("Loss, ")


def test_a_training_that_is_refused_leaves_nothing_and_may_be_started_again(a_window, panel, a_cohort, a_trainer_that):
    a_trainer_that(REFUSES)
    click(panel.ui.trainButton)
    assert finish(a_window) == "No case can be used. Look at them."
    assert not (panel.folder / "cohort").exists()
    assert panel.ui.trainButton.enabled and not panel.ui.unfinishedWidget.visible


@pytest.mark.parametrize("code", ["other_training", "bad_setting"])
def test_a_training_that_was_not_resumed_with_other_settings_still_has_its_own(tmp_path, a_trainer_that, code):
    from SparseSegLib.training import TrainingJob, begun

    model, cohort = tmp_path / "model", tmp_path / "cohort"
    TrainingJob(cohort, model, {"preset": "fast"})
    (model / "checkpoint").mkdir()
    (model / "checkpoint/semi.safetensors").touch()
    a_trainer_that(REFUSES.replace("no_case", code))
    job = TrainingJob(cohort, model, {"preset": "paper"}, resume=True)
    job.start()
    with pytest.raises(InputError):
        job.wait()
    assert begun(model) == (cohort, {"preset": "fast"})


def test_a_closed_scene_leaves_the_training_running_and_the_curves_come_back(a_window, panel):
    for epoch in (1, 2):
        panel.onEvent({"event": "metric", "series": "target/loss", "step": epoch, "value": 1 / epoch})
    slicer.mrmlScene.Clear(False)
    panel.onEvent({"event": "metric", "series": "target/loss", "step": 3, "value": 0.2})
    table = panel.plot.chartNode.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
    assert [table.GetValue(row, 1).ToDouble() for row in range(3)] == pytest.approx([1, 0.5, 0.2])


def test_an_unfinished_training_is_discarded_after_a_question(a_window, panel, a_cohort, monkeypatch):
    from SparseSegLib.training import TrainingJob

    TrainingJob(a_cohort, panel.folder / "old", TINY)
    a_window.update()
    asked = answering(monkeypatch, False)
    click(panel.ui.discardButton)
    assert "training old" in asked[0] and (panel.folder / "old").exists()
    answering(monkeypatch, True)
    click(panel.ui.discardButton)
    assert not (panel.folder / "old").exists() and not panel.ui.unfinishedWidget.visible
