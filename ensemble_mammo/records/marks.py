"""Marks of subjects: enough for a run to say whom it learned from, without her id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

_DIGITS = 10


def mark_of(subject: str) -> str:
    """The first digits of a SHA-256: the same for the same id, and not the id."""
    return hashlib.sha256(f"subject {subject}".encode()).hexdigest()[:_DIGITS]


def marks_of(subjects: Iterable[str]) -> list[str]:
    """The marks of some subjects, each once, in order."""
    return sorted({mark_of(subject) for subject in subjects})


def marked(subjects: Iterable[str], marks: Collection[str]) -> set[str]:
    """The subjects whose marks are among these."""
    known = set(marks)
    return {subject for subject in subjects if mark_of(subject) in known}
