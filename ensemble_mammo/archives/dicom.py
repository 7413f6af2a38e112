"""Any tree of DICOM files or images; labels, and what headers do not say, from CSV tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.pseudonyms import Pseudonyms
from ensemble_mammo.archives.tables import FileKeyed, read_labels, read_views
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.engine import LOCAL, Engine, spread
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.read import is_image_file, read_facts
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.naming import StatedView, facts_of_name, only_view_words
from ensemble_mammo.records.subject import Projection, Side, View
from ensemble_mammo.records.task import task_named

HEADER_SECONDS = 30.0
"""How long the header of one file may take."""

MOST_OF_A_VIEW = 5
"""Images of one view that one subject has at most in real archives (RSNA)."""


@dataclass(frozen=True)
class FoundImage:
    """An image file with what its header, its name and the views table say of it."""

    path: Path
    "the file"
    source: str
    "relative to where the search began"
    facts: HeaderFacts
    "of its header"
    view: View | None
    "None: not known, or not one of the four"
    problem: str = ""
    "why there is no view"
    conflict: bool = False
    "whether two sources contradict each other"


@dataclass(frozen=True)
class FoundFiles:
    """What lies below a folder; each file stands in one of the three."""

    images: list[FoundImage]
    "those whose header was read"
    others: list[tuple[str, str]]
    "(file, reason) of what is no image"
    unreadable: list[tuple[str, str]]
    "(file, reason) of images whose header cannot be read"

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """(file, reason) of all that is no mammogram with a view: others, unreadable ones, images without a view."""
        return self.others + self.unreadable + [(i.source, i.problem) for i in self.images if not i.view]


def find_images(
    root: Path, views: FileKeyed[StatedView] | None, workers: int = 0, engine: Engine = LOCAL
) -> FoundFiles:
    """Find every image below a folder and read its header, in worker processes.

    Raises:
        DatasetError: no such folder, nothing in it, or a views table that does not say which file it means.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise DatasetError(f"{root}: the folder is empty; expected DICOM files or images")
    wanted = [path for path in paths if is_image_file(path)]
    others = [(p.relative_to(root).as_posix(), "not an image") for p in sorted(set(paths) - set(wanted))]
    stated = views.of([path.relative_to(root).as_posix() for path in wanted]) if views else {}
    found: list[FoundImage] = []
    unreadable: list[tuple[str, str]] = []
    for outcome in spread(read_facts, wanted, workers, HEADER_SECONDS, engine):
        source = outcome.item.relative_to(root).as_posix()
        if outcome.value is None:
            unreadable.append((source, outcome.error.removeprefix(f"{outcome.item}: ")))
        else:
            found.append(found_image(outcome.item, source, outcome.value, stated.get(source, StatedView())))
    return FoundFiles(found, others, unreadable)


def found_image(path: Path, source: str, facts: HeaderFacts, stated: StatedView) -> FoundImage:
    """A file with its view: by the views table, else by header and name, which must not contradict each other."""
    if stated.other:
        return FoundImage(path, source, facts, None, f"the views table says {stated.other}")
    named = facts_of_name(source)
    conflicts = []
    if not stated.projection and facts.projection and named.projection and facts.projection != named.projection:
        conflicts.append(f"view {facts.projection} in the header, {named.projection} in the file name")
    if not stated.side and facts.side and named.side and facts.side != named.side:
        conflicts.append(f"{facts.side} breast in the header, {named.side} in the file name")
    if facts.problem and not (stated.projection and stated.side):
        conflicts.append(facts.problem)
    if conflicts:
        return FoundImage(path, source, facts, None, "; ".join(conflicts), True)
    if not (stated.projection or facts.projection) and facts.view_text:
        return FoundImage(path, source, facts, None, f"view {facts.view_text} is neither CC nor MLO")
    projection: Projection | None = stated.projection or facts.projection or named.projection
    side: Side | None = stated.side or facts.side or named.side
    if projection and side:
        return FoundImage(path, source, facts, View.of(projection, side))
    unknown = "view and side" if not (projection or side) else "side" if projection else "view"
    return FoundImage(
        path, source, facts, None, f"{unknown} not known from header or name; say it in a CSV (file, view) with --views"
    )


