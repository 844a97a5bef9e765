"""Series of Slicer's DICOM database, for the user to choose from."""

from __future__ import annotations

from dataclasses import dataclass

import qt
import slicer
from slicer.i18n import tr as _

MODALITIES = ("MR", "CT", "PT", "US", "NM")  # what may be a volume


@dataclass(frozen=True)
class Series:
    """One series: what it is called in the list, a name for its case, and its files."""

    text: str
    name: str
    files: tuple[str, ...]


def hasDatabase() -> bool:
    """Whether Slicer has an open DICOM database."""
    database = getattr(slicer, "dicomDatabase", None)
    return bool(database and database.isOpen)


def listSeries() -> list[Series]:
    """The image series of the database, by patient and study."""
    database, found = slicer.dicomDatabase, []
    for patient in database.patients():
        for study in database.studiesForPatient(patient):
            for series in database.seriesForStudy(study):
                if database.fieldForSeries("Modality", series) in MODALITIES:
                    found.append(_series(database, patient, study, series))
    return found


def askSeries() -> list[Series]:
    """The series that the user marks in a list."""
    dialog = qt.QDialog()
    dialog.windowTitle = _("Add DICOM series to the cohort")
    layout = qt.QVBoxLayout(dialog)
    widget = qt.QListWidget()
    widget.selectionMode = qt.QAbstractItemView.ExtendedSelection
    known = listSeries()
    for series in known:
        widget.addItem(series.text)
    layout.addWidget(widget)
    buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    buttons.connect("accepted()", dialog.accept)
    buttons.connect("rejected()", dialog.reject)
    layout.addWidget(buttons)
    if not dialog.exec_():
        return []
    return [known[index.row()] for index in widget.selectedIndexes()]


def _series(database, patient, study, series) -> Series:
    description = database.descriptionForSeries(series) or _("no description")
    person, date = database.nameForPatient(patient), database.fieldForStudy("StudyDate", study)
    text = _("{patient}, {date}: {series}").format(patient=person, date=date, series=description)
    number = database.fieldForSeries("SeriesNumber", series)
    return Series(text, f"{person}_{date}_{number}_{description}", tuple(database.filesForSeries(series)))
