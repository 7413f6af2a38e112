"""The networks behind published tables, trained and judged on tile sets of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.merit.calls import threshold_asked
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.merit.pages.exports import markdown, table_csv
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.manifest import MANIFEST, Dataset, read_dataset
from ensemble_mammo.records.recipe_files import recipes_for
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TILES
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.report import ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows.reproduce.result import Reproduction, facts_of
from ensemble_mammo.workflows.sweep import Outcome, Point, SweepOptions, outcome_of, require_judgeable

NETWORKS = "networks"
"""The folder of the runs, within the one that is written to."""
TEST = "test"
"""The split of a training's own tile set that networks are judged on."""
_GRID = "grid"
_OWN = "set-"
"""How the folders of tile sets to train on begin; the number of the set follows."""
_COLUMNS = {
    "network": "network",
    "set": "trained on set",
    "on": "judged on",
    "tiles": "tiles",
    "published_accuracy": "published accuracy",
    "accuracy": "accuracy",
    "majority": "most frequent",
    "published_recall": "published recall",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "auc": "AUC",
    "threshold": "threshold",
    "note": "note",
}


@dataclass(frozen=True)
class TableOptions:
    """How a published table is measured anew."""

    table: str
    "binary, five, mias, weight or grid"
    networks: tuple[str, ...] = ()
    "ids of those of the table's networks that are wanted, such as 1.0.0.35b.98; empty: all"
    settings: tuple[str, ...] = ()
    "key=value laid over every recipe, such as train.images_an_epoch=3072"
    threshold: str = ""
    "of two classes: a score, or recall=0.9, chosen on the validation split of the set trained on; empty: 0.5"
    contrasts: tuple[float, ...] = (1.0, 1.25, 1.5, 1.75, 2.0)
    "of table grid; the published ones lie between 1 and 2"
    train: TrainOptions = field(default_factory=TrainOptions)
    "seed, device and the like"

    def __post_init__(self) -> None:
        """Refuse an unknown table or network, and a threshold that is none."""
        if self.threshold:
            threshold_asked(self.threshold)
        facts = facts_of("scuccimarra")
        if self.table not in facts["tables"]:
            raise PredictionError(f"--table {self.table}: expected one of {', '.join(facts['tables'])}")
        own = [one["id"] for one in facts["networks"] if self.table in one["tables"]]
        for name in self.networks:
            if name not in own:
                raise PredictionError(f"--network {name}: table {self.table} has {', '.join(own)}")


def measured(tiles: Path, out: Path, options: TableOptions) -> Reproduction:
    """Train and judge the networks of a published table; those of an earlier call are taken as they are.

    Runs lie in `out/networks/<network>/`, the table in `out/<table>.csv` and `.md` (of single networks in
    `out/<table>-<network>.csv` and `.md`), and of the table of thresholds and contrasts a report a set in
    `out/grid/<set>/`.

    Args:
        tiles: a folder of tile sets: `set-6`, `set-8`, `set-9` to train on, and any others to be judged on.
        out: the folder to write to.
        options: which table, and how the networks are trained.

    Raises:
        DatasetError: a tile set that the table needs is not there.
        RecipeError: a setting is wrong.
    """
    facts = facts_of("scuccimarra")
    networks = [one for one in facts["networks"] if options.table in one["tables"]]
    networks = [one for one in networks if one["id"] in (options.networks or (one["id"],))]
    trained = [one for one in networks if "recipe" in one]
    points = {one["id"]: _point(one, options) for one in trained}
    own = {name: _tile_set(tiles / f"{_OWN}{name}") for name in dict.fromkeys(one["set"] for one in trained)}
    foreign = _foreign(tiles)
    judging = {name: _judging(point, foreign, options) for name, point in points.items()}
    for one in trained:  # before any of them is
        point = points[one["id"]]
        require_judgeable(own[one["set"]], point.task, judging[one["id"]], point.resizes_tiles)
    rows: list[list[Cell]] = []
    failed = []
    for one in networks:
        if one in trained:
            point, judged = points[one["id"]], judging[one["id"]]
            outcome = outcome_of(own[one["set"]], point, out / NETWORKS, judged)
            rows += _rows(one, outcome, _published(facts, one, options.table))
            failed += [point.name] if outcome.failure else []
            if options.table == _GRID and not outcome.failure:
                _write_grid(own[one["set"]], judged.on, point, out, options)
        rows += _published_only(facts, one, options.table)
    found = Table(options.table, facts["tables"][options.table], _COLUMNS, rows, _caption(facts))
    name = _file_name(options)
    write_text(out / f"{name}.csv", table_csv(found))
    write_text(out / f"{name}.md", markdown(found))
    notes = tuple(f"{row[0]} on {row[2]}: {row[-1]}" for row in rows if row[-1])
    return Reproduction("scuccimarra", facts["title"], facts["source"], (found,), notes, tuple(failed))


