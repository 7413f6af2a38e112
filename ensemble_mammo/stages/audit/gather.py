"""What an audit looks at: a prepared dataset, an archive of a known kind, or files as they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ensemble_mammo.archives import KINDS
from ensemble_mammo.archives.dicom import MOST_OF_A_VIEW, FoundImage, found_image
from ensemble_mammo.archives.folders import looks_like_folders
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.tables import read_views
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.read import is_image_file
from ensemble_mammo.records.archive import Listing
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.naming import StatedView, facts_of_name, only_view_words
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.problem import Problem, problem
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS


@dataclass(frozen=True)
class Entry:
    """One file to look at, with what is known of it before it is opened."""

    path: Path
    "the file"
    name: str
    "how it is called: relative to the archive, or its path in the dataset"
    image_id: str = ""
    "in a dataset or a known archive"
    subject: str = ""
    "the patient; empty: not known"
    exam: str = ""
    "the visit"
    view: View | None = None
    "as stated by manifest, tables, header or name"
    split: str = ""
    "as stated"
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    "task -> class"
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    "columns of the manifest that the archive's tables fill"
    turned: bool = False
    "whether the archive knows that light and dark are exchanged"
    hidden: bool = False
    "whether the archive's PatientIDs became pseudonyms, so that paths are to be hidden too"
    by_folder: bool = False
    "whether nothing but a folder says who the subject is"


@dataclass(frozen=True)
class Gathered:
    """All that an audit looks at."""

    entries: tuple[Entry, ...]
    "the files"
    source: str
    "'dataset', the kind of archive, or 'files'"
    problems: tuple[Problem, ...] = ()
    "what was wrong before any file was opened"
    preparation: Preparation | None = None
    "of a prepared dataset"
    stated: Mapping[str, StatedView] = field(default_factory=dict)
    "name -> what a views table says of it"


def of_dataset(dataset: Dataset) -> Gathered:
    """The images of a prepared dataset."""
    tasks = dataset.task_names()
    entries = [
        Entry(
            dataset.root / row["file"],
            row["file"],
            row["image_id"],
            row["subject_id"],
            row["exam_id"],
            View(row["view"]),
            row["split"],
            {task: row[task] for task in tasks if row[task]},
        )
        for row in dataset.table.to_dict("records")
    ]
    return Gathered(tuple(entries), "dataset", preparation=dataset.preparation)


def of_archive(kind: str, root: Path, options: ArchiveOptions) -> Gathered:
    """The images that a kind of archive lists; a listing that is refused becomes a problem.

    Raises:
        DatasetError: no such kind.
    """
    if kind not in KINDS:
        raise DatasetError(f"archive kind {kind!r} is not one of {', '.join(KINDS)}")
    try:
        listing: Listing = KINDS[kind].listing(root, replace(options, as_released=True))
    except DatasetError as error:
        loose = of_files(root, None) if root.is_dir() else Gathered((), kind)
        return replace(loose, problems=(problem("archive", str(root), str(error)), *loose.problems))
    entries = [
        Entry(
            i.path,
            i.source,
            i.image_id,
            i.subject_id,
            i.exam_id,
            i.view,
            i.split,
            i.labels,
            i.facts,
            i.turned,
            listing.hidden,
        )
        for i in listing.images
    ]
    unreadable = dict(listing.unreadable)
    problems = [problem("unreadable", name, reason) for name, reason in listing.unreadable]
    problems += [
        problem(_code_of(reason), name, reason)
        for name, reason in listing.left_out
        if name not in unreadable and reason != "not an image" and _code_of(reason)
    ]
    return Gathered(tuple(entries), kind, tuple(problems))


def _code_of(reason: str) -> str:
    """The kind of problem that a listing's reason for leaving a file out is; '' for none."""
    if "in the header" in reason or "contradicts itself" in reason:
        return "conflict"
    if "not known" in reason:
        return "no-view"
    return "other-view" if "view" in reason else ""


def of_files(root: Path, views: Path | None) -> Gathered:
    """Every image file below a folder; a tree of class folders is read as such.

    Raises:
        DatasetError: no such folder, or no image in it.
    """
    if not root.is_dir():
        found = "is a file, expected a folder (a manifest: --kind manifest)" if root.exists() else "no such folder"
        raise DatasetError(f"{root}: {found}")
    if views is None and looks_like_folders(root):
        task = next((name for name in TASKS if _has_classes(root, TASKS[name].classes)), "density")
        return of_archive("folders", root, ArchiveOptions(task=task))
    paths = sorted(p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".") and is_image_file(p))
    if not paths:
        raise DatasetError(f"{root}: no image file below it; expected DICOM, PNG, TIFF, PGM, JPEG or WebP")
    names = [path.relative_to(root).as_posix() for path in paths]
    stated = read_views(views).of(names) if views else {}
    return Gathered(tuple(Entry(path, name) for path, name in zip(paths, names, strict=True)), "files", stated=stated)


def _has_classes(root: Path, classes: tuple[str, ...]) -> bool:
    folders = {path.name for view in View for path in (root / view).glob("*/") if path.is_dir()}
    folders |= {path.name for view in View for path in (root / view).glob("*/*/") if path.is_dir()}
    return len(folders & set(classes)) >= 2


def completed(entry: Entry, facts: HeaderFacts, stated: StatedView) -> tuple[Entry, FoundImage]:
    """A loose file with what its header and its name say of subject, exam and view."""
    found = found_image(entry.path, entry.name, facts, stated)
    named = facts_of_name(entry.name)
    folders = Path(entry.name).parent.parts
    stated_id = facts.patient_id or named.subject_id
    subject = stated_id or next((f for f in folders if not only_view_words(f)), "")
    exam = facts.study_uid or facts.exam_date or named.exam_id or ""
    return replace(entry, subject=subject, exam=exam, view=found.view, by_folder=not stated_id), found


def without_crowds(entries: Sequence[Entry]) -> list[Entry]:
    """Folders that hold more images of a view than a subject has are no subjects: theirs are not known."""
    counts = Counter((one.subject, one.view) for one in entries if one.by_folder and one.subject)
    crowds = {subject for (subject, _), count in counts.items() if count > MOST_OF_A_VIEW}
    return [replace(one, subject="") if one.by_folder and one.subject in crowds else one for one in entries]
