"""Subjects dealt to splits and folds: stratified by class, never by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SPLITS = ("train", "val", "test")
"""The names of the splits, as folders and as the manifest's column have them."""


def deal(labels: Mapping[str, str], shares: Sequence[float], seed: int) -> dict[str, int]:
    """Deal subjects to parts so that each part has its share of subjects and of every class.

    Args:
        labels: subject_id -> class (an empty text is a class of its own).
        shares: the share of each part; they add up to 1.
        seed: the same seed and subjects give the same parts, whatever order they come in.

    Returns:
        subject_id -> number of the part.

    Raises:
        ValueError: shares that are negative or do not add up to 1.
    """
    wanted = np.asarray(shares, dtype=float)
    if (wanted < 0).any() or not abs(wanted.sum() - 1) <= 1e-6:
        raise ValueError(f"shares {', '.join(f'{s:g}' for s in shares)} do not add up to 1")
    order = _shuffled_by_class(labels, np.random.default_rng(seed))
    counts = np.zeros(len(wanted))
    parts = {}
    for number, subject in enumerate(order, start=1):
        part = int(np.argmax(np.where(wanted > 0, wanted * number - counts, -np.inf)))
        counts[part] += 1
        parts[subject] = part
    return parts


def _shuffled_by_class(labels: Mapping[str, str], rng: np.random.Generator) -> list[str]:
    order: list[str] = []
    for label in sorted(set(labels.values())):
        members = sorted(subject for subject, own in labels.items() if own == label)
        order += [members[i] for i in rng.permutation(len(members))]
    return order
