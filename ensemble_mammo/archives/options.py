"""What a user may say about an archive that its files do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.execution.engine import LOCAL, Engine
from ensemble_mammo.records.task import task_named


@dataclass(frozen=True)
class ArchiveOptions:
    """Tables and columns that complete what file names and headers say."""

    task: str = "density"
    "the task whose labels are read"
    labels: Path | None = None
    "CSV with the labels"
    label_column: str = ""
    "its column of classes; empty: the task's name"
    subject_column: str = "patient_id"
    "its column of patients, as the header's PatientID or the file's folder has them"
    file_column: str = ""
    "its column of files (path, name or name without ending); empty: labels are joined by subject"
    exam_column: str = ""
    "its column of exams; empty: a label holds for all exams of its subject"
    annotations: Path | None = None
    "COCO file with the lesions; None: the one JSON file of the archive"
    id_pattern: str = ""
    """regular expression on file names, with groups among subject, exam, side, view, image; empty: the kind's own"""
    fixes: Path | None = None
    "fixes.csv of an audit of this archive: images left out, turned, put into another split"
    as_released: bool = False
    "patients whom the release puts into both training and test stay in both (a leak that the audit names)"
    views: Path | None = None
    "CSV (file, view) that says what headers and names do not; `image_id` and `laterality` are read too"
    keep_ids: bool = False
    "PatientIDs stay as they are (public data); otherwise they become keyed pseudonyms"
    key: Path | None = None
    "file with the key of the pseudonyms, made if missing; None: `<dataset>.key` beside the dataset"
    workers: int = 0
    "processes that read headers; 0: one a core"
    engine: Engine = LOCAL
    "where they run"

    def __post_init__(self) -> None:
        """Refuse an unknown task."""
        task_named(self.task)
