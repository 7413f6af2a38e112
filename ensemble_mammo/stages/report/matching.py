"""Several systems held side by side: the exams that all of them have, matched by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.records.predictions import Predictions
from ensemble_mammo.records.subject import LEVELS
from ensemble_mammo.stages.report.study import rows_taken


def common_exams(
    systems: Mapping[str, Mapping[str, Predictions]],
) -> tuple[dict[str, dict[str, Predictions]], list[str]]:
    """The levels that all systems have, restricted to the exams that all of them have there, in one order.

    Exams are matched by subject_id and exam_id, or by subject_id alone where every system has one exam a subject at
    that level: then they are called what the first system calls them.

    Args:
        systems: name -> level -> rows.

    Returns:
        name -> level -> rows, row i being the same exam in all systems; and what must be noted.

    Raises:
        PredictionError: no level in common, no exam in common, or files without ids that cannot be matched.
    """
    shared = [level for level in LEVELS if all(level in levels for levels in systems.values())]
    if not shared:
        having = "; ".join(f"{name} has {', '.join(levels)}" for name, levels in systems.items())
        raise PredictionError(f"the systems have no level in common: {having}; give each the files of a common level")
    notes: list[str] = []
    of_notes: dict[str, list[str]] = {}
    if lacking := [level for level in LEVELS if any(level in one for one in systems.values()) and level not in shared]:
        notes.append(f"not compared, since not every system has it: {', '.join(lacking)}")
    found: dict[str, dict[str, Predictions]] = {name: {} for name in systems}
    for level in shared:
        rows, said = _matched(level, {name: levels[level] for name, levels in systems.items()})
        for note in said:
            of_notes.setdefault(note, []).append(level)
        for name, one in rows.items():
            found[name][level] = one
    return found, notes + [f"{', '.join(levels)}: {note}" for note, levels in of_notes.items()]


def _matched(level: str, rows: Mapping[str, Predictions]) -> tuple[dict[str, Predictions], list[str]]:
    """The rows of one level that all systems have, in the order of the first, called as it calls them."""
    _refuse_nameless(level, rows)
    notes = []
    keys, by_subject = _keys(rows)
    common = set.intersection(*map(set, keys.values()))
    if not common:
        raise PredictionError(_nothing_shared(level, rows))
    if by_subject:
        notes.append("exam ids differ between systems; each subject has one exam, matched by subject_id")
    first = next(iter(rows))
    order = [key for key in keys[first] if key in common]
    found = {}
    for name, p in rows.items():
        place_of = {key: place for place, key in enumerate(keys[name])}
        found[name] = rows_taken(p, np.array([place_of[key] for key in order]))
        found[name] = replace(found[name], exam_ids=found[first].exam_ids)
    if not all(p.identified for p in rows.values()):
        notes.append("no ids: rows of the systems are taken to be the same subjects in the same order")
    left_out = {name: len(p) - len(common) for name, p in rows.items() if len(p) > len(common)}
    if left_out:
        counts = ", ".join(f"{name} {count}" for name, count in left_out.items())
        notes.append(f"{len(common)} exams are in all systems; left out of all figures: {counts}")
    return found, notes


def _keys(rows: Mapping[str, Predictions]) -> tuple[dict[str, list[tuple[str, str]]], bool]:
    """What the rows of each system are matched by, and whether that is the subject alone."""
    keys = {name: p.keys for name, p in rows.items()}
    one_exam_each = all(len(set(p.subject_ids)) == len(p) for p in rows.values())
    if set.intersection(*map(set, keys.values())) or not one_exam_each:
        return keys, False
    return {name: [(subject, "") for subject in p.subject_ids] for name, p in rows.items()}, True


def _refuse_nameless(level: str, rows: Mapping[str, Predictions]) -> None:
    nameless = [name for name, p in rows.items() if not p.identified]
    if not nameless:
        return
    if len(nameless) < len(rows):
        raise PredictionError(
            f"{level}: files of {', '.join(nameless)} carry no ids, those of the other systems do: exams cannot be "
            "matched; give ids (predictions_<view>.ids.csv beside the file) for all or for none"
        )
    if len({len(p) for p in rows.values()}) > 1:
        counts = ", ".join(f"{name} {len(p)}" for name, p in rows.items())
        raise PredictionError(
            f"{level}: files without ids differ in their number of rows ({counts}): exams cannot be matched; give ids"
        )


def _nothing_shared(level: str, rows: Mapping[str, Predictions]) -> str:
    shown = "; ".join(
        f"{name} has " + ", ".join(f"{subject!r} exam {exam!r}" for subject, exam in p.keys[:2])
        for name, p in rows.items()
    )
    return (
        f"{level}: the systems have no exam in common: {shown}; write subject_id and exam_id alike, or read ids "
        "otherwise with --columns pattern=…"
    )
