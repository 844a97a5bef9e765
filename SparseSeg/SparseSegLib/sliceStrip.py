"""The slice strip: one cell a slice, which says what is known of it; clicking a cell goes there."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from .parameterNode import CaseParameters
from .sliceStates import SliceStates, isAbsent

LONGEST_ROW = 48  # cells; more slices take further rows, so that every cell can be clicked
CELL_HEIGHT = 18  # pixels
CERTAIN_HUE = 1 / 3  # green; least confidence is red


class SliceStrip:
    """Shows the slices of a case in a QTableWidget, row after row."""

    def __init__(self, table, onChosen: Callable[[int], None]):
        """``onChosen`` receives the number of a slice that was clicked, or reached by the arrow keys."""
        self.table = table
        self._onChosen = onChosen
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        table.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        table.textElideMode = qt.Qt.ElideNone
        table.tabKeyNavigation = False  # Tab goes on to the next widget
        for header in (table.horizontalHeader(), table.verticalHeader()):
            header.visible = False
            header.minimumSectionSize = 1
            header.setSectionResizeMode(qt.QHeaderView.Stretch)
        table.connect("currentCellChanged(int,int,int,int)", self.onCellChanged)

    def update(self, case: CaseParameters | None, states: SliceStates) -> None:
        """Shows the states, which are of this case."""
        rows = max(1, -(-states.count // LONGEST_ROW))
        columns = -(-states.count // rows)
        if (self.table.rowCount, self.table.columnCount) != (rows, columns):
            wasBlocked = self.table.blockSignals(True)
            self.table.setRowCount(rows)
            self.table.setColumnCount(columns)
            self.table.setFixedHeight(rows * CELL_HEIGHT + 2 * self.table.frameWidth)
            self.table.blockSignals(wasBlocked)
        for index in range(rows * columns):
            item = qt.QTableWidgetItem()
            if index < states.count:
                self._describe(item, case, states, index)
            else:
                item.setFlags(qt.Qt.NoItemFlags)
            self.table.setItem(index // columns, index % columns, item)

    def setCurrent(self, index: int | None) -> None:
        """Marks the cell of the slice that is shown."""
        wasBlocked = self.table.blockSignals(True)
        if index is None:
            self.table.clearSelection()
        else:
            self.table.setCurrentCell(*divmod(index, self.table.columnCount))
        self.table.blockSignals(wasBlocked)

    def onCellChanged(self, row: int, column: int, previousRow: int, previousColumn: int) -> None:
        """A cell was clicked or reached by the arrow keys."""
        self._onChosen(row * self.table.columnCount + column)

    def _describe(self, item, case: CaseParameters, states: SliceStates, index: int) -> None:
        item.setToolTip(describe(case, states, index))
        item.setTextAlignment(qt.Qt.AlignCenter)
        if index in (case.firstSlice, case.lastSlice):
            item.setText("[" if index == case.firstSlice else "]")
        elif index in states.drawn:
            item.setText("•")
        palette = self.table.palette
        if isAbsent(case, index):
            item.setBackground(qt.QBrush(palette.color(qt.QPalette.PlaceholderText), qt.Qt.BDiagPattern))
        elif index in states.drawn:
            item.setBackground(qt.QBrush(palette.color(qt.QPalette.Text)))
            item.setForeground(qt.QBrush(palette.color(qt.QPalette.Base)))
        elif index in states.filled and index < len(case.confidence):
            hue = CERTAIN_HUE * min(1.0, max(0.0, case.confidence[index]))
            item.setBackground(qt.QBrush(qt.QColor.fromHsvF(hue, 0.6, 0.85)))


def describe(case: CaseParameters, states: SliceStates, index: int) -> str:
    """What is known of a slice, in words."""
    parts = []
    if index == case.firstSlice:
        parts.append(_("first slice of the structure"))
    if index == case.lastSlice:
        parts.append(_("last slice of the structure"))
    if isAbsent(case, index):
        parts.append(_("beyond the ends of the structure"))
    elif index in states.drawn:
        parts.append(_("annotated by you"))
    elif index in states.filled and index < len(case.confidence):
        parts.append(_("propagated, confidence {n} %").format(n=round(100 * case.confidence[index])))
    elif index in states.filled:
        parts.append(_("propagated"))
    elif not parts:
        parts.append(_("nothing drawn"))
    return _("Slice {n}: {state}").format(n=index, state=", ".join(parts))
