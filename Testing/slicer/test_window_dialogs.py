"""The dialogs for files and DICOM series, and what all panels have in common: tool tips, reasons, width."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from scenes import data  # noqa: E402
from test_window_cohort import Database  # noqa: E402
from windows import panelOf, waitFor, writeCohort  # noqa: E402

BUTTONS = ("QPushButton", "QToolButton", "QCheckBox")
FIELDS = ("QComboBox", "QSpinBox", "QLineEdit", "QTableWidget", "QTextBrowser", "ctkPathLineEdit")


def answer(do) -> None:
    """Does what the user does with the next dialog."""
    import qt

    def act() -> None:
        dialog = qt.QApplication.activeModalWidget()
        try:
            do(dialog)
            dialog.accept()
        finally:
            if dialog.isVisible():  # it was not accepted, and would wait for ever
                dialog.reject()

    answer.timer = qt.QTimer()
    answer.timer.singleShot, answer.timer.interval = True, 200
    answer.timer.connect("timeout()", act)
    answer.timer.start()


def enter(path):
    """Writes the path into a file dialog."""
    import qt

    return lambda dialog: setattr(dialog.findChild(qt.QLineEdit, "fileNameEdit"), "text", str(path))


def test_files_and_a_file_to_write_are_asked_for(a_window, tmp_path):
    from SparseSegLib.fileDialogs import askFiles, askNewFile

    (tmp_path / "Ann.nrrd").touch()
    answer(enter(tmp_path / "Ann.nrrd"))
    assert askFiles("Add", "Volumes (*.nrrd)") == [tmp_path / "Ann.nrrd"]
    answer(enter(tmp_path / "new.nii.gz"))
    assert askNewFile("Export", ["NIfTI (*.nii.gz)"], "Ann.nii.gz") == tmp_path / "new.nii.gz"


def test_series_are_chosen_from_a_list(a_window, monkeypatch):
    import qt

    from SparseSegLib.dicomSeries import askSeries

    data("dicom/ProstateX-0000_T2")  # skips here where it is missing: before a dialog is awaited
    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    answer(lambda dialog: dialog.findChild(qt.QListWidget).setCurrentRow(0))
    [series] = askSeries()
    assert series.text == "ProstateX-0000, 20110707: t2_tse_tra"


@pytest.mark.parametrize("hasCohort", [False, True])
def test_every_button_that_cannot_be_used_says_why_and_all_others_what_they_do(a_window, tmp_path, hasCohort):
    if hasCohort:
        writeCohort(tmp_path / "cohort")
    else:
        a_window.settings.cohortFolder = ""
    a_window.update()
    for name in ("CohortPanel", "TrainPanel", "SegmentPanel"):
        panel = panelOf(a_window, name)
        assert panel.ui.instruction.text.endswith(".")
        for each, widget in vars(panel.ui).items():
            if widget.className() in BUTTONS + FIELDS and not each.startswith("qt_"):
                assert widget.toolTip, (name, each)
            if widget.className() in BUTTONS and not widget.isEnabled() and widget.isVisible():
                reason = widget.toolTip
                assert reason.endswith(".") and reason != panel._toolTips.get(each), (name, each, reason)


def test_no_panel_is_wider_than_500_pixels(a_window):
    for panel in a_window.panels:
        panel.ui.collapsibleButton.collapsed = False
    waitFor(lambda: True)
    assert a_window.container.minimumSizeHint.width() <= 500
