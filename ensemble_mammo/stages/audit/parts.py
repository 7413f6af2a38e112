"""What stands in more than one split: the table that leaks are looked for in, and the problems that they are."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from ensemble_mammo.records.groups import Groups
from ensemble_mammo.records.leaks import Leak, leaks_of
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.problem import Problem, problem
from ensemble_mammo.stages.audit.sets import Looked, Pairs


def table_of(looked: Looked, near: Pairs, dataset: Dataset | None) -> pd.DataFrame:
    """What leaks are looked for in: ids, splits, hashes of pixels, groups of near duplicates."""
    seen = pd.DataFrame(
        {
            "file": [entry.name for entry, _ in looked],
            "pixel_sha256": [one.pixel_sha256 for _, one in looked],
            "near": _near_groups(len(looked), near),
        },
        dtype=str,
    )
    if dataset is None:
        entries = [entry for entry, _ in looked]
        seen["subject_id"] = [entry.subject for entry in entries]
        seen["exam_id"] = [entry.exam for entry in entries]
        seen["image_id"] = [entry.image_id for entry in entries]
        seen["view"] = [entry.view.value if entry.view else "" for entry in entries]
        seen["split"] = [entry.split for entry in entries]
        return seen
    return dataset.table.merge(seen.drop_duplicates("file"), on="file", how="left").fillna("")


def _near_groups(count: int, near: Pairs) -> list[str]:
    """A name for each group of near duplicates; empty for pictures without one."""
    groups = Groups(range(count))
    for i, j in near:
        groups.join(i, j)
    sizes = Counter(groups.of(i) for i in range(count))
    return [f"near-{groups.of(i)}" if sizes[groups.of(i)] > 1 else "" for i in range(count)]


def leaks_in(table: pd.DataFrame) -> tuple[list[Leak], list[Problem]]:
    """Everything in more than one split, and a problem for each."""
    leaks = leaks_of(table, [("near duplicate", "near")])
    files = table["file"] if "file" in table.columns else None
    problems = []
    for leak in leaks:
        places = [str(files.iloc[row]) for row in leak.rows] if files is not None else []
        problems.append(
            problem("leak", leak.name if leak.what == "subject" or not places else places[0], str(leak), *places)
        )
    return leaks, problems
