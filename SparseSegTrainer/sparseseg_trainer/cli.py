"""The command line ``sparseseg``: the same jobs, with bars for people and ``--json`` for programs."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

try:
    import typer

    from .console import ConsoleReporter
except ModuleNotFoundError as error:
    raise SystemExit(f"The command line needs the package {error.name}: pip install 'sparseseg[cli]'") from error

from .errors import InputError
from .jobs import run_job, supervise
from .reporting import JsonReporter, Reporter, json_stdout, json_values
from .settings import from_dict
from .training.keys import Method

app = typer.Typer(
    help="From one drawn slice to a segmented volume, and from such volumes to a trained model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cohort_app = typer.Typer(help="Work on cohorts.", no_args_is_help=True)
app.add_typer(cohort_app, name="cohort")

METHOD_HELP = f"One of {', '.join(get_args(Method))}; the first is the default."

Cohort = Annotated[Path, typer.Argument(help="Folder with cohort.csv.")]
OutFolder = Annotated[Path, typer.Option(help="Folder for the results.")]
Seed = Annotated[int | None, typer.Option(help="Number that makes runs repeatable.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any further setting as NAME=VALUE; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON event a line instead of bars.")]


@app.command()
def propagate(
    out: Annotated[Path, typer.Option(help="Folder for the results; with --image the label file to write.")],
    cohort: Annotated[Path | None, typer.Argument(help="Folder with cohort.csv.")] = None,
    image: Annotated[Path | None, typer.Option(help="One volume instead of a cohort.")] = None,
    label: Annotated[Path | None, typer.Option(help="Its label map with the drawn slices.")] = None,
    slices: Annotated[
        list[int] | None, typer.Option("--slice", help="A drawn slice, counted from 0; may be repeated.")
    ] = None,
    first: Annotated[int | None, typer.Option(help="First slice of the structure.")] = None,
    last: Annotated[int | None, typer.Option(help="Last slice of the structure.")] = None,
    reaches_first: Annotated[bool, typer.Option("--reaches-first", help="The structure fills slice 0.")] = False,
    reaches_last: Annotated[bool, typer.Option("--reaches-last", help="The structure fills the last slice.")] = False,
    axis: Annotated[int | None, typer.Option(help="Slice axis: 0, 1 or 2 for i, j or k.")] = None,
    quality: Annotated[str | None, typer.Option(help="refined (default) or instant.")] = None,
    seed: Seed = None,
    device: Device = None,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Carry drawn slices through whole volumes: those of a cohort, or one given by --image and --label."""

    def work(reporter: Reporter) -> dict:
        settings = _settings(more, quality=quality, seed=seed, device=device)
        volume = {
            "image": image,
            "label": label,
            "slices": slices,
            "first": first,
            "last": last,
            "reaches_first": reaches_first,
            "reaches_last": reaches_last,
            "axis": axis,
        }
        given = {name for name, value in volume.items() if value not in (None, [], False)}
        if cohort is not None and not given:
            return _run_job("propagate", settings, reporter, cohort=cohort, out=out)
        if cohort is not None or not {"image", "label"} <= given:
            advice = "Give a cohort's folder alone, or --image and --label with what belongs to that volume."
            raise InputError("usage", "It is not clear what to propagate.", advice)

        from .propagate import PropagateSettings, propagate_file

        return propagate_file(**volume, out=out, settings=from_dict(PropagateSettings, settings), reporter=reporter)

    _finish(work, as_json)


