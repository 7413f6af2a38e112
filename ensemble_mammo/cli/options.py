"""Options that several verbs share, and what the command line makes of their texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ensemble_mammo.errors import EnsembleMammoError
from ensemble_mammo.records.remote import shown
from ensemble_mammo.records.subject import View

if TYPE_CHECKING:
    from ensemble_mammo.execution.engine import Engine
    from ensemble_mammo.merit.fusion import Fusion
    from ensemble_mammo.records.manifest import Dataset

Result = TypeVar("Result")

Out = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
Models = Annotated[Path, typer.Option("--models", help="Folder of trained runs.")]
ManyModels = Annotated[
    list[Path] | None, typer.Option("--models", help="Folder of trained runs; repeatable: averaged.  [default: runs]")
]
OtherSource = Annotated[
    bool, typer.Option("--other-source", help="The dataset's files may have been read otherwise than in training.")
]
TaskName = Annotated[str, typer.Option("--task", help="density, tissue, pathology, birads, abnormality, abnormality5.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or auto.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same machine: same result.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that read files; 0: one a core.")]
OneView = Annotated[str, typer.Option("--view", help="CC_R, CC_L, MLO_R, MLO_L or all (pooled recipes).")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any field of the recipe, as train.epochs=5; repeatable.")
]
Start = Annotated[Path | None, typer.Option("--start", help="A run folder whose weights are the first ones.")]
Loaders = Annotated[int, typer.Option("--workers", min=0, help="Threads that load images; 0: one.")]
Restart = Annotated[bool, typer.Option("--restart", help="Train anew what is there already.")]
EngineName = Annotated[str, typer.Option("--engine", help="local: processes of this machine; ray: a Ray cluster.")]
Address = Annotated[
    str, typer.Option("--address", help="Of a running Ray cluster: auto, HOST:PORT or ray://HOST:PORT; empty: here.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", min=0, help="Trainings at once; 0: as many as there is room for; 1: one by one, here.")
]
Cores = Annotated[
    int, typer.Option("--cores", min=0, help="Cores a training computes with; 0: those of this machine, divided.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Cores a network computes with; 0: all here. Same number, same scores.")
]
Birads = Annotated[
    bool, typer.Option("--birads", help="BI-RADS 4-6 stands for malignant, 1-2 for benign, where none is known.")
]
AllowLeakage = Annotated[bool, typer.Option("--allow-leakage", help="Learn although subjects stand in several splits.")]
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
BreastToSubject = Annotated[
    str, typer.Option(help="mean (flat, over all views) or maximum (the worse breast); empty: the task's.")
]


def _split(name: str) -> str:
    from ensemble_mammo.records.splits import SPLITS

    if name and name not in SPLITS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(SPLITS)}")
    return name


Split = Annotated[str, typer.Option("--split", callback=_split, help="Of the dataset: train, val, test; empty: all.")]
AllViews = Annotated[bool, typer.Option("--require-all-views", help="Refuse a subject that lacks a view.")]


def valid(make: Callable[..., Result], *args: Any, **fields: Any) -> Result:
    """An options object; a value outside its range is a usage error."""
    try:
        return make(*args, **fields)
    except EnsembleMammoError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def fusion_of(rule: str, weights: Sequence[str] | None, require_all_views: bool, breast_to_subject: str = "") -> Fusion:
    """The rule of fusion; weights are texts such as `CC_R=2`."""
    from ensemble_mammo.merit.fusion import Fusion

    pairs = []
    for text in weights or []:
        view, _, number = text.partition("=")
        try:
            pairs.append((View(view), float(number)))
        except ValueError as error:
            raise typer.BadParameter(f"--weight {text}: expected a view and a number, such as CC_R=2") from error
    return valid(
        Fusion,
        rule=rule,
        weights=tuple(pairs),
        require_all_views=require_all_views,
        breast_to_subject=breast_to_subject,
    )


def engine_of(name: str, address: str) -> Engine:
    """The engine that --engine and --address name."""
    from ensemble_mammo.execution.engine import Engine

    return valid(Engine, name, address)


def views_of(name: str) -> tuple[View, ...]:
    """One view, or `all`."""
    if name == "all":
        return tuple(View)
    try:
        return (View(name),)
    except ValueError as error:
        raise typer.BadParameter(f"--view {name}: expected one of {', '.join(View)} or all") from error


def findings_of(text: str) -> tuple[str, ...]:
    """The findings that a text such as `mass,calcification` names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def of_start(start: Path | None) -> list[str]:
    """The settings that --start stands for."""
    if start is None:
        return []
    return ["network.pretrained='run'", f"network.weights_file={json.dumps(shown(start))}"]


def source_of(data: Path | None, *folders: Path | None) -> Dataset | Path:
    """The folder as it came, or the dataset: what --data names, else ./dataset."""
    from ensemble_mammo.records.manifest import read_dataset

    given = [path for path in folders if path is not None]
    if len(given) + (data is not None) > 1:
        raise typer.BadParameter("give one of --subject-dir, --subjects and --data")
    return given[0] if given else read_dataset(data or Path("dataset"))


def task_of(name: str) -> Any:
    """The task of that name; another name is a usage error."""
    from ensemble_mammo.records.task import task_named

    return valid(task_named, name)
