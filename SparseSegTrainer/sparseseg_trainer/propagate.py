"""The job "propagate": from the drawn slices of each case to its whole volume."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from .carried_volume import CarriedVolume
from .case import Case
from .case_loop import kept, run_cases, summary_of
from .case_propagation import MOST_CLASSES, CaseWork, PropagateSettings, Propagation, propagate_case
from .cohort import Cohort, label_path, read_cohort, refuse_to_replace_inputs, write_cohort
from .devices import choose_device
from .files import bare_name, csv_text, require_other_files, require_writable, write_text
from .reporting import Reporter
from .slices import from_slices
from .sparse_volume import SparseVolume, load_case
from .together import FEWEST, learn_together, refined_together
from .volumes import write_image, write_label


def propagate(
    cohort: Path,
    out: Path,
    settings: PropagateSettings | None = None,
    reporter: Reporter | None = None,
) -> dict:
    """Propagates every case of the folder ``cohort`` into the cohort folder ``out``.

    Writes labels/CASE.nrrd, cohort.csv, labels.json, confidence.csv (case, slice, confidence) and report.json, and
    returns the latter. A case that fails does not stop the others. Raises InputError if the cohort cannot be read, a
    file of it would be replaced or nothing be written, and ``Cancelled``; the cases that have a result by then, if only
    the instant one, are the cohort in ``out``.
    """
    settings, reporter, out = settings or PropagateSettings(), reporter or Reporter(), Path(out)
    given = read_cohort(cohort)
    refuse_to_replace_inputs(given, out)
    given.forget_other_slices("Propagation", reporter)
    work = CohortPropagation(given, out, settings, reporter)
    several = len(given.cases) >= FEWEST and len(given.values) <= MOST_CLASSES
    with kept(work.results, work.write):
        if settings.together and settings.quality == "refined" and several:
            work.run_together()
        else:
            run_cases(given.cases, work.failed, work.run_alone, "propagate", reporter)
    return work.write()


class CohortPropagation:
    """The propagation of the cohort ``given`` into the folder ``out``: ``results`` so far, and the cases that failed.

    ``results``: the confidence of each slice, by the case's name.
    """

    def __init__(self, given: Cohort, out: Path, settings: PropagateSettings, reporter: Reporter):
        self.given, self.out, self.settings, self.reporter = given, out, settings, reporter
        self.results: dict[str, list[float]] = {}
        self.failed = list(given.failed)

    def run_alone(self, case: Case) -> None:
        """Propagates a case for itself."""
        volume = load_case(case)
        self._keep(volume, propagate_case(volume, self.settings, self.reporter, partial(self._keep_instant, volume)))

    def run_together(self) -> None:
        """Propagates all cases: instant results first, then those of a network that has learned from all of them."""
        cases, settings, reporter = self.given.cases, self.settings, self.reporter
        device = choose_device(settings.device)
        with tempfile.TemporaryDirectory(prefix="SparseSeg-", ignore_cleanup_errors=True) as folder:
            files = {case.name: Path(folder) / f"{number}.safetensors" for number, case in enumerate(cases)}

            def carry(case: Case) -> Case:
                volume = load_case(case)
                work = CaseWork(volume, settings, reporter)
                self._keep_instant(volume, work.instant())
                work.carried().save(files[case.name])
                return case

            def refine(case: Case) -> None:
                volume, carried = load_case(case), CarriedVolume.load(files[case.name], device)
                work = CaseWork(volume, settings, reporter)
                self._keep(volume, work.finished(*refined_together(network, carried)))

            carried = run_cases(cases, self.failed, carry, "propagate", reporter)
            volumes = [partial(CarriedVolume.load, files[case.name], device) for case in carried]
            if len(carried) < FEWEST:  # the others failed
                run_cases(carried, self.failed, self.run_alone, "refine", reporter)
            else:
                network = learn_together(volumes, device, settings.seed, reporter)
                run_cases(carried, self.failed, refine, "refine", reporter)

    def write(self) -> dict:
        """Makes a cohort of the results, and returns what the job does."""
        failed = {failure.case for failure in self.failed}
        done = [case for case in self.given.cases if case.name in self.results.keys() - failed]
        found = [replace(case, label=label_path(self.out, case), annotated_slices=None) for case in done]
        write_cohort(self.out, found, self.given.labels)
        rows = [(case.name, index, value) for case in done for index, value in enumerate(self.results[case.name])]
        write_text(self.out / "confidence.csv", csv_text([("case", "slice", "confidence"), *rows]))
        summary = summary_of(len(done), self.failed, out=str(self.out))
        write_text(self.out / "report.json", json.dumps(summary, indent=2))
        return summary

    def _keep_instant(self, volume: SparseVolume, instant: Propagation) -> None:
        path = label_path(self.out, volume.case)
        _write_instant(volume, path, self.given, self.reporter, instant)
        self.results[volume.case.name] = _rounded(instant)

    def _keep(self, volume: SparseVolume, result: Propagation) -> None:
        _write(volume, result, label_path(self.out, volume.case), self.given)
        if self.settings.probabilities:
            _write_probabilities(volume, result, self.out / "probabilities" / volume.case.name, self.given)
        self.results[volume.case.name] = _rounded(result)


def propagate_file(
    image: Path,
    label: Path,
    out: Path,
    slices: Sequence[int] | None = None,
    axis: int | None = None,
    first: int | None = None,
    last: int | None = None,
    reaches_first: bool = False,
    reaches_last: bool = False,
    settings: PropagateSettings | None = None,
    reporter: Reporter | None = None,
) -> dict:
    """Propagates one volume: the drawn ``slices`` of the file ``label`` (all labeled ones if None) into ``out``.

    Raises InputError and ``Cancelled``.
    """
    settings, reporter, out = settings or PropagateSettings(), reporter or Reporter(), Path(out)
    require_writable(out)
    require_other_files([Path(image), Path(label)], [out])
    annotated = tuple(sorted(set(slices))) if slices else None
    case = Case(
        Path(image).name, Path(image), Path(label), annotated, axis, first, last, "", reaches_first, reaches_last
    )
    cohort = Cohort(None, [case])
    reporter.progress("propagate", 0, case.name)
    volume = load_case(case)
    result = propagate_case(volume, settings, reporter, partial(_write_instant, volume, out, cohort, reporter))
    _write(volume, result, out, cohort)
    if settings.probabilities:
        _write_probabilities(volume, result, out.with_name(f"{bare_name(out)}_probability"), cohort)
    return summary_of(1, [], label=str(out), confidence=_rounded(result))


def _write_instant(volume: SparseVolume, path: Path, cohort: Cohort, reporter: Reporter, instant: Propagation) -> None:
    """Writes the instant label and tells that it is there, with its confidence."""
    _write(volume, instant, path, cohort)
    reporter.result(partial="instant", case=volume.case.name, label=str(path), confidence=_rounded(instant))


def _rounded(result: Propagation) -> list[float]:
    """The confidence of each slice as it is told."""
    return [round(float(value), 3) for value in result.confidence]


def _write(volume: SparseVolume, result: Propagation, path: Path, cohort: Cohort) -> None:
    array = from_slices(volume.file_values(result.label), volume.axis)
    write_label(path, array, volume.geometry, cohort.labels)


def _write_probabilities(volume: SparseVolume, result: Propagation, stem: Path, cohort: Cohort) -> None:
    """Writes the probability of each label into STEM_VALUE.nrrd."""
    for position, label in enumerate(cohort.labels, 1):
        array = from_slices(result.grid.full_class(result.probability, position), volume.axis)
        write_image(stem.with_name(f"{stem.name}_{label.value}.nrrd"), array, volume.geometry)
