"""The prepared dataset: `manifest.csv` (one row an image), `dataset.json`, and the images they name."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.fields import FieldProblems, from_mapping, to_mapping
from ensemble_mammo.records.files import write_text, written_beside
from ensemble_mammo.records.lesion import read_lesions
from ensemble_mammo.records.preparation import OF_THE_SOURCE, Preparation
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.tables import read_text_table
from ensemble_mammo.records.task import PATCH, PATCHES, TASKS, TILES, Task, highest_labels

MANIFEST = "manifest.csv"
MANIFEST_PARQUET = "manifest.parquet"
"""Instead of manifest.csv, beside shards: a quarter of its size, read in a fifth of the time."""
DESCRIPTION = "dataset.json"
_PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class ImageRow:
    """One mammogram of a dataset: a row of manifest.csv (the label columns stand behind these)."""

    image_id: str
    "unique in the dataset"
    subject_id: str
    "the patient; splits go by it"
    exam_id: str
    "one visit of the subject; views are fused within it"
    view: str
    "CC_R, CC_L, MLO_R or MLO_L"
    file: str
    "the prepared 16-bit PNG, relative to the dataset's folder"
    split: str = ""
    "train, val, test, or empty"
    fold: str = ""
    "number of the cross-validation fold from 0, or empty"
    source: str = ""
    "the file it was made from, relative to the archive"
    source_sha256: str = ""
    "SHA-256 of that file"
    manufacturer: str = ""
    "from the header"
    device: str = ""
    "the model's name, from the header"
    age: str = ""
    "of the subject, in years"
    implant: str = ""
    "yes, no or empty, from the header"
    pixel_spacing_mm: str = ""
    "of the source, in millimetres"
    source_height: str = ""
    "rows of the source, in pixels"
    source_width: str = ""
    "columns of the source, in pixels"
    crop_top: str = ""
    "first row of the breast's box in the source"
    crop_left: str = ""
    "first column of the box"
    crop_height: str = ""
    "rows of the box"
    crop_width: str = ""
    "columns of the box"
    full_file: str = ""
    "the same mammogram at the source's own size, where it was asked for"
    collection: str = ""
    "the dataset that it came from, where several were joined"


COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(ImageRow))
"""The columns of manifest.csv that are no labels."""


def image_row(record: Mapping[Any, Any]) -> ImageRow:
    """The facts of an image, of a row of manifest.csv; its labels are passed over."""
    return ImageRow(**{str(name): str(value) for name, value in record.items() if name in COLUMNS})


REQUIRED = ("image_id", "subject_id", "view", "file")
"""The columns without which a manifest is refused."""

_CENTRE = "centre_row"
PLACE = ("method", _CENTRE, "centre_column", "cover_px", "size_px", "turned", "overlap")
"""The columns of tile sets and patch sets that say where in its mammogram, and how, an image was cut."""


def place_columns(table: pd.DataFrame) -> list[str]:
    """Those of `PLACE` that a manifest has; none of a dataset of mammograms."""
    return [name for name in PLACE if name in table] if _CENTRE in table else []


@dataclass(frozen=True)
class Dataset:
    """A folder of prepared mammograms with its manifest."""

    root: Path
    "the folder"
    table: pd.DataFrame
    "one row an image, text columns, empty text where nothing is known"
    preparation: Preparation
    "what was done to the pixels"

    def task_names(self) -> list[str]:
        """The tasks that have a label column here."""
        return [name for name in TASKS if name in self.table.columns]

    def cut(self) -> tuple[str, int]:
        """What mammograms were cut into, `patches`, `tiles` or nothing, and rows and columns of those (0: not said)."""
        description = read_description(self.root) if (self.root / DESCRIPTION).is_file() else {}
        for name in (PATCHES, TILES):
            if name in description:
                return name, int(description[name]["size_px"])
        return (PATCHES if PATCH in self.table.columns else ""), 0

    def rows(self, view: View | None = None, split: str | None = None, task: Task | None = None) -> pd.DataFrame:
        """The images of a view and a split; with a task, only those that have its label."""
        chosen = self.table
        if view is not None:
            chosen = chosen[chosen["view"] == view.value]
        if split is not None:
            chosen = chosen[chosen["split"] == split]
        if task is not None:
            self.require(task)
            chosen = chosen[chosen[task.name] != ""]
        return chosen.reset_index(drop=True)

    def require(self, task: Task) -> None:
        """Refuse a dataset without the task's labels.

        Raises:
            DatasetError: there is no such column.
        """
        if task.name not in self.table.columns:
            have = ", ".join(self.task_names()) or "no task at all"
            raise DatasetError(
                f"{self.root / MANIFEST}: no column {task.name!r} (found labels of: {have}); "
                f"prepare the dataset with --task {task.name}"
            )

    def require_preparation(
        self, trained_on: Preparation, who: str, other_source: bool = False, any_size: bool = False
    ) -> str:
        """Refuse a dataset whose images were prepared otherwise than those that a network learnt from.

        Args:
            trained_on: the network's.
            who: the network's view, for the error text.
            other_source: the files are of another kind, so that how they were read may differ.
            any_size: whoever asks resizes the images himself.

        Returns:
            A note that names what differs; empty where nothing does.

        Raises:
            DatasetError: the two differ; the text names each field that does.
        """
        own, theirs = to_mapping(self.preparation), to_mapping(trained_on)
        differing = {name for name in own if own[name] != theirs[name]} - ({"height", "width"} if any_size else set())
        said = "; ".join(f"{name} {own[name]!r}, in training {theirs[name]!r}" for name in own if name in differing)
        of_the_source = differing <= set(OF_THE_SOURCE)
        if differing and not (other_source and of_the_source):
            advice = "prepare it again with the options of the training data"
            advice += " (or, where the files are of another kind, give --other-source)" if of_the_source else ""
            raise DatasetError(
                f"{self.root}: prepared otherwise than the images the run of {who} was trained on ({said}); "
                f"{self._cut_again(trained_on, differing) or advice}"
            )
        return f"images of another kind of source than those of the training: {said}" if differing else ""

    def _cut_again(self, trained_on: Preparation, differing: Collection[str]) -> str:
        """How tiles of another size get the size of those of a training; empty where that does not help."""
        square = trained_on.height == trained_on.width > 0
        if self.cut()[0] != TILES or not square or not set(differing) <= {"height", "width"}:
            return ""
        return f"cut it with `ensemble-mammo {TILES} --size {trained_on.height}`"

    def subject_labels(self, task: Task) -> dict[str, str]:
        """subject_id -> label, the highest class where exams differ, empty where there is none."""
        if task.name not in self.table.columns:
            return dict.fromkeys(self.table["subject_id"], "")
        pairs = self.table[["subject_id", task.name]].drop_duplicates()
        return highest_labels(zip(pairs["subject_id"], pairs[task.name], strict=True), task)

    def lesions(self) -> pd.DataFrame:
        """The lesions of lesions.csv, text columns; empty where there is none.

        Raises:
            DatasetError: rows that cannot be right.
        """
        return read_lesions(self.root, dict(zip(self.table["image_id"], self.table["subject_id"], strict=True)))

    def lesions_by_image(self) -> dict[str, list[dict[str, str]]]:
        """image_id -> its rows of lesions.csv, where it has any.

        Raises:
            DatasetError: rows that cannot be right.
        """
        found: dict[str, list[dict[str, str]]] = {}
        for lesion in self.lesions().to_dict("records"):
            found.setdefault(str(lesion["image_id"]), []).append({str(k): str(v) for k, v in lesion.items()})
        return found

    def fingerprint(self) -> str:
        """SHA-256 over ids, views, labels, splits, source hashes and places of tiles: the same for the same data."""
        names = [c for c in ("image_id", "subject_id", "exam_id", "view", "split", "source_sha256") if c in self.table]
        names += [*self.task_names(), *place_columns(self.table)]
        ordered = self.table.sort_values("image_id", kind="stable")[names]
        return hashlib.sha256(ordered.to_csv(index=False).encode()).hexdigest()


def read_dataset(root: Path) -> Dataset:
    """Read and check a dataset written by `prepare`.

    Raises:
        DatasetError: no dataset there, or rows that cannot be right, with their lines, all at once.
    """
    path = manifest_of(root)
    if path is None:
        found = f"no {MANIFEST} there" if root.is_dir() else "no such folder"
        raise DatasetError(f"{root}: {found}; make a dataset with `ensemble-mammo prepare KIND PATH --out {root}`")
    table = read_manifest(path)
    check_table(table, str(path))
    for column in COLUMNS:
        if column not in table.columns:
            table[column] = ""
    table["exam_id"] = table["exam_id"].where(table["exam_id"] != "", "1")
    description = read_description(root)
    try:
        preparation = from_mapping(Preparation, description.get("preparation", {}), "preparation")
    except FieldProblems as error:
        raise DatasetError(f"{root / DESCRIPTION}: {error}") from error
    return Dataset(root, table, preparation)


def manifest_of(root: Path) -> Path | None:
    """The manifest of a dataset's folder, CSV or Parquet; None where it has none, so that it is no whole dataset."""
    return next((path for path in (root / MANIFEST, root / MANIFEST_PARQUET) if path.is_file()), None)


