"""Dialogs for files and folders, which remember where the user was last."""

from __future__ import annotations

from pathlib import Path

import qt

LAST = "SparseSeg/LastFolder"


def askFiles(title: str, nameFilter: str) -> list[Path]:
    """The files that the user chooses; none if the dialog is closed."""
    return _ask(title, qt.QFileDialog.ExistingFiles, nameFilter)


def askFile(title: str, nameFilter: str) -> Path | None:
    """The file that the user chooses."""
    return next(iter(_ask(title, qt.QFileDialog.ExistingFile, nameFilter)), None)


def askFolder(title: str) -> Path | None:
    """The folder that the user chooses."""
    return next(iter(_ask(title, qt.QFileDialog.Directory, "")), None)


def askNewFile(title: str, nameFilters: list[str], proposal: str) -> Path | None:
    """The file to write; the dialog asks before an existing one is replaced."""
    dialog = _dialog(title, qt.QFileDialog.AnyFile, nameFilters)
    dialog.acceptMode = qt.QFileDialog.AcceptSave
    dialog.selectFile(proposal)
    return next(iter(_answer(dialog)), None)


def _ask(title: str, mode, nameFilter: str) -> list[Path]:
    dialog = _dialog(title, mode, [nameFilter] if nameFilter else [])
    if mode == qt.QFileDialog.Directory:
        dialog.setOption(qt.QFileDialog.ShowDirsOnly, True)
    return _answer(dialog)


def _dialog(title: str, mode, nameFilters: list[str]):
    dialog = qt.QFileDialog(None, title, str(qt.QSettings().value(LAST, "") or ""))
    dialog.fileMode = mode
    if nameFilters:
        dialog.setNameFilters(nameFilters)
    return dialog


def _answer(dialog) -> list[Path]:
    if not dialog.exec_():
        return []
    qt.QSettings().setValue(LAST, dialog.directory().absolutePath())
    return [Path(path) for path in dialog.selectedFiles()]
