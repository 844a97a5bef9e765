"""Propagation of all drawn cases of a cohort, which learn from one another; the labels lie beside the drawings."""

from __future__ import annotations

from pathlib import Path

from sparseseg_trainer.case import Case
from sparseseg_trainer.cohort import read_cohort, write_cohort
from sparseseg_trainer.errors import InputError
from sparseseg_trainer.volumes import read_geometry, read_label, write_label

from .cohortFolder import propagatedPath
from .dependencies import checkTorch
from .job import writeJob
from .segmenting import isReference
from .temporaryJob import TemporaryJob
from .translation import tr as _


class CohortPropagationJob(TemporaryJob):
    """From the drawn slices of a cohort's cases to whole labels; cases that are drawn on all slices need none.

    ``finish`` returns {"cases": names of those that have a label now, "failed": sentences on the others}.
    """

    def __init__(self, cohortFolder: Path, *, settings: dict | None = None):
        """Raises InputError for a cohort that cannot be used, and if nothing is drawn on in part ("nothing_drawn")."""
        self.cohortFolder = Path(cohortFolder)
        cohort = read_cohort(self.cohortFolder)
        self.drawn = [case for case in cohort.cases if case.label is not None and not isReference(case)]
        if not self.drawn:
            raise InputError(
                "nothing_drawn",
                _("No case of the cohort is drawn on some slices."),
                _("Draw the structure on one slice of a volume, and add it to the cohort."),
            )
        labels = cohort.labels
        super().__init__()
        write_cohort(self.folder / "drawn", self.drawn, labels)
        writeJob(self.folder, "propagate", settings or {}, cohort="drawn", out="out")

    def bring(self, result: dict) -> dict:
        """Puts the labels where an opened case takes them from, but for cases that were changed meanwhile."""
        failed = [f"{failure['message']} {failure['advice']}" for failure in result["failed"]]
        names, now = [], read_cohort(self.cohortFolder).cases
        unchanged = {case.name for case in self.drawn if case in now}
        for case in read_cohort(self.folder / "out").cases if result["cases"] else []:
            if case.name in unchanged:
                self._write(case)
                names.append(case.name)
            else:
                failed.append(_("{case} was changed meanwhile: propagate it again.").format(case=case.name))
        return {"cases": names, "failed": failed}

    def _write(self, case: Case) -> None:
        geometry = read_geometry(case.image, case.name)
        label = read_label(case.label, geometry, case.name)
        write_label(propagatedPath(self.cohortFolder, case.name), label, geometry, case.cohort.labels)


def propagateCohort(cohortFolder, waitForCompletion: bool = True, **options):
    """Propagates all drawn cases of a cohort: returns which ones, or the started job. Raises InputError."""
    checkTorch()
    return CohortPropagationJob(cohortFolder, **options).run(waitForCompletion)
