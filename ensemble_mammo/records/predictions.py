"""Predictions: the scores of one level for many exams, with the ids that belong to them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.naming import facts_of_name
from ensemble_mammo.records.subject import LEVELS, View

SUM_TOLERANCE = 1e-3
"""How far the scores of a row may be from adding up to 1."""

_ID_COLUMNS = ("subject_id", "exam_id", "views", "images")
_NOTED_COLUMNS = ("set", "unsure")
"""What a calibration adds behind the classes; passed over when read."""
_PROBLEMS_SHOWN = 5


@dataclass(frozen=True)
class Predictions:
    """Scores `[N, C]` of one level, a row an exam."""

    level: str
    "a view, 'right', 'left' or 'subject'"
    classes: tuple[str, ...]
    "class names in the order of the columns"
    scores: NDArray[np.float64]
    "softmax scores [N, C]; each row adds up to 1"
    subject_ids: tuple[str, ...]
    "one a row"
    exam_ids: tuple[str, ...]
    "one a row"
    views: tuple[str, ...]
    "the views that went into the row, as CC_R+MLO_R"
    images: tuple[int, ...]
    "how many images went into the row"
    identified: bool = True
    "False: the file had no ids, and rows are known by their place alone"

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other, and rows given twice."""
        if self.level not in LEVELS:
            raise ValueError(f"level {self.level!r} is not one of {', '.join(LEVELS)}")
        count, width = self.scores.shape
        if width != len(self.classes):
            raise ValueError(f"{width} score columns for {len(self.classes)} classes")
        for name in ("subject_ids", "exam_ids", "views", "images"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{len(getattr(self, name))} {name} for {count} rows of scores")
        if len(set(self.keys)) != count:
            twice = next(key for i, key in enumerate(self.keys) if key in self.keys[:i])
            raise ValueError(f"subject {twice[0]!r}, exam {twice[1]!r} stands in two rows of level {self.level}")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.subject_ids)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(subject_id, exam_id) of each row: what tables are joined by."""
        return list(zip(self.subject_ids, self.exam_ids, strict=True))


def view_predictions(
    view: View, classes: Sequence[str], keys: Sequence[tuple[str, str]], scores: NDArray[np.floating]
) -> Predictions:
    """The predictions of a view from image scores: several images of one exam's view are averaged.

    Args:
        view: the projection.
        classes: class names.
        keys: (subject_id, exam_id) of each image.
        scores: [images, C].
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(keys):
        rows.setdefault(key, []).append(i)
    mean = np.array([scores[members].mean(axis=0, dtype=np.float64) for members in rows.values()])
    return Predictions(
        view.value,
        tuple(classes),
        mean.reshape(len(rows), len(classes)),
        tuple(key[0] for key in rows),
        tuple(key[1] for key in rows),
        (view.value,) * len(rows),
        tuple(len(members) for members in rows.values()),
    )


def write_predictions(path: Path, predictions: Predictions, sets: Sequence[tuple[str, ...]] | None = None) -> None:
    """Write our CSV: subject_id, exam_id, views, images, then a column a class (17 significant digits).

    Args:
        path: the file.
        predictions: its rows.
        sets: the conformal set of each row, for the columns `set` (as B+C) and `unsure` (0 where it is one class).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_ID_COLUMNS, *predictions.classes, *(_NOTED_COLUMNS if sets is not None else ())])
    for i, (subject, exam) in enumerate(predictions.keys):
        scores = [repr(float(score)) for score in predictions.scores[i]]
        noted = [] if sets is None else ["+".join(sets[i]), int(len(sets[i]) != 1)]
        writer.writerow([subject, exam, predictions.views[i], predictions.images[i], *scores, *noted])
    write_text(path, text.getvalue())


def plain_file(folder: Path, view: View) -> Path:
    """The plain file of a view: `predictions_ccr.txt`."""
    return folder / f"predictions_{view.suffix}.txt"


def ids_file(path: Path) -> Path:
    """The ids that belong to a plain file: `predictions_ccr.ids.csv`."""
    return path.with_suffix(".ids.csv")


def write_plain(folder: Path, predictions: Predictions) -> Path:
    """Write `predictions_<view>.txt` as numpy.savetxt does, with the ids in `predictions_<view>.ids.csv`."""
    path = plain_file(folder, View(predictions.level))
    text = io.StringIO()
    np.savetxt(text, predictions.scores)
    ids = io.StringIO()
    csv.writer(ids, lineterminator="\n").writerows([("subject_id", "exam_id"), *predictions.keys])
    write_text(ids_file(path), ids.getvalue())
    write_text(path, text.getvalue())
    return path


def level_of_name(path: Path) -> str | None:
    """The level that a file's name says: `predictions_ccr.txt`, `CC_R.csv`, `right.csv`; None if it says none."""
    stem = path.stem.lower().removeprefix("predictions_")
    for level in LEVELS:
        if stem == level.lower() or (level in tuple(View) and stem == View(level).suffix):
            return level
    view = facts_of_name(path.name).view
    return view.value if view else None


