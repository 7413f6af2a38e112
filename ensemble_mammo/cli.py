"""The command line: one thin function a verb; heavy imports wait inside."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ensemble_mammo import __version__
from ensemble_mammo.errors import EnsembleMammoError
from ensemble_mammo.records.subject import View

if TYPE_CHECKING:
    from ensemble_mammo.merit.fusion import Fusion
    from ensemble_mammo.records.manifest import Dataset
    from ensemble_mammo.stages.predict import Scores
    from ensemble_mammo.stages.report import Report

Result = TypeVar("Result")
_INTERRUPTED = 130
NOTICE = "Not a medical device; for research."

app = typer.Typer(
    name="ensemble-mammo",
    help=f"Mammography classification: one network a projection, fused by subject. {NOTICE}",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
Models = Annotated[Path, typer.Option("--models", help="Folder of trained runs.")]
TaskName = Annotated[str, typer.Option("--task", help="density, tissue, pathology, birads, abnormality, abnormality5.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or auto.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same machine: same result.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that read files; 0: one a core.")]
Views = Annotated[
    Path | None, typer.Option("--views", help="CSV (file, view) that says what headers and names do not.")
]
LabelColumn = Annotated[str, typer.Option(help="Its column of classes; empty: the task's name.")]
SubjectColumn = Annotated[str, typer.Option(help="Its column of patients.")]
FileColumn = Annotated[str, typer.Option(help="Its column of files; empty: joined by subject.")]
ExamColumn = Annotated[str, typer.Option(help="Its column of exams; empty: one label a subject.")]
MaxPixels = Annotated[int, typer.Option(help="Pixels that one file may have.")]
MaxBytes = Annotated[int, typer.Option(help="Bytes that one file may have.")]
Seconds = Annotated[float, typer.Option(help="Seconds that one file may take.")]
Annotations = Annotated[Path | None, typer.Option(help="The lesions' file: of coco, inbreast, vindr.")]
IdPattern = Annotated[
    str, typer.Option(help="Regular expression on file names: groups subject, exam, side, view, image.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output instead of a table.")]
Rule = Annotated[str, typer.Option("--fusion", help="mean, geometric, median or vote.")]
Weights = Annotated[
    list[str] | None, typer.Option("--weight", help="Weight of a view in the fusion, as CC_R=2; repeatable.")
]
AllViews = Annotated[bool, typer.Option("--require-all-views", help="Refuse a subject that lacks a view.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ensemble-mammo {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say warnings and errors alone.")] = False,
) -> None:
    """Set up what all verbs share."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("ensemble_mammo").setLevel(level)


def _valid(make: Callable[..., Result], *args: Any, **fields: Any) -> Result:
    """An options object; a value outside its range is a usage error."""
    try:
        return make(*args, **fields)
    except EnsembleMammoError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _fusion(rule: str, weights: Sequence[str] | None, require_all_views: bool) -> Fusion:
    from ensemble_mammo.merit.fusion import Fusion

    pairs = []
    for text in weights or []:
        view, _, number = text.partition("=")
        try:
            pairs.append((View(view), float(number)))
        except ValueError as error:
            raise typer.BadParameter(f"--weight {text}: expected a view and a number, such as CC_R=2") from error
    return _valid(Fusion, rule=rule, weights=tuple(pairs), require_all_views=require_all_views)


def _views(name: str) -> tuple[View, ...]:
    if name == "all":
        return tuple(View)
    try:
        return (View(name),)
    except ValueError as error:
        raise typer.BadParameter(f"--view {name}: expected one of {', '.join(View)} or all") from error