def list_dicom(root: Path, options: ArchiveOptions) -> Listing:
    """List any tree of DICOM files or images.

    The subject is the header's PatientID, else the labels table's subject where labels are joined by file, else
    the id in the file's name, else the first folder below `root` that is not called by a view or side. The exam is the
    StudyInstanceUID, else the study's date, else the one in the file's name.

    Raises:
        DatasetError: nothing usable there, or tables that cannot be right.
    """
    task = task_named(options.task)
    views = read_views(options.views) if options.views else None
    found = find_images(root, views, options.workers, options.engine)
    usable, left_out = [image for image in found.images if image.view], found.left_out
    if not usable:
        shown = "; ".join(f"{source}: {reason}" for source, reason in left_out[:3])
        raise DatasetError(f"{root}: no usable mammogram among {len(left_out)} files ({shown})")
    joined = _Labels(options, task.name, [image.source for image in found.images])
    pseudonyms = Pseudonyms(options.key, options.keep_ids)
    ids = [_ids(image, joined, pseudonyms) for image in usable]
    _refuse_crowds(root, usable, ids)
    images, seen = [], Counter[str]()
    for image, own in zip(usable, ids, strict=True):
        assert image.view is not None
        stem = f"{_safe(own.subject)}_{_safe(own.exam)}_{image.view}"
        seen[stem] += 1
        image_id = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
        label = joined.label(image.source, own.patient, own.study)
        labels = {task.name: label} if label else {}
        images.append(ArchiveImage(image.path, image.source, image_id, own.subject, own.exam, image.view, labels))
    hidden = not options.keep_ids and any(image.facts.patient_id for image in found.images)
    return Listing(tuple(images), tuple(left_out), tuple(found.unreadable), tuple(joined.notes(images)), hidden=hidden)


class _Ids(NamedTuple):
    subject: str
    exam: str
    patient: str
    "the subject before it became a pseudonym"
    study: str
    "the exam before it became a pseudonym"
    by_folder: bool
    "whether nothing but a folder says who the subject is"


def _ids(image: FoundImage, labels: _Labels, pseudonyms: Pseudonyms) -> _Ids:
    facts, named = image.facts, facts_of_name(image.source)
    stated = facts.patient_id or labels.subject_of(image.source) or named.subject_id
    folders = Path(image.source).parent.parts
    patient = stated or next((name for name in folders if not only_view_words(name)), "")
    if not patient:
        raise DatasetError(
            f"{image.path}: no PatientID in the header and no folder of its own; "
            "put each subject in a folder, or give --labels with --file-column and --subject-column"
        )
    study = facts.study_uid or facts.exam_date or named.exam_id or "1"
    subject = pseudonyms.of(patient) if facts.patient_id else patient
    exam = pseudonyms.of(study) if facts.study_uid else study
    return _Ids(subject, exam, patient, study, not stated)


def _refuse_crowds(root: Path, images: list[FoundImage], ids: list[_Ids]) -> None:
    """Refuse folders that cannot be subjects: those of classes, or of a whole archive."""
    counts = Counter((own.subject, image.view) for image, own in zip(images, ids, strict=True) if own.by_folder)
    crowds = [f"{name!r} {count} of {view}" for (name, view), count in counts.items() if count > MOST_OF_A_VIEW]
    if crowds:
        raise DatasetError(
            f"{root}: headers have no PatientID, and folders taken for subjects hold more than {MOST_OF_A_VIEW} "
            f"images of one view ({'; '.join(crowds[:3])}); "
            "name the subjects with --labels, --file-column and --subject-column"
        )


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "x"


class _Labels:
    """The labels table, joined by file, or by subject and exam, before ids become pseudonyms."""

    def __init__(self, options: ArchiveOptions, task: str, sources: Collection[str]) -> None:
        self.path = options.labels
        self.by_file: dict[str, str] | None = None
        self.subjects: dict[str, str] = {}
        self.by_key: dict[tuple[str, ...], str] = {}
        if options.labels is None:
            return
        column = options.label_column or task
        self.joined_by = options.file_column or " and ".join(
            filter(None, (options.subject_column, options.exam_column))
        )
        if options.file_column:
            keyed, table = read_labels(options.labels, task_named(task), column, [options.file_column])
            self.by_file = FileKeyed(options.labels, {key[0]: label for key, label in keyed.items()}).of(sources)
            if options.subject_column in table.columns:
                subjects = dict(zip(table[options.file_column], table[options.subject_column], strict=True))
                self.subjects = FileKeyed(options.labels, subjects).of(sources)
            return
        keys = [options.subject_column] + ([options.exam_column] if options.exam_column else [])
        self.by_key, _ = read_labels(options.labels, task_named(task), column, keys)
        self.with_exam = bool(options.exam_column)

    def subject_of(self, source: str) -> str:
        return self.subjects.get(source, "")

    def label(self, source: str, patient: str, study: str) -> str:
        if self.by_file is not None:
            return self.by_file.get(source, "")
        if not self.by_key:
            return ""
        return self.by_key.get((patient, study) if self.with_exam else (patient,), "")

    def notes(self, images: list[ArchiveImage]) -> list[str]:
        bare = sum(not image.labels for image in images)
        if self.path is None:
            return ["no --labels: every image is unlabelled"]
        if bare == len(images):
            raise DatasetError(
                f"{self.path}: none of its rows belongs to any of the {bare} images; "
                f"rows are joined by {self.joined_by}: name other columns with --subject-column, --file-column, "
                "--exam-column, or leave --labels out"
            )
        return [f"{bare} of {len(images)} images have no label in {self.path.name}"] if bare else []