def read_manifest(path: Path) -> pd.DataFrame:
    """The table of a manifest, of either kind: every cell a text, empty where nothing is known; not checked.

    Raises:
        DatasetError: no such file, or no table.
    """
    if path.suffix != ".parquet":
        return read_text_table(path)
    try:
        return pd.read_parquet(path).fillna("").astype("str")
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise DatasetError(f"{path}: no Parquet table ({error}); prepare the dataset again") from error


def read_description(root: Path) -> dict[str, Any]:
    """What `dataset.json` holds.

    Raises:
        DatasetError: it is missing or not JSON.
    """
    path = root / DESCRIPTION
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: missing; prepare the dataset again") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not JSON: {error}") from error
    if not isinstance(description, dict):
        raise DatasetError(f"{path}: holds {type(description).__name__}, expected a JSON object")
    return description


def manifest_table(rows: Sequence[ImageRow], labels: Mapping[str, Sequence[str]], where: str) -> pd.DataFrame:
    """The table of a dataset.

    Args:
        rows: one an image.
        labels: task -> one label a row (empty where unknown).
        where: the manifest's path, for error texts.

    Raises:
        DatasetError: rows that cannot be right.
    """
    table = pd.DataFrame([[getattr(row, name) for name in COLUMNS] for row in rows], columns=list(COLUMNS))
    for name, values in labels.items():
        table[name] = list(values)
    check_table(table, where)
    return table