@app.command()
def prepare(
    kind: Annotated[
        str,
        typer.Argument(help="folders, dicom, manifest, inbreast, cbis-ddsm, coco, mini-mias, ddsm, rsna, vindr, join."),
    ],
    path: Annotated[Path, typer.Argument(help="The archive's folder; nothing in it is changed.")],
    out: Out = Path("dataset"),
    task: TaskName = "density",
    labels: Annotated[Path | None, typer.Option("--labels", help="CSV with the labels.")] = None,
    label_column: LabelColumn = "",
    subject_column: SubjectColumn = "patient_id",
    file_column: FileColumn = "",
    exam_column: ExamColumn = "",
    annotations: Annotations = None,
    id_pattern: IdPattern = "",
    fixes: Annotated[Path | None, typer.Option(help="fixes.csv of an audit of this archive, to be applied.")] = None,
    as_released: Annotated[
        bool, typer.Option("--as-released", help="Patients in training and test of the release stay in both.")
    ] = False,
    views: Views = None,
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Keep PatientIDs (public data).")] = False,
    voi: Annotated[str | None, typer.Option(help="auto, lut, window, min-max or stored.")] = None,
    window: Annotated[
        str | None, typer.Option(help="Which of several windows or VOI LUTs: place from 0, or name.")
    ] = None,
    polarity: Annotated[str | None, typer.Option(help="header, or auto: white backgrounds are turned.")] = None,
    bits_used: Annotated[int | None, typer.Option(help="Bits in use of 16-bit PNG, TIFF, PGM; 0: all.")] = None,
    source_aspect: Annotated[
        float | None, typer.Option(help="Width/height of originals where exports lost it.")
    ] = None,
    trim: Annotated[float | None, typer.Option(help="Share taken off each side first (film borders).")] = None,
    white_patches: Annotated[str | None, typer.Option(help="White rectangles on films: keep or black.")] = None,
    crop: Annotated[bool | None, typer.Option("--crop/--no-crop", help="Cut to the breast.")] = None,
    outside: Annotated[str | None, typer.Option(help="Outside the breast: black or keep.")] = None,
    intensity: Annotated[str | None, typer.Option(help="Within the breast: kept, range, rank or local.")] = None,
    orientation: Annotated[str | None, typer.Option(help="kept, or chest-left.")] = None,
    decode: Annotated[str | None, typer.Option(help="full, or fast: JPEG 2000 at a lower level.")] = None,
    height: Annotated[int | None, typer.Option(help="Rows of the prepared images; 0: the source's.")] = None,
    width: Annotated[int | None, typer.Option(help="Columns, by padding; 0: as the aspect gives.")] = None,
    full_size: Annotated[bool, typer.Option("--full-size", help="Also write images and masks at full size.")] = False,
    split: Annotated[
        str,
        typer.Option(help="train:val:test, or 85:15 (then 90:10); empty: as the archive states, else 80:10:10."),
    ] = "",
    folds: Annotated[int, typer.Option(help="Cross-validation folds in the manifest; 0: none.")] = 0,
    seed: Seed = 0,
    workers: Workers = 0,
    max_pixels: MaxPixels = 200_000_000,
    max_bytes: MaxBytes = 1_000_000_000,
    seconds: Seconds = 60.0,
    strict: Annotated[bool, typer.Option("--strict", help="A file that cannot be read ends the work.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Make an existing dataset anew.")] = False,
    json_: Json = False,
) -> None:
    """Turn an archive into a dataset: 16-bit PNGs, manifest.csv, a folder-per-class tree."""
    from ensemble_mammo.archives import KINDS
    from ensemble_mammo.archives.options import ArchiveOptions
    from ensemble_mammo.imaging.read import Limits
    from ensemble_mammo.records.division import Division
    from ensemble_mammo.records.manifest import read_description
    from ensemble_mammo.records.preparation import Preparation
    from ensemble_mammo.stages.prepare import PrepareOptions
    from ensemble_mammo.stages.prepare import prepare as run

    archive = _valid(
        ArchiveOptions, task, labels, label_column, subject_column, file_column, exam_column, annotations, id_pattern,
        fixes, as_released, views, keep_ids, workers=workers,
    )  # fmt: skip
    which = int(window) if window is not None and window.isdigit() else window
    said = {
        "voi": voi, "window": which, "polarity": polarity, "bits_used": bits_used, "source_aspect": source_aspect,
        "trim": trim, "white_patches": white_patches, "crop": crop, "outside": outside, "intensity": intensity,
        "orientation": orientation, "decode": decode, "height": height, "width": width,
    }  # fmt: skip
    usual = KINDS[kind].preparation if kind in KINDS else Preparation()
    if height and width is None and usual.width:  # the kind's own frame, at another size
        said["width"] = round(usual.width * height / usual.height)
    preparation = _valid(replace, usual, **{name: value for name, value in said.items() if value is not None})
    limits = _valid(Limits, max_pixels, max_bytes, seconds)
    division = _valid(Division, _shares(split), folds, seed)
    if kind == "join":
        from ensemble_mammo.workflows.join import JoinOptions, join

        given = [f"--{name.replace('_', '-')}" for name, value in said.items() if value is not None]
        if given:
            raise typer.BadParameter(f"{', '.join(given)}: joined images are prepared already; leave it out")
        dataset = join(path, out, JoinOptions(labels, task, division, restart))
    else:
        options = PrepareOptions(archive, preparation, limits, division, full_size, workers, strict, restart)
        dataset = run(kind, path, out, options)
    if json_:
        typer.echo(json.dumps(read_description(dataset.root), indent=2))
    else:
        from ensemble_mammo.console import dataset_table

        dataset_table(dataset, task)
        typer.echo(f"dataset: {out}")


