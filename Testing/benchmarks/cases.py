"""Which cases a benchmark may learn from and which it reports on."""

from __future__ import annotations

from sparseseg_trainer.case import Case


def held_out_split(cases: list[Case], group: str = "") -> tuple[list[Case], list[Case]]:
    """The cases to develop and train on, and those held out for reporting.

    Held out is every fifth of the sorted names, or all cases of ``group``.
    """
    cases = sorted(cases, key=lambda case: case.name)
    held_out = [case for case in cases if case.group == group] if group else cases[::5]
    names = {case.name for case in held_out}
    return [case for case in cases if case.name not in names], held_out
