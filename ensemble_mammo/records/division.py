"""The rows of a dataset divided into splits and folds: by subject, stratified by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ensemble_mammo.records.manifest import ImageRow
from ensemble_mammo.records.splits import SPLITS, deal
from ensemble_mammo.records.task import Task, highest_labels

Shares = tuple[float, float, float]
DEFAULT_SHARES: Shares = (0.8, 0.1, 0.1)
"""Shares of training, validation and test subjects, as in the INFN work."""
VALIDATION_SHARE = 0.2
"""Of the training subjects, where a release states training and test alone (as in the work on CBIS-DDSM)."""


@dataclass(frozen=True)
class Division:
    """How subjects are divided."""

    shares: Shares | None = None
    "of training, validation and test; None: splits that the archive states stay, other subjects are dealt 80:10:10"
    folds: int = 0
    "number of cross-validation folds; 0: none"
    seed: int = 0
    "the same seed and subjects give the same division"

    def __post_init__(self) -> None:
        """Refuse shares and folds that make no division."""
        shares = self.shares or DEFAULT_SHARES
        if any(share < 0 for share in shares) or not abs(sum(shares) - 1) <= 1e-6:
            raise ValueError(f"split {':'.join(f'{s:g}' for s in shares)} does not add up to 1")
        if self.folds == 1 or self.folds < 0:
            raise ValueError(f"folds is {self.folds}, expected 0 or at least 2")


def divided(
    rows: Sequence[ImageRow], labels: Sequence[str], task: Task, division: Division, validation_share: float = 0.0
) -> list[ImageRow]:
    """The rows with their splits and folds.

    Args:
        rows: one an image; `split` as the archive states it, or empty.
        labels: one a row, of the task; they stratify.
        task: its classes are ordered from lowest to highest.
        division: how.
        validation_share: share of stated training subjects that goes to validation where no row states one.
    """
    subjects = highest_labels(((row.subject_id, label) for row, label in zip(rows, labels, strict=True)), task)
    stated: Mapping[str, str] = {} if division.shares else {row.subject_id: row.split for row in rows if row.split}
    free = {subject: label for subject, label in subjects.items() if subject not in stated}
    splits = {s: SPLITS[part] for s, part in deal(free, division.shares or DEFAULT_SHARES, division.seed).items()}
    splits |= stated
    if validation_share and set(stated.values()) == {"train", "test"}:
        learning = {subject: subjects[subject] for subject, split in stated.items() if split == "train"}
        parts = deal(learning, (1 - validation_share, validation_share), division.seed)
        splits |= {subject: "val" for subject, part in parts.items() if part == 1}
    folds = deal(subjects, [1 / division.folds] * division.folds, division.seed) if division.folds else {}
    torn = _torn(rows) if not division.shares else set()
    return [
        replace(
            row,
            split=row.split if row.subject_id in torn and row.split else splits[row.subject_id],
            fold=str(folds.get(row.subject_id, "")),
        )
        for row in rows
    ]


def _torn(rows: Sequence[ImageRow]) -> set[str]:
    """Subjects whose images the archive puts into several splits, and the user wants it so."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        seen.setdefault(row.subject_id, set()).add(row.split)
    return {subject for subject, splits in seen.items() if len(splits) > 1}