def _point(network: Mapping[str, Any], options: TableOptions) -> Point:
    """A published network as something to be trained; the caller's settings lie over its own."""
    settings = (*network.get("settings", ()), *options.settings)
    recipes = recipes_for(network["recipe"], tuple(View), settings)
    return Point(network["id"], {}, network["recipe"], settings, options.train.seed, recipes)


def _judging(point: Point, foreign: Sequence[tuple[str, Dataset]], options: TableOptions) -> SweepOptions:
    """How a network is judged: on the test split of its set, and on every foreign set with labels of its task."""
    on = tuple((name, dataset) for name, dataset in foreign if point.task.name in dataset.task_names())
    threshold = options.threshold if len(point.task.classes) == 2 else ""
    return SweepOptions((), point.recipe, split=TEST, on=on, threshold=threshold, train=options.train)


def _tile_set(folder: Path) -> Dataset:
    if not (folder / MANIFEST).is_file():
        raise DatasetError(
            f"{folder}: no tile set there; make it with `ensemble-mammo tiles --set {folder.name.removeprefix(_OWN)} "
            f"--data DATASET --out {folder}`"
        )
    return read_dataset(folder)


def _foreign(tiles: Path) -> list[tuple[str, Dataset]]:
    """The tile sets that networks are judged on and never trained on, by name."""
    if not tiles.is_dir():
        raise DatasetError(f"{tiles}: no such folder; expected one with the tile sets set-6, set-8, set-9")
    folders = sorted(path.parent for path in tiles.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(_OWN))
    found = [(folder.name, read_dataset(folder)) for folder in folders]
    found = [(name, dataset) for name, dataset in found if dataset.cut()[0] == TILES]
    try:
        SweepOptions((), on=tuple(found))
    except ValueError as error:
        raise DatasetError(f"{tiles}: {error}; rename the folder") from error
    return found


def _published(facts: Mapping[str, Any], network: Mapping[str, Any], table: str) -> dict[str, dict[str, float]]:
    """set judged on -> figure -> what was published in that table."""
    results = network.get(f"published_{table}", network.get("published", {}))
    return {on: _figures(facts, result) for on, result in results.items()}


def _figures(facts: Mapping[str, Any], result: str) -> dict[str, float]:
    """figure -> what was published as one result."""
    return {one["figure"]: one["value"] for one in facts["results"] if one["id"] == result}


def _published_only(facts: Mapping[str, Any], network: Mapping[str, Any], table: str) -> Iterable[list[Cell]]:
    """A row for each published figure of a table that stands without one of ours."""
    for one in network.get("published_only", ()):
        if one["table"] == table:
            cells: dict[str, Cell] = {"network": network["id"], "set": network["set"], "on": one["on"]}
            theirs = _figures(facts, one["result"])
            cells |= {"published_accuracy": theirs.get("accuracy"), "note": one["why"]}
            cells |= {"published_recall": theirs.get("positive_sensitivity")}
            yield [cells.get(name) for name in _COLUMNS]


def _file_name(options: TableOptions) -> str:
    """What the files of a table are called: those of single networks do not take the place of the whole table's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join((options.table, *dict.fromkeys(options.networks))))


def _rows(
    network: Mapping[str, Any], outcome: Outcome, published: Mapping[str, Mapping[str, float]]
) -> Iterable[list[Cell]]:
    """A row a set judged on, or one that says why there is none."""
    first: list[Cell] = [network["id"], network["set"]]
    for found in outcome.judged:
        theirs, ours = published.get(found.on, {}), found.figures
        at = None if found.threshold is None else found.threshold.value
        note = "; ".join([*found.notes, *([network["why"]] if "why" in network else [])])
        values = [
            theirs.get("accuracy"),
            ours["accuracy"],
            ours["majority"],
            theirs.get("positive_sensitivity"),
            ours["recall"],
        ]
        yield [*first, found.on, found.images, *values, ours["precision"], ours["f1"], ours["auc"], at, note]
    if outcome.failure:
        yield [*first, *([None] * 11), f"FAILED: {outcome.failure}"]


def _write_grid(
    own: Dataset, foreign: Sequence[tuple[str, Dataset]], point: Point, out: Path, options: TableOptions
) -> None:
    """A report a set with the table of thresholds and contrasts."""
    models, task = out / NETWORKS / point.name, point.task
    for name, dataset, split in [(TEST, own, TEST), *((name, dataset, "") for name, dataset in foreign)]:
        folder = out / _GRID / name
        asked = PredictOptions(split, task=task.name, other_source=True, device=options.train.device)
        predict(dataset, models, folder, replace(asked, contrasts=options.contrasts))
        truth = truth_from_dataset(dataset, task, split or None)
        settled = ReportOptions(resamples=0, studies=False, dataset=dataset, seed=options.train.seed)
        report([folder / "predictions"], truth, folder / "report", settled)


def _caption(facts: Mapping[str, Any]) -> str:
    return (
        "Accuracy over all tiles at once, beside that of naming the most frequent class for each; recall is the share "
        "of tiles with a lesion that are called abnormal (of five classes: any abnormal one). The published tiles had "
        f"{facts['most_frequent']:.2f} normal ones."
    )
