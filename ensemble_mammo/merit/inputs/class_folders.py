"""True classes of plain files from the class folders they were predicted on: `<root>/<VIEW>/[<split>/]<CLASS>/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.naming import facts_of_name, only_view_words
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import Task

PICTURES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif", ".dcm"])
"""Endings of files that count as a row each."""

_SPLITS = ("test", "val", "train", "validation", "valid", "training")


@dataclass(frozen=True)
class ClassRows:
    """The images of one view, in the order in which their rows stand in a plain file."""

    folder: str
    "where they lie"
    numbers: tuple[int, ...]
    "the class of each, as a number from 0"
    keys: tuple[tuple[str, str], ...]
    "(subject_id, exam_id) of each; empty where not every name says its subject"

    def __len__(self) -> int:
        """Number of images."""
        return len(self.numbers)


def class_rows(root: Path, task: Task, split: str = "") -> dict[str, ClassRows]:
    """The images of each view: class folders sorted by name, then their files by name, as Keras lists them.

    Args:
        root: holds a folder a view (CC_R, or R_CC and the like).
        task: the class folders carry its classes.
        split: which of several splits; empty: the only one, else `test`.

    Raises:
        PredictionError: no view folder, several splits, and every folder that is none of the classes.
    """
    if not root.is_dir():
        raise PredictionError(f"{root}: no such folder")
    views = {view: folder for folder in _folders(root) if (view := _view_of(folder))}
    if not views:
        inside = ", ".join(folder.name for folder in _folders(root)) or "none"
        raise PredictionError(
            f"{root}: found the folders {inside}, expected {', '.join(View)} with class folders "
            f"({', '.join(task.classes)}) in them"
        )
    return {view: _rows_of(_split_of(folder, task, split), task) for view, folder in views.items()}


def _view_of(folder: Path) -> str:
    view = facts_of_name(folder.name).view if only_view_words(folder.name) else None
    return view.value if view else ""


def _split_of(folder: Path, task: Task, wanted: str) -> Path:
    inside = {one.name.lower(): one for one in _folders(folder)}
    splits = [name for name in inside if name in _SPLITS]
    if wanted:
        if wanted.lower() not in inside:
            raise PredictionError(f"{folder}: no split {wanted}; found {', '.join(inside) or 'no folder'}")
        return inside[wanted.lower()]
    if not splits:
        return folder
    if len(splits) > 1 and "test" not in splits:
        raise PredictionError(
            f"{folder}: holds the splits {', '.join(splits)}; give the folder that the {task.name} files were "
            "predicted on alone"
        )
    return inside["test" if "test" in splits else splits[0]]


def _rows_of(folder: Path, task: Task) -> ClassRows:
    numbers: list[int] = []
    names: list[str] = []
    problems = []
    for one in _folders(folder):
        try:
            number = task.index(one.name)
        except ValueError as error:
            problems.append(f"folder {one.name}: {error}")
            continue
        seen = (path for path in one.iterdir() if path.is_file() and not path.name.startswith("."))
        files = sorted(path.name for path in seen if path.suffix.lower() in PICTURES)
        numbers += [number] * len(files)
        names += files
    if problems:
        raise PredictionError(f"{folder}: {'; '.join(problems)}; expected a folder a class")
    if not names:
        raise PredictionError(f"{folder}: its class folders hold no image; expected {', '.join(task.classes)}")
    return ClassRows(str(folder), tuple(numbers), _keys(names))


def _keys(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    facts = [facts_of_name(name) for name in names]
    keys = tuple((one.subject_id, one.exam_id or "1") for one in facts if one.subject_id)
    return keys if len(keys) == len(names) else ()


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
