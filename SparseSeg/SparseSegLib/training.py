"""Training in a process of its own: from a cohort folder to a model folder; cancelled or killed, it can go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sparseseg_trainer.case import check_case_name
from sparseseg_trainer.errors import InputError

from .dependencies import checkTorch
from .job import Job, writeJob
from .temporaryJob import TemporaryJob
from .translation import tr as _

JOB = "job"  # folder in the model's; as long as it is there, the training has not ended


class TrainingJob(Job):
    """One training. Its job folder lies in the model's folder, so that it is found again after a restart.

    ``finish`` returns the trainer's summary: "model", "cases", "failed", "seconds", "drawn_slices_dice" and, of cases
    kept aside, "validation_dice" and "validation".
    """

    def __init__(self, cohortFolder: Path, modelFolder: Path, settings: dict | None = None, resume: bool = False):
        """``settings`` are the trainer's, {"preset": "fast"} for instance.

        With ``resume``, the training that was begun in ``modelFolder`` goes on, with the settings and the cohort that
        it was begun with: ``resumed`` reads them. Raises InputError if the folder holds a model or another training.
        """
        modelFolder = Path(modelFolder)
        check_case_name(modelFolder.name)
        if not resume and modelFolder.exists() and any(modelFolder.iterdir()):
            raise InputError(
                "model_exists",
                _("There is a model or an unfinished training '{name}' already.").format(name=modelFolder.name),
                _("Choose another name for the new model."),
            )
        self.modelFolder = modelFolder
        super().__init__(modelFolder / JOB)
        self.client.folder.mkdir(parents=True, exist_ok=True)
        job = self.client.folder / "job.json"
        self._before = job.read_bytes() if job.is_file() else None  # of the training that is to go on
        paths = {"cohort": Path(cohortFolder).absolute(), "out": modelFolder.absolute(), "resume": resume}
        writeJob(self.client.folder, "train", settings or {}, **paths)

    @classmethod
    def resumed(cls, modelFolder: Path) -> TrainingJob:
        """The training that was begun in ``modelFolder``, to go on from its last checkpoint."""
        cohortFolder, settings = begun(modelFolder)
        return cls(cohortFolder, modelFolder, settings, resume=True)

    def finish(self) -> dict:
        """The summary of the training. Raises InputError or Cancelled; what was reached is kept.

        Of a training that was refused before it has reached anything, nothing stays.
        """
        try:
            result = self.client.result()
        except InputError as error:
            reached = any((self.modelFolder / "checkpoint").glob("*.safetensors"))
            if error.code not in ("internal", "trainer_stopped"):
                self._refused(reached)
            raise
        shutil.rmtree(self.client.folder, ignore_errors=True)
        return result

    def _refused(self, reached: bool) -> None:
        """The training did not begin: one that has reached something can go on with the settings that it has."""
        if not reached:
            discardTraining(self.modelFolder)
        elif self._before:
            (self.client.folder / "job.json").write_bytes(self._before)


def begun(modelFolder: Path) -> tuple[Path, dict]:
    """The cohort and the settings of an unfinished training. Raises InputError ("no_training")."""
    path = Path(modelFolder) / JOB / "job.json"
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
        return Path(job["cohort"]), dict(job["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "no_training",
            _("There is no unfinished training in {folder}.").format(folder=modelFolder),
            _("Start a new training."),
        ) from error


def unfinishedTrainings(folder: Path) -> list[Path]:
    """The model folders in ``folder`` whose training was cancelled or has been killed, the latest first."""
    found = [path.parents[1] for path in Path(folder).glob(f"*/{JOB}/job.json")]
    return sorted(found, key=lambda path: (path / JOB / "job.json").stat().st_mtime, reverse=True)


def discardTraining(modelFolder: Path) -> None:
    """Removes an unfinished training with its checkpoints; a model that was there before stays."""
    modelFolder = Path(modelFolder)
    if (modelFolder / "model.json").is_file():
        shutil.rmtree(modelFolder / JOB, ignore_errors=True)
    elif (modelFolder / JOB).is_dir():
        shutil.rmtree(modelFolder, ignore_errors=True)


class EstimateJob(TemporaryJob):
    """Measures about how long a training would take: "seconds", "memory_bytes", "free_bytes", "device", "cases"."""

    def __init__(self, cohortFolder: Path, settings: dict | None = None):
        super().__init__()
        writeJob(self.folder, "estimate", settings or {}, cohort=Path(cohortFolder).absolute())


def train(cohortFolder, modelFolder, waitForCompletion: bool = True, **settings) -> TrainingJob:
    """Trains a model on the cohort in a folder and writes it to ``modelFolder``; ``settings`` are the trainer's.

    A training that was begun there before goes on. Without ``waitForCompletion`` the job has just been started: call
    its ``update`` from a timer. Raises InputError.
    """
    checkTorch()
    if (Path(modelFolder) / JOB).is_dir():
        job = TrainingJob(cohortFolder, modelFolder, settings, resume=True)
    else:
        job = TrainingJob(cohortFolder, modelFolder, settings)
    job.start()
    if waitForCompletion:
        job.wait()
    return job
