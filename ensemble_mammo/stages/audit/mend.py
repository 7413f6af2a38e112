"""--fix: a corrected manifest beside what was audited, each decision logged with what stood there before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.folders import write_folders
from ensemble_mammo.archives.pseudonyms import Pseudonyms
from ensemble_mammo.imaging.inspect import Inspection
from ensemble_mammo.records.files import beside, link_or_copy, write_text
from ensemble_mammo.records.groups import Groups
from ensemble_mammo.records.leaks import Leak
from ensemble_mammo.records.lesion import LESIONS
from ensemble_mammo.records.manifest import MANIFEST, Dataset, read_description, write_table
from ensemble_mammo.records.problem import Problem
from ensemble_mammo.records.shards import files_behind, members_among
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.audit.gather import Entry

_log = logging.getLogger(__name__)
FIXES = "fixes.csv"
_LEFT_OUT = "left_out.csv"


@dataclass(frozen=True)
class Fix:
    """One decision: what a cell held, what it holds now, and why. Putting `before` back undoes it."""

    file: str
    "the file, as the audited folder calls it"
    column: str
    "the manifest's column; 'row' where the whole row was left out (it then stands in left_out.csv)"
    before: str
    "what stood there"
    after: str
    "what stands there now"
    reason: str
    "why"


def mend_dataset(dataset: Dataset, problems: Sequence[Problem], leaks: Sequence[Leak], out: Path) -> list[Fix]:
    """Write a corrected dataset: images linked, leaking subjects out of training, bad images left out.

    Subjects in several splits go to test where they stand in it, else to validation. Pictures under two subjects are
    left out, all copies; of copies under one subject the first stays; what cannot be read is left out.

    Args:
        dataset: what was audited; nothing in it is changed.
        problems: what the audit found.
        leaks: what stands in more than one split; `rows` are those of the dataset's table.
        out: the corrected dataset's folder.
    """
    table = dataset.table.copy()
    fixes = _left_out(problems)
    gone = {fix.file for fix in fixes}
    fixes += _one_split_each(table, leaks, gone)
    kept = table[~table["file"].isin(sorted(gone))].reset_index(drop=True)
    named = [*kept["file"], *kept["full_file"]]
    lesions = dataset.lesions()
    if len(lesions):
        own = lesions[lesions["image_id"].isin(kept["image_id"])]
        named += [*own["mask"], *own["full_mask"]]
        write_text(out / LESIONS, own.to_csv(index=False, lineterminator="\n"))
    for file in files_behind(dataset.root, named):
        link_or_copy(dataset.root / file, out / file)
    if (dataset.table["split"] == "train").any() and not (kept["split"] == "train").any():
        _log.warning("no image of training is left: the leaks join all of its subjects with others")
    dropped = table[table["file"].isin(sorted(gone))]
    write_text(out / _LEFT_OUT, dropped.to_csv(index=False, lineterminator="\n"))
    _write_fixes(out, fixes)
    write_folders(Dataset(out, kept, dataset.preparation))
    description = read_description(dataset.root)
    mended = {"from": str(dataset.root), "fingerprint": dataset.fingerprint(), "fixes": len(fixes)}
    packed = bool(members_among(kept["file"]).any())
    write_table(out, kept, description | {"mended": mended}, parquet=packed)
    return fixes


def _left_out(problems: Sequence[Problem]) -> list[Fix]:
    fixes: dict[str, Fix] = {}
    for one in problems:
        if one.code == "unreadable":
            gone: tuple[str, ...] = (one.where,)
        elif one.code in ("duplicate-subject", "duplicate-conflict"):
            gone = (one.where, *one.others)
        elif one.code == "duplicate":
            gone = one.others
        else:
            continue
        for file in gone:
            found = one.found if file == one.where else f"the same pixels as {one.where}"
            fixes.setdefault(file, Fix(file, "row", "kept", "left out", f"{one.code}: {found}"))
    return list(fixes.values())


def _one_split_each(table: pd.DataFrame, leaks: Sequence[Leak], gone: set[str]) -> list[Fix]:
    """Put all subjects that leaks join, directly or through others, into one split that is not training."""
    fixes: list[Fix] = []
    for column in ("split", "fold"):
        groups, reasons = Groups[str](), dict[str, str]()
        for leak in (leak for leak in leaks if leak.splits[0].startswith("fold") == (column == "fold")):
            subjects = [str(table["subject_id"].iloc[row]) for row in leak.rows]
            for subject in subjects:
                groups.join(subjects[0], subject)
                reasons.setdefault(subject, f"leak: {leak}")
        members: dict[str, list[str]] = {}
        for subject in reasons:
            members.setdefault(groups.of(subject), []).append(subject)
        for together in members.values():
            rows = table.index[table["subject_id"].isin(together) & ~table["file"].isin(sorted(gone))]
            present = set(table.loc[rows, column]) - {""}
            if len(present) < 2:
                continue
            target = min(present) if column == "fold" else "test" if "test" in present else "val"
            for row in rows:
                before = str(table.loc[row, column])
                if before not in ("", target):
                    reason = reasons[str(table.loc[row, "subject_id"])]
                    fixes.append(Fix(str(table.loc[row, "file"]), column, before, target, reason))
                    table.loc[row, column] = target
    return fixes


def mend_files(
    root: Path,
    looked: Sequence[tuple[Entry, Inspection]],
    problems: Sequence[Problem],
    leaks: Sequence[Leak],
    out: Path,
    keep_ids: bool = False,
) -> list[Fix]:
    """Write manifest.csv for `prepare manifest OUT`: files with subject, view, split, labels; turned and left out.

    It has no lesions: of an archive that has them, and whose tables are to be read again, fixes.csv goes to
    `prepare KIND PATH --fixes OUT/fixes.csv`. PatientIDs become keyed pseudonyms; the key lies in `<OUT>.key`.

    Args:
        root: what was audited; nothing in it is changed.
        looked: its readable files.
        problems: what the audit found.
        leaks: what stands in more than one split; `rows` are numbers in `looked`.
        out: the folder to write to.
        keep_ids: PatientIDs stay as they are.
    """
    fixes = _left_out(problems)
    reasons = {fix.file: fix.reason for fix in fixes}
    hidden = Pseudonyms(beside(out, ".key"), keep_ids)
    tasks = [name for name in TASKS if any(name in entry.labels for entry, _ in looked)] or ["density"]
    rows = []
    for number, (entry, seen) in enumerate(looked, start=1):
        reason = reasons.get(entry.name, "")
        if not reason and (entry.view is None or not entry.subject):
            reason = "view or side not known" if entry.view is None else "subject not known"
            fixes.append(Fix(entry.name, "row", "kept", "left out", reason))
        if seen.inverted and not entry.turned:
            fixes.append(Fix(entry.name, "turn", "no", "yes", "inverted: its background is brighter than the breast"))
        secret = not keep_ids and bool(seen.facts.patient_id) and entry.subject == seen.facts.patient_id
        rows.append(
            {
                "file": str((root / entry.name).resolve()),
                "image_id": entry.image_id or f"image-{number:06d}",
                "subject_id": hidden.of(entry.subject) if secret else entry.subject,
                "exam_id": hidden.of(entry.exam) if secret and entry.exam else entry.exam,
                "view": entry.view.value if entry.view else "",
                "split": entry.split,
                **{name: entry.labels.get(name, "") for name in tasks},
                **dict(entry.facts),
                "turn": "yes" if seen.inverted or entry.turned else "",
                "hide": "yes" if secret or entry.hidden else "",
                "leave_out": reason,
            }
        )
    table = pd.DataFrame(rows, dtype=str).fillna("").assign(fold="")
    names = {row["file"]: entry.name for row, (entry, _) in zip(rows, looked, strict=True)}
    gone = {row["file"] for row in rows if row["leave_out"]}
    moved = _one_split_each(table, leaks, gone)
    fixes += [replace(fix, file=names[fix.file]) for fix in moved]
    _write_fixes(out, fixes)
    write_text(out / MANIFEST, table.drop(columns="fold").to_csv(index=False, lineterminator="\n"))
    return fixes


def _write_fixes(out: Path, fixes: Sequence[Fix]) -> None:
    columns = ["file", "column", "before", "after", "reason"]
    table = pd.DataFrame([astuple(fix) for fix in fixes], columns=columns)
    write_text(out / FIXES, table.to_csv(index=False, lineterminator="\n"))
