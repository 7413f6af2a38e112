"""The INFN layout: `<root>/<VIEW>/[<split>/]<CLASS>/*`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.read import is_image_file
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.files import link_or_copy
from ensemble_mammo.records.manifest import Dataset, manifest_of
from ensemble_mammo.records.naming import facts_of_name
from ensemble_mammo.records.shards import in_shard
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS, Task, task_named

_SPLIT_NAMES = {name: name for name in SPLITS} | {"validation": "val", "valid": "val", "training": "train"}


def looks_like_folders(root: Path) -> bool:
    """Whether a folder has at least one of the four view folders."""
    return any((root / view).is_dir() for view in View)


def list_folders(root: Path, options: ArchiveOptions) -> Listing:
    """List an INFN tree: view, split and class from the folders, ids from the names where they have them.

    Raises:
        DatasetError: no view folder, an unknown or a missing class folder, or two classes for one exam.
    """
    task = task_named(options.task)
    if options.labels or options.views:
        raise DatasetError(
            f"{root}: classes and views of this kind come from its folders; leave --labels and --views out"
        )
    if not looks_like_folders(root):
        raise DatasetError(_no_view_folder(root))
    found: list[tuple[View, str, str, Path]] = []
    left_out: list[tuple[str, str]] = []
    problems: list[str] = []
    for view in (view for view in View if (root / view).is_dir()):
        classes = _walk_view(root, view, task, found, left_out)
        problems += [
            f"{root / view}: class folder {name} missing (found {', '.join(sorted(classes)) or 'none'})"
            for name in task.classes
            if name not in classes
        ]
    if problems:
        raise DatasetError(
            "; ".join(problems) + f"; task {task.name} wants {', '.join(task.classes)}: add the folder, if empty "
            "only because no subject is of that class, or name another task with --task"
        )
    if not found:
        raise DatasetError(f"{root}: its class folders hold no image")
    images, notes = _with_ids(root, found, task)
    _refuse_two_labels(images, task)
    return Listing(tuple(images), tuple(left_out), notes=tuple(notes))


def _walk_view(
    root: Path,
    view: View,
    task: Task,
    found: list[tuple[View, str, str, Path]],
    left_out: list[tuple[str, str]],
) -> set[str]:
    classes: set[str] = set()
    for folder in _subfolders(root / view):
        split = _SPLIT_NAMES.get(folder.name.lower(), "")
        for class_folder in _subfolders(folder) if split else [folder]:
            try:
                label = task.class_of(class_folder.name)
            except ValueError as error:
                raise DatasetError(f"{class_folder}: {error}") from error
            classes.add(label)
            for path in sorted(p for p in class_folder.rglob("*") if p.is_file()):
                if is_image_file(path):
                    found.append((view, split, label, path))
                else:
                    left_out.append((path.relative_to(root).as_posix(), "not an image"))
    return classes


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _no_view_folder(root: Path) -> str:
    if not root.is_dir():
        return f"{root}: no such folder"
    below = [path for path in sorted(root.glob("*")) if path.is_dir() and looks_like_folders(path)]
    if manifest_of(root) is not None:  # a prepared dataset: its own tree of class folders, not its images
        below = sorted(path for path in root.glob("folders/*") if path.is_dir())
    hint = f"; did you mean {below[0]}?" if below else ""
    inside = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
    return f"{root}: none of the view folders {', '.join(View)} (found {inside}){hint}"


def _with_ids(root: Path, found: list[tuple[View, str, str, Path]], task: Task) -> tuple[list[ArchiveImage], list[str]]:
    names = [facts_of_name(path.name) for *_, path in found]
    bare = [_without_view(path.stem) for *_, path in found]
    ambiguous = _ambiguous(found, bare)
    stems = Counter(path.stem for *_, path in found)
    taken = Counter[str]()
    images, guessed, alone = [], 0, 0
    for (view, split, label, path), facts, stem in zip(found, names, bare, strict=True):
        if facts.view is not None and facts.view != view:
            raise DatasetError(f"{path}: its name says {facts.view}, its folder {view}; put it where it belongs")
        if _other_class(facts.label, label, task):
            raise DatasetError(f"{path}: its name says {facts.label}, its folder {label}; put it where it belongs")
        if facts.subject_id:
            subject = facts.subject_id
        elif stem in ambiguous:
            subject, alone = f"{view}-{label}-{path.stem}", alone + 1
        else:
            subject, guessed = stem, guessed + 1
        source = path.relative_to(root).as_posix()
        image_id = path.stem if stems[path.stem] == 1 else re.sub(r"[/\\]", "-", source.rsplit(".", 1)[0])
        taken[image_id] += 1
        image_id += f"_{taken[image_id]}" if taken[image_id] > 1 else ""
        images.append(
            ArchiveImage(path, source, image_id, subject, facts.exam_id or "1", view, {task.name: label}, split)
        )
    notes = []
    if guessed:
        notes.append(f"{guessed} names carry no ids of a known pattern: one name in several views is one subject")
    if alone:
        notes.append(f"{alone} names carry no ids and clash between classes or within a view: each is its own subject")
    return images, notes


def _other_class(named: str | None, label: str, task: Task) -> bool:
    try:
        return named is not None and task.class_of(named) != label
    except ValueError:  # the name's third word is no class of this task
        return False


def _without_view(stem: str) -> str:
    words = re.split(r"([^A-Za-z0-9]+)", stem)
    kept = [
        word for word in words if not re.fullmatch(r"(R|L|RIGHT|LEFT|CC|MLO|[RL](CC|MLO)|(CC|MLO)[RL])", word, re.I)
    ]
    return "".join(kept).strip("-_ .") or stem


def _ambiguous(found: list[tuple[View, str, str, Path]], bare: list[str]) -> set[str]:
    labels: dict[str, set[str]] = defaultdict(set)
    for (_, _, label, _), stem in zip(found, bare, strict=True):
        labels[stem].add(label)
    views = Counter((view, stem) for (view, *_), stem in zip(found, bare, strict=True))
    return {stem for stem in labels if len(labels[stem]) > 1 or any(views[v, stem] > 1 for v in View)}


def _refuse_two_labels(images: list[ArchiveImage], task: Task) -> None:
    first: dict[tuple[str, str], ArchiveImage] = {}
    for image in images:
        other = first.setdefault((image.subject_id, image.exam_id), image)
        if other.labels != image.labels and task.breast_to_subject == "mean":
            raise DatasetError(
                f"{image.source} is {image.labels[task.name]}, {other.source} of the same exam is "
                f"{other.labels[task.name]}; one exam has one {task.name}"
            )


def write_folders(dataset: Dataset) -> None:
    """Write a dataset in this layout, `folders/<task>/<VIEW>/<split>/<CLASS>/`, of hard links (or copies).

    Images in shards are left out: shards are there so that there is no file for each image.
    """
    for name in dataset.task_names():
        rows = dataset.rows(task=TASKS[name]).to_dict("records")
        for row, file_name in zip(rows, _tree_names(rows, name), strict=True):
            if in_shard(dataset.root / row["file"]):
                continue
            target = dataset.root / "folders" / name / row["view"] / row["split"] / row[name] / file_name
            link_or_copy(dataset.root / row["file"], target)


def _tree_names(rows: Sequence[Mapping[Any, str]], task: str) -> list[str]:
    plain = [
        "_".join(part.replace("_", "-") for part in (row["subject_id"], row["exam_id"], row[task])) + f"_{row['view']}"
        for row in rows
    ]
    counts = Counter(plain)
    return [f"{name if counts[name] == 1 else row['image_id']}.png" for name, row in zip(plain, rows, strict=True)]