def read_predictions(path: Path, level: str, classes: Sequence[str]) -> Predictions:
    """Read our CSV, or a plain text file (with its sidecar of ids, where there is one).

    Raises:
        PredictionError: wrong columns, values that are no scores, rows that do not add up to 1; with lines.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PredictionError(f"{path}: no such file") from error
    except (UnicodeDecodeError, OSError) as error:
        raise PredictionError(f"{path}: cannot be read as text: {error}") from error
    read = _read_csv if path.suffix.lower() == ".csv" else _read_plain
    try:
        return read(path, text, level, tuple(classes))
    except PredictionError:
        raise
    except (ValueError, csv.Error) as error:
        raise PredictionError(f"{path}: {error}") from error


def _read_csv(path: Path, text: str, level: str, classes: tuple[str, ...]) -> Predictions:
    reader = csv.reader(io.StringIO(text))
    header = next(reader, [])
    wanted = ["subject_id", *classes]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise PredictionError(
            f"{path} line 1: column {', '.join(missing)} missing; found {', '.join(header) or 'nothing'}"
        )
    if len(set(header)) != len(header):
        raise PredictionError(f"{path} line 1: a column stands there twice; found {', '.join(header)}")
    unknown = [name for name in header if name not in (*_ID_COLUMNS, *classes, *_NOTED_COLUMNS)]
    if unknown:
        raise PredictionError(
            f"{path} line 1: unknown class or column {', '.join(unknown)}; classes: {', '.join(classes)}"
        )
    lines = [(reader.line_num, row) for row in reader if row]
    _refuse(
        path,
        [f"line {n}: {len(row)} values, expected {len(header)}" for n, row in lines if len(row) != len(header)],
    )
    columns = {name: [row[i].strip() for _, row in lines] for i, name in enumerate(header)}
    scores = _scores(path, [(n, [row[header.index(name)] for name in classes]) for n, row in lines], classes)
    count = len(lines)
    subjects = columns["subject_id"]
    exams = [exam or "1" for exam in columns.get("exam_id", ["1"] * count)]
    views = columns.get("views", [level] * count)
    images = [_count(number) for number in columns.get("images", ["1"] * count)]
    numbers = [n for n, _ in lines]
    problems = _id_problems(list(zip(subjects, exams, strict=True)), numbers)
    problems += [f"line {n}: images is not a number above 0" for n, k in zip(numbers, images, strict=True) if k < 1]
    problems += [
        f"line {n}: views {text!r} are not among {', '.join(View)}"
        for n, text in zip(numbers, views, strict=True)
        if text != level and not set(text.split("+")) <= set(View)
    ]
    _refuse(path, problems)
    return Predictions(level, classes, scores, tuple(subjects), tuple(exams), tuple(views), tuple(images))


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _id_problems(keys: Sequence[tuple[str, str]], lines: Sequence[int]) -> list[str]:
    problems, first = [], dict[tuple[str, str], int]()
    for key, line in zip(keys, lines, strict=True):
        if not key[0]:
            problems.append(f"line {line}: subject_id is empty")
        elif first.setdefault(key, line) != line:
            problems.append(f"line {line}: subject {key[0]!r}, exam {key[1]!r} stands in line {first[key]} already")
    return problems


def _read_plain(path: Path, text: str, level: str, classes: tuple[str, ...]) -> Predictions:
    lines = [(n, line.split("#")[0].split()) for n, line in enumerate(text.splitlines(), start=1)]
    scores = _scores(path, [(n, values) for n, values in lines if values], classes)
    count = len(scores)
    ids = ids_file(path)
    if not ids.is_file():
        places = tuple(f"row {n}" for n in range(1, count + 1))
        return Predictions(level, classes, scores, places, ("1",) * count, (level,) * count, (1,) * count, False)
    keys = _read_ids(ids)
    if len(keys) != count:
        raise PredictionError(f"{ids}: {len(keys)} ids for the {count} rows of {path.name}")
    subjects, exams = (tuple(key[i] for key in keys) for i in (0, 1))
    return Predictions(level, classes, scores, subjects, exams, (level,) * count, (1,) * count)


def _read_ids(path: Path) -> list[tuple[str, str]]:
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        header = next(reader, [])
        lines = [(reader.line_num, row) for row in reader if row]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise PredictionError(f"{path}: cannot be read as text: {error}") from error
    if header != ["subject_id", "exam_id"]:
        raise PredictionError(f"{path} line 1: found {','.join(header) or 'nothing'}, expected subject_id,exam_id")
    _refuse(path, [f"line {n}: {len(row)} values, expected 2" for n, row in lines if len(row) != 2])
    keys = [(row[0].strip(), row[1].strip() or "1") for _, row in lines]
    _refuse(path, _id_problems(keys, [n for n, _ in lines]))
    return keys


def _scores(path: Path, lines: list[tuple[int, list[str]]], classes: tuple[str, ...]) -> NDArray[np.float64]:
    if not lines:
        raise PredictionError(f"{path}: holds no row of scores")
    problems = []
    scores = np.full((len(lines), len(classes)), np.nan)
    for i, (number, values) in enumerate(lines):
        if len(values) != len(classes):
            problems.append(f"line {number}: {len(values)} columns, expected {len(classes)} ({', '.join(classes)})")
            continue
        try:
            scores[i] = [float(value) for value in values]
        except ValueError:
            problems.append(f"line {number}: {' '.join(values)!r} are not numbers")
            continue
        total = scores[i].sum()
        if not np.isfinite(scores[i]).all() or (scores[i] < -SUM_TOLERANCE).any():
            problems.append(f"line {number}: scores must be finite and not negative")
        elif abs(total - 1) > SUM_TOLERANCE:
            problems.append(f"line {number}: scores add up to {total:.6g}, expected 1 within {SUM_TOLERANCE:g}")
    _refuse(path, problems)
    return scores


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_SHOWN} more)" if len(problems) > _PROBLEMS_SHOWN else ""
        raise PredictionError(f"{path} " + "; ".join(problems[:_PROBLEMS_SHOWN]) + more)
