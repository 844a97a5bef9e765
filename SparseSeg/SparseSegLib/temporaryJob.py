"""A job whose folder goes when the job has ended: volumes may be of patients."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from sparseseg_trainer.errors import InputError

from .job import Job

LOGS = ("job.json", "stderr.txt", "log.txt")


class TemporaryJob(Job):
    """A job in a folder of its own. Subclasses override ``bring`` to take the result out of it."""

    def __init__(self):
        super().__init__(Path(tempfile.mkdtemp(prefix="SparseSeg-")))
        self._removeFolder = weakref.finalize(self, shutil.rmtree, self.client.folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.client.folder

    def bring(self, result: dict):
        """Takes what is wanted out of the folder, before it is removed; what it returns ``finish`` returns."""
        return result

    def finish(self):
        """Brings the result. Raises InputError or Cancelled if there is none."""
        try:
            return self.bring(self.client.result())
        except InputError as error:
            if error.code in ("internal", "trainer_stopped"):
                self.keep(*LOGS)  # which its message names; no image of a patient
            raise
        finally:
            self._removeFolder()

    def abandon(self) -> None:
        """Ends the process and removes the folder."""
        super().abandon()
        self._removeFolder()

    def keep(self, *names: str) -> None:
        """Leaves what is called so in the folder, and removes the rest: for what could not be brought anywhere."""
        for path in self.folder.iterdir():
            if path.name not in names:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        self._removeFolder.detach()
