"""The cohorts that cells learn from and are measured on, written once each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..case import FILE_NAME, Case
from ..cohort import Cohort, read_cohort, write_cohort
from ..errors import InputError
from ..labels import FILE_NAME as LABELS_FILE
from ..labels import write_labels
from ..reporting import Reporter
from ..sparsify import keep_labels, sparsify
from ..training.data import fingerprint
from .cells import Fold, chosen_cases, digest, slug
from .plan import DENSE, DataSet, Plan, Scheme


@dataclass
class DataFolder:
    """A data set of the plan and the folder with the cohorts made of it."""

    data: DataSet
    cases: list[Case]  # that take part, by name
    folder: Path

    @classmethod
    def of(cls, plan: Plan, data: DataSet, out: Path) -> DataFolder:
        """Reads the data set. Raises InputError as ``read_cohort`` does, and ("bad_cohort") for unreadable cases."""
        source = read_cohort(Path(plan.folder) / data.cohort)
        if source.failed:
            raise InputError(source.failed[0].code, source.failed[0].message, source.failed[0].advice)
        folder = out / "data" / slug(data.name, digest(data.name))
        if not (folder / LABELS_FILE).is_file():
            write_labels(folder, source.labels)
        return cls(data, chosen_cases(data, source.cases), folder)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the files of the cases."""
        return fingerprint(Cohort(self.folder, self.cases), 0)

    def training(self, scheme: Scheme, fold: Fold, reporter: Reporter) -> Path:
        """The cohort with what the scheme draws of the fold's training cases. Raises InputError."""
        folder = self._drawn(scheme, reporter) if scheme.name != DENSE else self._dense()
        if not {case.name for case in read_cohort(folder).cases} & set(fold.training):
            raise _nothing_drawn(scheme)
        return self._part(folder, fold.name, fold.training, scheme)

    def test(self, fold: Fold) -> Path:
        """The cohort with the dense labels of the fold's test cases."""
        return self._part(self._dense(), f"{fold.name} test", fold.test, Scheme(DENSE))

    def left_out(self, scheme: Scheme) -> list[str]:
        """The names of the cases with nothing on the slices that the scheme draws: they are not trained on."""
        folder = self._scheme_folder(scheme)
        if scheme.name == DENSE or not (folder / FILE_NAME).is_file():
            return []
        drawn = {case.name for case in read_cohort(folder).cases}
        return [case.name for case in self.cases if case.name not in drawn]

    def _dense(self) -> Path:
        return self._cohort(self.folder / f"dense-{digest(self.fingerprint)}", self.cases)

    def _scheme_folder(self, scheme: Scheme) -> Path:
        key = digest([self.fingerprint, *scheme.drawn])
        return self.folder / slug(scheme.name, key)

    def _drawn(self, scheme: Scheme, reporter: Reporter) -> Path:
        folder = self._scheme_folder(scheme)
        if not (folder / FILE_NAME).is_file():
            how = {"extents": scheme.extents, "planes": scheme.planes, "seed": scheme.seed}
            sparse = sparsify(self._dense(), folder, scheme.slices, **how, reporter=reporter)
            if not sparse["cases"]:
                (folder / FILE_NAME).unlink()
                raise _nothing_drawn(scheme)
        return folder

    def _part(self, folder: Path, name: str, names: tuple[str, ...], scheme: Scheme) -> Path:
        """The cohort ``folder``/NAME with some of the cases of ``folder``, of which the scheme leaves some labeled."""
        part = folder / slug(name, digest(names))
        if (part / FILE_NAME).is_file():
            return part
        cases = [case for case in read_cohort(folder).cases if case.name in set(names)]
        return self._cohort(part, keep_labels(cases, scheme.labeled, scheme.others, scheme.seed))

    def _cohort(self, folder: Path, cases: list[Case]) -> Path:
        if not (folder / FILE_NAME).is_file():
            write_cohort(folder, cases, Cohort(self.folder, cases).labels)
        return folder


def _nothing_drawn(scheme: Scheme) -> InputError:
    return InputError(
        "nothing_drawn",
        f"No training case has a label on the slices '{scheme.slices}' of the scheme '{scheme.name}'.",
        "Choose other slices in the plan.",
    )
