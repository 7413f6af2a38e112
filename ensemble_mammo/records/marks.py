"""Marks of subjects: enough for a run to say whom it learned from, without her id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

import pandas as pd

_DIGITS = 10


def mark_of(subject: str) -> str:
    """The first digits of a SHA-256: the same for the same id, and not the id."""
    return hashlib.sha256(f"subject {subject}".encode()).hexdigest()[:_DIGITS]


def marks_of(subjects: Iterable[str]) -> list[str]:
    """The marks of some subjects, each once, in order."""
    return sorted({mark_of(subject) for subject in subjects})


def own_ids(rows: pd.DataFrame) -> dict[str, str]:
    """subject_id -> the id that she has in her own dataset: of joined ones without the collection's name.

    Args:
        rows: of a manifest, with the columns subject_id and collection.
    """
    pairs = zip(rows["subject_id"], rows["collection"], strict=True)
    return {subject: subject.removeprefix(f"{name}-") if name else subject for subject, name in pairs}


def marks_of_rows(rows: pd.DataFrame) -> list[str]:
    """The marks of the subjects of rows, under the ids that they have here and in their own datasets."""
    own = own_ids(rows)
    return marks_of([*own, *own.values()])


def marked_rows(rows: pd.DataFrame, marks: Collection[str]) -> set[str]:
    """The subjects of rows whose id, here or in their own dataset, is among these marks."""
    known = set(marks)
    return {subject for subject, own in own_ids(rows).items() if mark_of(subject) in known or mark_of(own) in known}
