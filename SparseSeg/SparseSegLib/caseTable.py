"""The table of cases in the window."""

from __future__ import annotations

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from .cohortTable import COMPLETE, DRAWN, EMPTY, FAILED, PROPAGATED, SEGMENTED, CaseRow


class CaseTable:
    """Shows rows in a QTableWidget; the same case stays selected when they change."""

    def __init__(self, widget):
        self.widget = widget
        self._rows: list[CaseRow] = []
        widget.columnCount = 4
        widget.setHorizontalHeaderLabels([_("Case"), _("Annotated slices"), _("State"), _("Dice")])
        widget.verticalHeader().visible = False
        widget.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        widget.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        widget.horizontalHeaderItem(3).setToolTip(
            _("How well the latest results agree with the cases that are drawn on all slices; 1 is best.")
        )

    def show(self, rows: Sequence[CaseRow]) -> None:
        """Shows these rows."""
        if self._rows == rows:
            return
        before = self.selected()
        self._rows = list(rows)
        self.widget.clearSelection()
        self.widget.rowCount = len(rows)
        for number, row in enumerate(rows):
            for column, text in enumerate(_texts(row)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(row.problem or text)
                self.widget.setItem(number, column, item)
            if before and row.name == before.name:
                self.widget.selectRow(number)

    def selected(self) -> CaseRow | None:
        """The row that is selected."""
        rows = self.widget.selectionModel().selectedRows()
        return self._rows[rows[0].row()] if rows and rows[0].row() < len(self._rows) else None


def _texts(row: CaseRow) -> tuple[str, str, str, str]:
    annotated = _("all") if row.annotated is None else ", ".join(map(str, row.annotated))
    return row.name, annotated, _stateName(row.state), "" if row.dice is None else f"{row.dice:.3f}"


def _stateName(state: str) -> str:
    names = {
        FAILED: _("cannot be used"),
        EMPTY: _("not drawn on"),
        DRAWN: _("drawn"),
        PROPAGATED: _("propagated"),
        COMPLETE: _("drawn on all slices"),
        SEGMENTED: _("segmented"),
    }
    return names[state]