@app.command()
def train(
    cohort: Cohort,
    out: Annotated[Path, typer.Option(help="Folder for the model; NAME.sparseseg also packs it.")],
    method: Annotated[str | None, typer.Option(help=METHOD_HELP)] = None,
    preset: Annotated[str | None, typer.Option(help="fast, balanced (default) or paper.")] = None,
    seed: Seed = None,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Train a segmentation model from volumes of which only some slices are drawn."""

    def work(reporter: Reporter) -> dict:
        settings = _settings(more, method=method, preset=preset, seed=seed, device=device)
        return _run_job("train", settings, reporter, cohort=cohort, out=out, resume=resume)

    _finish(work, as_json)


@app.command()
def segment(
    inputs: Annotated[list[Path], typer.Argument(help="A cohort's folder, or volumes.")],
    model: Annotated[Path, typer.Option(help="Model: a folder or a .sparseseg file.")],
    out: OutFolder,
    probabilities: Annotated[bool | None, typer.Option("--probabilities", help="Write the probabilities too.")] = None,
    device: Device = None,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Segment new volumes with a trained model."""

    def work(reporter: Reporter) -> dict:
        settings = _settings(more, probabilities=probabilities, device=device)
        return _run_job(
            "segment",
            settings,
            reporter,
            inputs=inputs[0] if len(inputs) == 1 else inputs,
            model=model,
            out=out,
        )

    _finish(work, as_json)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Result folder of propagate or segment.")],
    reference: Annotated[Path, typer.Option(help="Cohort with full labels.")],
    out: OutFolder,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Measure results against full labels: tables and a report with pictures."""

    def work(reporter: Reporter) -> dict:
        return _run_job("evaluate", _settings(more), reporter, predictions=predictions, reference=reference, out=out)

    _finish(work, as_json)


@app.command()
def export(
    label: Annotated[Path, typer.Argument(help="Segmentation or label map: .seg.nrrd, .nrrd, .nii.gz, .mha or .dcm.")],
    out: Annotated[Path, typer.Option(help="File to write: .dcm for DICOM, or .seg.nrrd, .nrrd, .nii.gz, .mha.")],
    series: Annotated[Path | None, typer.Option(help="Folder of the segmented DICOM series; .dcm needs it.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="How it was made, for .dcm: manual, semiautomatic (default) or automatic.")
    ] = None,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Write a segmentation as a DICOM Segmentation object, or in another format."""

    def work(reporter: Reporter) -> dict:
        return _run_job("export", _settings(more, algorithm=algorithm), reporter, label=label, out=out, series=series)

    _finish(work, as_json)


@cohort_app.command()
def sparsify(
    cohort: Cohort,
    out: OutFolder,
    slices: Annotated[
        str, typer.Option(help="Slices to keep: central, evenly:K, fractions such as 1/3,2/3, or numbers.")
    ] = "central",
    extents: Annotated[bool, typer.Option("--extents", help="Note the first and last slice of the structure.")] = False,
    as_json: Json = False,
) -> None:
    """Make a cohort with few drawn slices from one with full labels, for experiments."""

    def work(reporter: Reporter) -> dict:
        from .sparsify import sparsify

        return sparsify(cohort, out, slices, extents, reporter)

    _finish(work, as_json)


def _run_job(kind: str, settings: dict, reporter: Reporter, **arguments: Any) -> dict:
    """Run the job that these command-line arguments describe."""
    job = {"kind": kind, "settings": settings, **json_values(arguments)}
    return run_job(job, Path.cwd(), reporter)


def _finish(work: Callable[[Reporter], dict], as_json: bool) -> NoReturn:
    """Run ``work`` with the reporter that was asked for and leave with its exit status."""
    if as_json:
        with json_stdout() as stream:
            reporter = JsonReporter(stream)
            status = supervise(lambda: work(reporter), reporter)
    else:
        if not sys.warnoptions:  # what libraries warn of is not for users, unless python -W asks for it
            warnings.simplefilter("ignore")
        with ConsoleReporter() as reporter:
            status = supervise(lambda: work(reporter), reporter)
    raise typer.Exit(status)


def _settings(more: list[str] | None, **given: Any) -> dict:
    """The settings that were ``given``, and those of --set, whose values are JSON or plain text."""
    settings = {name: value for name, value in given.items() if value is not None}
    for item in more or ():
        name, equals, text = item.partition("=")
        if not equals:
            raise InputError("usage", f"--set {item} has no value.", "Write --set NAME=VALUE.")
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    return settings


def main() -> None:
    """Entry point of the command."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin slow everything where cores are shared
    app()
