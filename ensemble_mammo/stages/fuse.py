"""fuse: prediction files of views become those of the breasts and the subject; several systems become one first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.fusion import Fused, Fusion, fuse
from ensemble_mammo.merit.inputs.sources import UNNAMED, Source, predictions_of, read_sources, systems_of
from ensemble_mammo.merit.systems import mean_of_systems
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.origin import ORIGIN, Origin, clear_predictions, read_origin
from ensemble_mammo.records.predictions import Predictions, write_plain, write_predictions
from ensemble_mammo.records.task import Task


@dataclass(frozen=True)
class _Joined:
    """Several systems, and what stands behind them."""

    views: list[Predictions]
    origin: dict[str, Any]
    notes: tuple[str, ...]


def fuse_files(
    paths: Path | Sequence[str | Path],
    task: Task,
    fusion: Fusion | None = None,
    out: Path | None = None,
    weights: Mapping[str, float] | None = None,
) -> Fused:
    """Fuse prediction files of views; write right.csv, left.csv and subject.csv, as far as views were given.

    Of several systems (two folders or more, or NAME=… in front of each) the scores of each view are averaged first;
    then the views of the mean and predictions.json are written too, so that the folder can be judged like any other.

    Args:
        paths: the folder of the views' files, or the files themselves (names or `CC_R=path` say the view); or the
            folders of several systems, or `NAME=folder`, `NAME=file`, `NAME=CC_R=path`.
        task: says the classes and how breasts become the subject.
        fusion: the rule; the mean unless given.
        out: the folder to write to; nothing is written without one.
        weights: name of a system (its folder as given, where it has no name) -> its weight; 1 unless given.

    Raises:
        PredictionError: a file is damaged, or the files or systems do not fit each other.
        OutputError: the folder cannot be written.
    """
    systems = _systems([paths] if isinstance(paths, (str, Path)) else paths)
    if len(systems) == 1:
        if weights:
            raise PredictionError(f"weight of {', '.join(weights)}: only one system is given; leave the weight out")
        (sources,) = systems.values()
        fused = fuse(predictions_of(read_sources(sources, task)), task, fusion)
        _write(fused, out)
        return fused
    if out is not None:
        _refuse_input(systems, out)
    joined = _joined(systems, task, weights or {})
    made = fuse(joined.views, task, fusion)
    fused = replace(made, notes=(*joined.notes, *made.notes))
    if out is not None:
        clear_predictions(out)
        for table in joined.views:
            write_predictions(out / f"{table.level}.csv", table)
            write_plain(out, table)
        _write(fused, out)
        write_text(out / ORIGIN, json.dumps(joined.origin | {"notes": list(fused.notes)}, indent=2) + "\n")
    return fused


def _write(fused: Fused, out: Path | None) -> None:
    for level, predictions in fused.levels.items() if out is not None else ():
        assert out is not None
        write_predictions(out / f"{level}.csv", predictions)


def _systems(given: Sequence[str | Path]) -> dict[str, list[Source]]:
    """The systems that arguments name; several folders without names are a system each, called as they are given."""
    folders = [str(one) for one in given if Path(one).is_dir()]
    if len(folders) < 2:
        return systems_of(given)
    if len(folders) < len(given):
        other = next(str(one) for one in given if str(one) not in folders)
        raise PredictionError(
            f"{other}: given beside {len(folders)} folders; give a folder a system, or name all systems (A=… B=…)"
        )
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise PredictionError(f"{', '.join(folders)}: a folder stands there twice; give each system once")
    return {folder: systems_of([folder])[UNNAMED] for folder in folders}


def _refuse_input(systems: Mapping[str, Sequence[Source]], out: Path) -> None:
    for name, sources in systems.items():
        if any(source.path.parent.resolve() == out.resolve() for source in sources):
            raise PredictionError(f"--out {out}: the predictions of {name} lie there; give another folder")


def _joined(systems: Mapping[str, Sequence[Source]], task: Task, weights: Mapping[str, float]) -> _Joined:
    """The mean of the systems' views; it is out of fold, and of known folds, only if all systems are."""
    views = mean_of_systems(
        {name: predictions_of(read_sources(own, task)) for name, own in systems.items()}, task, weights
    )
    origins = {
        name: [read_origin(folder) for folder in dict.fromkeys(source.path.parent for source in own)]
        for name, own in systems.items()
    }
    every = [origin for own in origins.values() for origin in own]
    outside = {name: all(origin.out_of_fold for origin in own) for name, own in origins.items()}
    used = {name: weights.get(name, 1.0) for name in systems}
    notes = ["scores of each view are the mean of " + ", ".join(f"{name} (weight {w:g})" for name, w in used.items())]
    if any(outside.values()) and not all(outside.values()):
        others = ", ".join(name for name, is_outside in outside.items() if not is_outside)
        notes.append(f"not out of fold, since {others} {'are' if ', ' in others else 'is'} not said to be")
    held = {
        "task": task.name,
        "classes": list(task.classes),
        "out_of_fold": all(outside.values()),
        "seen": max(origin.seen for origin in every),
        "runs": _runs(every),
        "systems": used,
    }
    contrasts = {origin.contrast for origin in every}
    if len(contrasts) == 1:
        held["contrast"] = every[0].contrast
    else:
        notes.append("the systems were not all predicted at the same contrast of their input")
    if all(outside.values()) and all(origin.fold_of == every[0].fold_of for origin in every):
        held["fold_of"] = dict(every[0].fold_of)
    return _Joined(views, held, tuple(notes))


def _runs(origins: Sequence[Origin]) -> dict[str, list[Mapping[str, Any]]]:
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for origin in origins:
        for view, own in origin.runs.items():
            runs.setdefault(view, []).extend(own)
    return runs