def counts_of(table: pd.DataFrame, masks: Collection[str]) -> dict[str, Any]:
    """How much a dataset holds, as dataset.json says it.

    Args:
        table: its manifest.
        masks: the mask of each lesion, empty where it has none.
    """
    return {
        "images": len(table),
        "subjects": table["subject_id"].nunique(),
        "exams": len(table[["subject_id", "exam_id"]].drop_duplicates()),
        "views": dict(sorted(Counter(table["view"]).items())),
        "splits": dict(sorted(Counter(table["split"]).items())),
        "lesions": len(masks),
        "lesions_without_mask": sum(not mask for mask in masks),
    }


def write_dataset(
    root: Path, rows: Sequence[ImageRow], labels: Mapping[str, Sequence[str]], description: Mapping[str, Any]
) -> None:
    """Write dataset.json, then manifest.csv, each whole or not at all: a folder with a manifest is a whole dataset.

    Args:
        root: the dataset's folder; the images are there already.
        rows: one an image.
        labels: task -> one label a row (empty where unknown).
        description: what dataset.json holds, the preparation included.
    """
    write_table(root, manifest_table(rows, labels, str(root / MANIFEST)), description)


def write_table(root: Path, table: pd.DataFrame, description: Mapping[str, Any], parquet: bool = False) -> None:
    """Write what `manifest_table` made, as `write_dataset` does.

    Args:
        root: the dataset's folder.
        table: its images.
        description: what dataset.json holds.
        parquet: as manifest.parquet, for sets beyond 100,000 images.
    """
    write_text(root / DESCRIPTION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    if parquet:
        with written_beside(root / MANIFEST_PARQUET) as place:
            table.to_parquet(place, index=False)
        return
    write_text(root / MANIFEST, table.to_csv(index=False, lineterminator="\n"))


def check_table(table: pd.DataFrame, where: str) -> None:
    """Refuse a manifest that cannot be right.

    Raises:
        DatasetError: every problem with its line, up to ten of them.
    """
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        raise DatasetError(f"{where}: column {', '.join(missing)} missing; found {', '.join(table.columns)}")
    if table.empty:
        raise DatasetError(f"{where}: holds no image")
    problems: list[str] = []
    named: dict[str, tuple[str, ...]] = {"view": tuple(View), "split": ("", *SPLITS)}
    for column, allowed in named.items():
        if column in table.columns:
            _collect(
                table,
                ~table[column].isin(list(allowed)),
                column,
                f"is not one of {', '.join(filter(None, allowed))}",
                problems,
            )
    for column in REQUIRED:
        _collect(table, table[column] == "", column, "is empty", problems)
    _collect(table, table["image_id"].duplicated(), "image_id", "stands in an earlier row already", problems)
    for name in (name for name in TASKS if name in table.columns):
        classes = TASKS[name].classes
        _collect(table, ~table[name].isin(["", *classes]), name, f"is not one of {', '.join(classes)}", problems)
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise DatasetError(f"{where} " + "; ".join(problems[:_PROBLEMS_SHOWN]) + more)


def _collect(table: pd.DataFrame, wrong: pd.Series, column: str, expected: str, problems: list[str]) -> None:
    problems += [f"line {i + 2}: {column} {table[column].iloc[i]!r} {expected}" for i in wrong.to_numpy().nonzero()[0]]
