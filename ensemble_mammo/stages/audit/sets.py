"""Problems that only show when files are compared: copies, sides, projections, sizes, classes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from ensemble_mammo.imaging.inspect import Inspection
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.problem import Problem, problem
from ensemble_mammo.records.splits import SPLITS
from ensemble_mammo.records.subject import Projection, Side
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.audit.gather import Entry

Looked = Sequence[tuple[Entry, Inspection]]
"""Every file that could be read, with what was seen in it."""

Pairs = Sequence[tuple[int, int]]
"""Numbers of files in `Looked`, two and two."""

_AGREED = 0.95
"share of images that must agree before one side of the chest wall is taken for the set's rule"
_EXCHANGED = 0.5
"how much more the CC of a breast must look like an MLO than its MLO does (named so: 1 of 944 real breasts)"
_CC_ALONE, _MLO_ALONE = 1.5, -0.6
"scores of a view without its partner beyond which it is called the other projection (1 of 2,290 real views)"
_STANDS_OUT = 2.0
"how many times larger or smaller than the median a size or spacing must be"


def problems_of_set(
    looked: Looked, task_names: Sequence[str], near: Pairs, preparation: Preparation | None
) -> list[Problem]:
    """All problems that come of comparing files.

    Args:
        looked: the files.
        task_names: tasks whose classes are counted.
        near: pairs of near duplicates, as numbers in `looked`.
        preparation: of a prepared dataset, whose images are alike in size; None: other files.
    """
    problems = [*_copies(looked), *_near_copies(looked, near), *_projections(looked), *_classes(looked, task_names)]
    if preparation is None or preparation.orientation == "kept":
        problems += _sides(looked)
    if preparation is None:
        problems += [*_sizes(looked), *_spacings(looked), *_presentations(looked)]
    return problems


def _copies(looked: Looked) -> Iterator[Problem]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry, seen in looked:
        groups[seen.pixel_sha256].append(entry)
    for copies in groups.values():
        if len(copies) > 1:
            subjects = {entry.subject for entry in copies if entry.subject}
            first, *others = (entry.name for entry in copies)
            found = f"the same pixels as {_few(others)}"
            if len(subjects) > 1:
                yield problem("duplicate-subject", first, found, *others)
            elif stated := _contradictions(copies):
                yield problem("duplicate-conflict", first, f"{found}, but stated as {stated}", *others)
            else:
                yield problem("duplicate", first, found, *others)


def _contradictions(copies: Sequence[Entry]) -> str:
    """The views, or the classes of a task, that copies of one picture are stated as, where they differ."""
    views = sorted({entry.view.value for entry in copies if entry.view})
    if len(views) > 1:
        return " and ".join(views)
    for task in TASKS:
        classes = sorted({entry.labels[task] for entry in copies if entry.labels.get(task)})
        if len(classes) > 1:
            return " and ".join(classes)
    return ""


def _near_copies(looked: Looked, near: Pairs) -> Iterator[Problem]:
    for i, j in near:
        one, other = looked[i][0], looked[j][0]
        strangers = bool(one.subject and other.subject and one.subject != other.subject)
        code = "near-duplicate-subject" if strangers else "near-duplicate"
        yield problem(code, one.name, f"nearly the same picture as {other.name}", other.name)


def _sides(looked: Looked) -> Iterator[Problem]:
    """Chest walls on the other side than the rule of the set, or of the exam where the set has none."""
    known = [(entry, _usual(entry, seen)) for entry, seen in looked if entry.view and seen.chest]
    if not known:
        return
    overall = sum(usual for _, usual in known) / len(known)
    by_exam: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for entry, usual in known:
        by_exam[entry.subject, entry.exam].append(usual)
    for entry, usual in known:
        own = by_exam[entry.subject, entry.exam]
        if len(known) >= 8 and not 1 - _AGREED < overall < _AGREED:
            expected, whose = overall >= _AGREED, "of the set"
        elif entry.subject and len(own) >= 3 and own.count(not usual) == len(own) - 1:
            expected, whose = not usual, "of the exam"
        else:
            continue
        if usual != expected:
            assert entry.view is not None
            yield problem(
                "side-by-pixels",
                entry.name,
                f"stated as the {entry.view.side} breast, but its chest wall stands on the other side than in the rest "
                f"{whose}",
            )


def _usual(entry: Entry, seen: Inspection) -> bool:
    """Whether a left breast has its chest wall on the left, a right one on the right, as films are hung."""
    assert entry.view is not None
    return (entry.view.side == Side.LEFT) == (seen.chest == "left")


def _projections(looked: Looked) -> Iterator[Problem]:
    breasts: dict[tuple[str, str, str], dict[Projection, list[tuple[Entry, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for entry, seen in looked:
        if entry.view and not math.isnan(seen.mlo):
            key = (entry.subject or entry.name, entry.exam, entry.view.side)
            breasts[key][entry.view.projection].append((entry, seen.mlo))
    for views in breasts.values():
        if len(views) == 2:
            low, high = (median(score for _, score in views[one]) for one in (Projection.CC, Projection.MLO))
            if low - high > _EXCHANGED:
                cc, mlo = views[Projection.CC][0][0], views[Projection.MLO][0][0]
                found = f"looks more like an MLO ({low:.2f}) than {mlo.name}, which is called one ({high:.2f})"
                yield problem("view-by-pixels", cc.name, found, mlo.name)
            continue
        for entry, score in (pair for pairs in views.values() for pair in pairs):
            assert entry.view is not None
            if entry.view.projection == Projection.CC and score > _CC_ALONE:
                yield problem("view-by-pixels", entry.name, f"called CC, scores {score:.2f} as an MLO (CC: about 0)")
            if entry.view.projection == Projection.MLO and score < _MLO_ALONE:
                yield problem("view-by-pixels", entry.name, f"called MLO, scores {score:.2f} as one (MLO: about 1)")


def _sizes(looked: Looked) -> Iterator[Problem]:
    rows = median(seen.facts.rows for _, seen in looked)
    columns = median(seen.facts.columns for _, seen in looked)
    for entry, seen in looked:
        factors = (seen.facts.rows / rows, seen.facts.columns / columns)
        if any(not 1 / _STANDS_OUT <= factor <= _STANDS_OUT for factor in factors):
            yield problem(
                "size", entry.name, f"{seen.facts.rows} x {seen.facts.columns}, median {rows:g} x {columns:g}"
            )


def _spacings(looked: Looked) -> Iterator[Problem]:
    known = [(entry, seen.facts.pixel_spacing_mm) for entry, seen in looked if seen.facts.pixel_spacing_mm]
    if known:
        middle = median(spacing for _, spacing in known if spacing)
        for entry, spacing in known:
            if spacing and not 1 / _STANDS_OUT <= spacing / middle <= _STANDS_OUT:
                yield problem("spacing", entry.name, f"{spacing:g} mm, median {middle:g} mm")


def _presentations(looked: Looked) -> Iterator[Problem]:
    kinds = Counter(seen.facts.presentation for _, seen in looked if seen.facts.presentation)
    if len(kinds) > 1:
        yield problem("presentations", "the set", ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))


def _classes(looked: Looked, task_names: Sequence[str]) -> Iterator[Problem]:
    for name in task_names:
        subjects: Mapping[str, set[str]] = {label: set() for label in TASKS[name].classes}
        for entry, _ in looked:
            if label := entry.labels.get(name, ""):
                subjects[label].add(entry.subject)
        if not any(subjects.values()):
            continue
        for label, members in subjects.items():
            if len(members) < 2:
                code = "class-single" if members else "class-empty"
                yield problem(code, f"{name} {label}", f"{len(members)} subjects of this class")
        for split in (split for split in SPLITS if any(entry.split == split for entry, _ in looked)):
            there = {entry.labels.get(name, "") for entry, _ in looked if entry.split == split}
            missing = [label for label, members in subjects.items() if members and label not in there]
            if missing and len(missing) < len(subjects):
                yield problem(
                    "class-missing", f"{name} {split}", f"no subject of class {', '.join(missing)} in {split}"
                )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
