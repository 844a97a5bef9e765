"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

WRITABLE = (".nrrd", ".seg.nrrd", ".nii", ".nii.gz", ".mha")  # the formats of volumes
NEARLY_FULL = 256 * 1024  # bytes; the writers buffer, so a full disk may still show some


def full_suffix(path: Path) -> str:
    """The suffix that names the format, the double ones (".nii.gz", ".seg.nrrd") whole, in lower case."""
    name = path.name.lower()
    double = (".nii.gz", ".seg.nrrd")
    return next((suffix for suffix in double if name.endswith(suffix)), path.suffix.lower())


def bare_name(path: Path) -> str:
    """The name of a file without ``full_suffix``, or of a folder; what is nothing but a suffix is the name itself."""
    if path.is_dir():
        return path.resolve().name
    return path.name[: len(path.name) - len(full_suffix(path))] or path.name


def require(path: Path, subject: str) -> None:
    """Raises InputError ("missing_file", "bad_path"), beginning with ``subject``, if there is no such file."""
    require_text(path, subject)
    if not path.exists():
        raise InputError(
            "missing_file",
            f"{subject}: the file {path} does not exist.",
            "Correct the path, or put the file there.",
        )


def require_text(path: Path, subject: str) -> None:
    """Raises InputError ("bad_path") for a name that is no text, as old archives have: SimpleITK ends the process."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        message = f"{subject}: the name {str(path)!r} has characters that are not UTF-8."
        raise InputError("bad_path", message, "Rename the file or the folder.") from error


def require_other_files(given: Iterable[Path], results: Iterable[Path]) -> None:
    """Raises InputError ("same_file") if one of the ``results`` is a file of the ``given`` that they are made from."""
    given = {path.resolve() for path in given}
    for path in results:
        if path.resolve() in given:
            message = f"The result would replace {path}, which it is made from."
            raise InputError("same_file", message, "Choose another name or folder for the result.")


def require_writable(path: Path) -> None:
    """Raises InputError ("bad_suffix", "bad_path") if ``path`` cannot name the file of a volume."""
    require_text(path, "The file to write")
    problem = "is a folder" if path.is_dir() else "has no suffix of a format that can be written"
    if path.is_dir() or full_suffix(path) not in WRITABLE:
        raise InputError("bad_suffix", f"{path} {problem}.", f"Name a file that ends in one of {', '.join(WRITABLE)}.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``, with its suffix; it replaces ``path`` if the block ends well.

    Folders are made as needed. Raises InputError ("no_space", "cannot_write") if the disk refuses.
    """
    path = Path(path)
    # The suffix stays last: the image writers choose the format by it.
    temporary = path.with_name(f".{path.name}.{os.getpid()}{full_suffix(path)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # it is not there, or the system refuses its name too
            temporary.unlink()


def cannot_write(path: Path, reason: str = "") -> InputError:
    """The error to raise when ``path`` could not be written; ``reason`` is the system's, where it gave one.

    A disk that is full says so in its free space, whatever library failed: call it before cleaning up.
    """
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else NEARLY_FULL
    if free < NEARLY_FULL or reason == os.strerror(errno.ENOSPC):
        return InputError(
            "no_space",
            f"{path} could not be written: no space is left on the disk ({free // 1024} kB free).",
            "Free some space or choose another output folder, then run again.",
        )
    return InputError(
        "cannot_write",
        f"{path} could not be written: {reason or 'the file is incomplete'}.",
        "Check that the folder exists and that you may write to it, or choose another output folder.",
    )


def csv_text(rows: Iterable[Iterable]) -> str:
    """The rows as CSV, with line feeds."""
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue()


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, whole or not at all. Raises InputError ("no_space", "cannot_write")."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