def _shares(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
        if len(parts) == 2:  # learning and test; a tenth of the learning subjects validates
            parts = [0.9 * parts[0], 0.1 * parts[0], parts[1]]
        train, val, test = parts
        total = train + val + test
        if min(train, val, test) < 0 or not any(abs(total - whole) < 1e-6 for whole in (1, 100)):
            raise ValueError(text)
        return train / total, val / total, test / total
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(
            f"--split {text}: expected train:val:test, such as 80:10:10, or learning:test, such as 85:15, "
            "that add up to 100 (or to 1)"
        ) from error


@app.command()
def audit(
    path: Annotated[Path, typer.Argument(help="A dataset, an archive, or any folder of images; never changed.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for audit.json, .csv, .html (audit); with --fix: the corrected manifest."),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="Kind of archive, as for prepare; empty: found out.")] = "",
    task: TaskName = "density",
    labels: Annotated[Path | None, typer.Option("--labels", help="Tables of the archive, as for prepare.")] = None,
    label_column: LabelColumn = "",
    subject_column: SubjectColumn = "patient_id",
    file_column: FileColumn = "",
    exam_column: ExamColumn = "",
    annotations: Annotations = None,
    id_pattern: IdPattern = "",
    views: Views = None,
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Keep PatientIDs in what --fix writes.")] = False,
    shortcuts: Annotated[
        bool, typer.Option("--shortcuts", help="Probe a dataset: is the label told without the breast?")
    ] = False,
    probe_height: Annotated[int, typer.Option(help="Rows of the probes' input; 768 sees more, slower.")] = 384,
    fix: Annotated[bool, typer.Option("--fix", help="Write a corrected manifest to --out, decisions logged.")] = False,
    max_pixels: MaxPixels = 200_000_000,
    max_bytes: MaxBytes = 1_000_000_000,
    seconds: Seconds = 60.0,
    device: Device = "auto",
    seed: Seed = 0,
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Find what is wrong with files, splits and labels: exit status 1 if there is an error."""
    from ensemble_mammo.archives.options import ArchiveOptions
    from ensemble_mammo.console import audit_table
    from ensemble_mammo.imaging.read import Limits
    from ensemble_mammo.stages.audit import AuditOptions
    from ensemble_mammo.stages.audit import audit as run

    archive = _valid(
        ArchiveOptions, task, labels, label_column, subject_column, file_column, exam_column, annotations, id_pattern,
        views=views, keep_ids=keep_ids, workers=workers,
    )  # fmt: skip
    probes = None
    if shortcuts:
        from ensemble_mammo.stages.audit.shortcuts import ShortcutOptions

        probes = _valid(ShortcutOptions, task, seed, device=device, height=probe_height, workers=workers)
    limits = _valid(Limits, max_pixels, max_bytes, seconds)
    options = AuditOptions(kind, archive, limits, probes, fix, workers)
    if fix and out is None:
        raise typer.BadParameter("--fix writes a corrected manifest: give it a folder with --out")
    target = out or Path("audit")
    found = run(path, target, options)
    audit_table(found, target / "audit" if fix else target, json_, target if fix else None)
    if found.failed:
        raise typer.Exit(1)


@app.command()
def train(
    view: Annotated[str, typer.Option("--view", help="CC_R, CC_L, MLO_R, MLO_L, or all.")] = "all",
    data: Annotated[
        Path, typer.Option("--data", help="A prepared dataset, or an INFN tree of class folders as it is.")
    ] = Path("dataset"),
    out: Out = Path("runs"),
    recipe: Annotated[str, typer.Option("--recipe", help="A TOML file, or a shipped recipe by name.")] = "finetune",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the recipe, as train.epochs=5; repeatable.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", help="Cross-validate over subjects; 0: train once.")] = 0,
    device: Device = "auto",
    seed: Seed = 0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads that load images; 0: none.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew what is there already.")] = False,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Learn although subjects stand in several splits.")
    ] = False,
    json_: Json = False,
) -> None:
    """Train one network a view (or all four), or cross-validate with --folds."""
    from ensemble_mammo.console import report_table, runs_table, training_bar
    from ensemble_mammo.records.recipe_files import load_recipe
    from ensemble_mammo.stages.train import TrainOptions
    from ensemble_mammo.stages.train import train as run
    from ensemble_mammo.workflows.dataset import dataset_at

    views = _views(view)
    recipes = {one: load_recipe(recipe, one, settings or ()) for one in views}
    dataset = dataset_at(data, out, next(iter(recipes.values())).task)
    with training_bar() as progress:
        options = TrainOptions(
            seed=seed, device=device, workers=workers, restart=restart, progress=progress, allow_leakage=allow_leakage
        )
        if folds:
            from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval

            cross = _valid(CrossvalOptions, folds, recipe, tuple(settings or ()), views, options)
            found = crossval(dataset, out, cross)
        else:
            results = [run(dataset, one, own, out, options) for one, own in recipes.items()]
    if folds:
        report_table(found, out / "report", json_)
    else:
        runs_table(results, json_)


@app.command()
def predict(
    models: Models = Path("runs"),
    subject_dir: Annotated[Path | None, typer.Option("--subject-dir", help="One subject's folder as it came.")] = None,
    subjects: Annotated[Path | None, typer.Option("--subjects", help="A folder of subject folders.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared dataset.")] = None,
    split: Annotated[str, typer.Option("--split", help="Of the dataset: train, val, test; empty: all.")] = "",
    views: Views = None,
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write predictions/ to.")] = None,
    task: Annotated[str, typer.Option("--task", help="Refuse networks of another task.")] = "",
    device: Device = "auto",
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Predict one subject's folder, many, or a dataset: a table a view, a breast and the subject."""
    from ensemble_mammo.console import scores_table
    from ensemble_mammo.stages.predict import PredictOptions
    from ensemble_mammo.stages.predict import predict as run

    rule = _fusion(fusion, weights, require_all_views)
    source = _source(data, subject_dir, subjects)
    options = PredictOptions(
        split, many=subjects is not None, views=views, fusion=rule, device=device, workers=workers, task=task
    )
    scores: Scores = run(source, models, out, options)
    scores_table(scores, models, rule, json_)


def _source(data: Path | None, *folders: Path | None) -> Dataset | Path:
    """The folder as it came, or the dataset: what --data names, else ./dataset."""
    from ensemble_mammo.records.manifest import read_dataset

    given = [path for path in folders if path is not None]
    if len(given) + (data is not None) > 1:
        raise typer.BadParameter("give one of --subject-dir, --subjects and --data")
    return given[0] if given else read_dataset(data or Path("dataset"))


@app.command()
def fuse(
    files: Annotated[list[str], typer.Argument(help="Prediction files of views, or their folder.")],
    task: TaskName = "density",
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    out: Out = Path("predictions"),
) -> None:
    """Join prediction files of views by subject: right.csv, left.csv and subject.csv."""
    from ensemble_mammo.stages.fuse import fuse_files

    fused = fuse_files(list(files), _task(task), _fusion(fusion, weights, require_all_views), out)
    for note in fused.notes:
        typer.echo(note, err=True)
    for level, table in fused.levels.items():
        typer.echo(f"{out / level}.csv: {len(table)} exams")


def _audit_remarks(named: Path | None, dataset: Dataset, task: str) -> list[str]:
    """What the named audit found; without a name, ./audit's if it is of this dataset."""
    from ensemble_mammo.errors import DatasetError
    from ensemble_mammo.records.audit_file import AUDIT, audit_remarks

    if named is not None:
        return audit_remarks(named / AUDIT if named.is_dir() else named, dataset.fingerprint(), task)
    try:
        return audit_remarks(Path("audit") / AUDIT, dataset.fingerprint(), task)
    except DatasetError:
        return []


def _task(name: str) -> Any:
    from ensemble_mammo.records.task import task_named

    return _valid(task_named, name)


@app.command()
def report(
    files: Annotated[list[str], typer.Argument(help="Prediction files (or their folder): txt, or our CSV.")],
    true_counts: Annotated[str, typer.Option("--true-counts", help="Rows a class in file order: A=14,B=51,…")] = "",
    labels: Annotated[Path | None, typer.Option("--labels", help="CSV with subject_id, label.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A dataset that has the labels.")] = None,
    audited: Annotated[
        Path | None, typer.Option("--audit", help="audit.json of that dataset; ./audit/audit.json if it is of it.")
    ] = None,
    task: TaskName = "density",
    fusion: Rule = "mean",
    weights: Weights = None,
    require_all_views: AllViews = False,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of subjects; 0: no intervals.")] = 10_000,
    seed: Seed = 0,
    allow_unlabelled: Annotated[
        bool, typer.Option("--allow-unlabelled", help="Leave exams without label out.")
    ] = False,
    out: Out = Path("report"),
    json_: Json = False,
) -> None:
    """Figures of merit for each view, breast and subject, with 95 % intervals, as a page and as JSON."""
    from ensemble_mammo.console import report_table
    from ensemble_mammo.merit.truth import truth_from_counts, truth_from_csv, truth_from_dataset
    from ensemble_mammo.records.manifest import read_dataset
    from ensemble_mammo.stages.report import ReportOptions
    from ensemble_mammo.stages.report import report as run

    if sum(map(bool, (true_counts, labels, data))) != 1:
        raise typer.BadParameter("give the true classes by one of --true-counts, --labels and --data")
    known = _task(task)
    if true_counts:
        truth = truth_from_counts(true_counts, known)
    elif labels:
        truth = truth_from_csv(labels, known)
    else:
        assert data is not None
        dataset = read_dataset(data)
        truth = truth_from_dataset(dataset, known)
        truth = replace(truth, remarks=(*truth.remarks, *_audit_remarks(audited, dataset, task)))
    rule = _fusion(fusion, weights, require_all_views)
    options = _valid(ReportOptions, rule, resamples, seed, allow_unlabelled)
    found: Report = run(list(files), truth, out, options)
    report_table(found, out, json_)


@app.command()
def explain(
    models: Models = Path("runs"),
    subject_dir: Annotated[Path | None, typer.Option("--subject-dir", help="One subject's folder as it came.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="A prepared dataset.")] = None,
    split: Annotated[str, typer.Option("--split", help="Of the dataset: train, val, test; empty: all.")] = "",
    views: Views = None,
    method: Annotated[str, typer.Option(help="grad-cam, grad-cam++, layer-cam, hires-cam, score-cam, …")] = "grad-cam",
    class_name: Annotated[str, typer.Option("--class", help="Class to explain; empty: the predicted one.")] = "",
    out: Out = Path("maps"),
    device: Device = "auto",
    workers: Workers = 0,
    json_: Json = False,
) -> None:
    """Class activation maps over the pixels of the mammogram."""
    from ensemble_mammo.stages.explain import ExplainOptions
    from ensemble_mammo.stages.explain import explain as run

    options = _valid(ExplainOptions, split, views, method, class_name, device=device, workers=workers)
    maps = run(_source(data, subject_dir), models, out, options)
    if json_:
        typer.echo((out / "maps.json").read_text(encoding="utf-8"))
    else:
        typer.echo(f"{len(maps)} maps under {out}; a sheet.png an exam")


@app.command()
def demo(
    out: Out = Path("demo"),
    subjects: Annotated[int, typer.Option(help="Phantom subjects.", min=20)] = 120,
    seed: Seed = 0,
) -> None:
    """The whole way on phantom exams made here: under four minutes on two cores."""
    from ensemble_mammo.console import report_table, scores_table
    from ensemble_mammo.merit.fusion import Fusion
    from ensemble_mammo.workflows.demo import DemoOptions
    from ensemble_mammo.workflows.demo import demo as run

    result = run(out, DemoOptions(subjects, seed))
    scores_table(result.scores, out / "runs", Fusion(), False)
    report_table(result.report, out / "report", False)
    typer.echo("These are phantoms: the figures show that the parts work together, and say nothing of patients.")
    typer.echo(f"class activation maps: {result.maps}")
    typer.echo(NOTICE)


def main() -> None:
    """Run the command line; our errors become one line and exit status 1."""
    try:
        app()
    except EnsembleMammoError as error:
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
        typer.echo(f"error: {' '.join(line.strip() for line in str(error).splitlines())}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.echo("interrupted; the same command goes on from here", err=True)
        raise
