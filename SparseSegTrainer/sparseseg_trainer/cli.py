"""The command line ``sparseseg``: the same jobs, with bars for people and ``--json`` for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

try:
    import typer

    from .commands import finish, refuse_to_replace, refuse_to_replace_report, run_as_job, settings_of
except ModuleNotFoundError as error:
    raise SystemExit(f"The command line needs the package {error.name}: pip install typer rich") from error

from .errors import InputError
from .reporting import Reporter
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
Replace = Annotated[bool, typer.Option("--replace", help="Write over what is there already.")]
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
    replace: Replace = False,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Carry drawn slices through whole volumes: those of a cohort, or one given by --image and --label."""

    def work(reporter: Reporter) -> dict:
        settings = settings_of(more, quality=quality, seed=seed, device=device)
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
        # 0, which equals False, is given: slices and axes count from it
        given = {name for name, value in volume.items() if value not in (None, []) and value is not False}
        refuse_to_replace(out, replace)
        if cohort is not None and not given:
            return run_as_job("propagate", settings, reporter, cohort=cohort, out=out)
        if cohort is not None or not {"image", "label"} <= given:
            advice = "Give a cohort's folder alone, or --image and --label with what belongs to that volume."
            raise InputError("usage", "It is not clear what to propagate.", advice)

        from .propagate import PropagateSettings, propagate_file

        return propagate_file(**volume, out=out, settings=from_dict(PropagateSettings, settings), reporter=reporter)

    finish(work, as_json)


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
        settings = settings_of(more, method=method, preset=preset, seed=seed, device=device)
        return run_as_job("train", settings, reporter, cohort=cohort, out=out, resume=resume)

    finish(work, as_json)


@app.command()
def segment(
    inputs: Annotated[list[Path], typer.Argument(help="A cohort's folder, or volumes.")],
    model: Annotated[Path, typer.Option(help="Model: a folder or a .sparseseg file.")],
    out: OutFolder,
    probabilities: Annotated[bool | None, typer.Option("--probabilities", help="Write the probabilities too.")] = None,
    device: Device = None,
    replace: Replace = False,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Segment new volumes with a trained model."""

    def work(reporter: Reporter) -> dict:
        refuse_to_replace(out, replace)
        settings = settings_of(more, probabilities=probabilities, device=device)
        return run_as_job(
            "segment",
            settings,
            reporter,
            inputs=inputs[0] if len(inputs) == 1 else inputs,
            model=model,
            out=out,
        )

    finish(work, as_json)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Result folder of propagate or segment.")],
    reference: Annotated[Path, typer.Option(help="Cohort with full labels.")],
    out: OutFolder,
    compare: Annotated[Path | None, typer.Option(help="Other results to compare with, by a paired t-test.")] = None,
    pseudo_labels: Annotated[
        Path | None, typer.Option(help="The folder pseudo_labels of a model: shows what it was taught.")
    ] = None,
    pseudo_cohort: Annotated[
        Path | None, typer.Option(help="The cohort that it was trained on, if that is not the reference.")
    ] = None,
    replace: Replace = False,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Measure results against full labels: tables and a report with pictures."""
    folders = {"compare": compare, "pseudo_labels": pseudo_labels, "pseudo_cohort": pseudo_cohort}

    def work(reporter: Reporter) -> dict:
        refuse_to_replace_report(out, replace)
        settings = settings_of(more, **{name: str(path.absolute()) for name, path in folders.items() if path})
        return run_as_job("evaluate", settings, reporter, predictions=predictions, reference=reference, out=out)

    finish(work, as_json)


@app.command()
def suggest(
    cohort: Cohort,
    budget: Annotated[int, typer.Option(help="How many slices to suggest.")],
    per_volume: Annotated[
        bool | None, typer.Option("--per-volume", help="So many of each volume, not of all together.")
    ] = None,
    planes: Annotated[
        bool | None, typer.Option("--planes", help="Along all three axes of each volume, not along one.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A model trained on the cohort: then slices that it has wrong come first.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for the suggestions.")] = None,
    seed: Seed = None,
    device: Device = None,
    replace: Replace = False,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Say which slices to draw on next, best first; slices count from 0."""

    def work(reporter: Reporter) -> dict:
        if out is not None:
            refuse_to_replace(out, replace)
        settings = settings_of(more, budget=budget, per_volume=per_volume, planes=planes, seed=seed, device=device)
        return run_as_job("suggest", settings, reporter, cohort=cohort, model=model, out=out)

    finish(work, as_json)


@app.command()
def export(
    label: Annotated[Path, typer.Argument(help="Segmentation or label map: .seg.nrrd, .nrrd, .nii.gz, .mha or .dcm.")],
    out: Annotated[Path, typer.Option(help="File to write: .dcm for DICOM, or .seg.nrrd, .nrrd, .nii.gz, .mha.")],
    series: Annotated[Path | None, typer.Option(help="Folder of the segmented DICOM series; .dcm needs it.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="How it was made, for .dcm: manual, semiautomatic (default) or automatic.")
    ] = None,
    replace: Replace = False,
    more: Settings = None,
    as_json: Json = False,
) -> None:
    """Write a segmentation as a DICOM Segmentation object, or in another format."""

    def work(reporter: Reporter) -> dict:
        refuse_to_replace(out, replace)
        return run_as_job(
            "export", settings_of(more, algorithm=algorithm), reporter, label=label, out=out, series=series
        )

    finish(work, as_json)


@app.command()
def benchmark(
    plan: Annotated[Path, typer.Argument(help="What to compare: a TOML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; what is done in it already is not repeated.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data sets, if not the plan's.")] = None,
    devices: Annotated[
        list[str] | None, typer.Option("--device", help="auto, cpu, cuda or cuda:1; may be repeated.")
    ] = None,
    at_a_time: Annotated[
        int | None, typer.Option(help="Trainings at a time; as many as devices, if not given.")
    ] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="Report on what is done; train nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Train, segment and measure all that a plan compares: tables, figures and a report."""

    def work(reporter: Reporter) -> dict:
        from .benchmark.benchmark import benchmark as run

        names = tuple(devices or ["auto"])
        count = len(names) if at_a_time is None else at_a_time
        return run(plan, out, data, names, count, not report_only, reporter)

    finish(work, as_json)


@cohort_app.command()
def sparsify(
    cohort: Cohort,
    out: OutFolder,
    slices: Annotated[
        str,
        typer.Option(
            help="Slices to keep: central, all, evenly:K, every:N, consecutive:20% (around a random one), "
            "suggested:20% (the most representative), fractions such as 1/3,2/3, or numbers."
        ),
    ] = "central",
    extents: Annotated[bool, typer.Option("--extents", help="Note the first and last slice of the structure.")] = False,
    labeled: Annotated[str, typer.Option(help="How many cases, drawn at random, keep their label: 6, or 20%.")] = "",
    others: Annotated[str, typer.Option(help="What becomes of the others: unlabeled, or 'left out'.")] = "unlabeled",
    planes: Annotated[bool, typer.Option("--planes", help="Choose and keep slices along all three axes.")] = False,
    seed: Annotated[int, typer.Option(help="Number that makes what is random repeatable.")] = 0,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Make a cohort with few drawn slices from one with full labels, for experiments."""

    def work(reporter: Reporter) -> dict:
        from .sparsify import sparsify

        refuse_to_replace(out, replace)
        return sparsify(cohort, out, slices, extents, labeled, others, seed, planes, reporter)

    finish(work, as_json)
