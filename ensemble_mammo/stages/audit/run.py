"""The verb: look at every file once, compare them, and say what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ensemble_mammo
from ensemble_mammo.archives.cbis_tables import looks_like_cbis_tables, overlapping_patients, read_cases
from ensemble_mammo.archives.manifest import MANIFEST_COLUMNS
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.execution.engine import LOCAL, Engine, running, spread
from ensemble_mammo.execution.journal import Journal
from ensemble_mammo.execution.progress import track
from ensemble_mammo.imaging.inspect import Inspection, inspect_file, inspection_from_json, inspection_to_json
from ensemble_mammo.imaging.likeness import near_duplicates
from ensemble_mammo.imaging.read import Limits, is_image_file
from ensemble_mammo.records.files import beside
from ensemble_mammo.records.leaks import Leak
from ensemble_mammo.records.manifest import (
    DESCRIPTION,
    MANIFEST,
    REQUIRED,
    manifest_of,
    read_dataset,
    read_description,
    read_manifest,
)
from ensemble_mammo.records.naming import StatedView
from ensemble_mammo.records.problem import Problem, problem
from ensemble_mammo.records.shards import state
from ensemble_mammo.records.tables import read_text_table
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.audit.files import problems_of_file
from ensemble_mammo.stages.audit.gather import (
    Entry,
    Gathered,
    completed,
    of_archive,
    of_dataset,
    of_files,
    without_crowds,
)
from ensemble_mammo.stages.audit.lesions import problems_of_lesions
from ensemble_mammo.stages.audit.mend import mend_dataset, mend_files
from ensemble_mammo.stages.audit.parts import leaks_in, table_of
from ensemble_mammo.stages.audit.result import Audit, file_rows, gravest_first
from ensemble_mammo.stages.audit.sets import problems_of_set

if TYPE_CHECKING:
    from ensemble_mammo.stages.audit.shortcuts import ProbeFinding, ShortcutOptions

_log = logging.getLogger(__name__)
_JOURNAL = ".audit.jsonl"


@dataclass(frozen=True)
class AuditOptions:
    """What is looked at, and how."""

    kind: str = ""
    "kind of archive, one of archives.KINDS; empty: a dataset, CBIS-DDSM's tables, class folders, or loose files"
    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    "tables that complete what files say; `views` is read for loose files too"
    limits: Limits = field(default_factory=Limits)
    "what one file may cost"
    shortcuts: ShortcutOptions | None = None
    "probe a dataset for shortcuts to the label; None: do not"
    fix: bool = False
    "write a corrected manifest into the output folder, every decision logged"
    workers: int = 0
    "processes; 0: one a core"
    engine: Engine = LOCAL
    "where files are looked at; headers of an archive: `archive.engine`"


def audit(path: Path, out: Path | None, options: AuditOptions | None = None) -> Audit:
    """Look at a prepared dataset, an archive, or files as they lie; change nothing in it.

    Args:
        path: the folder.
        out: folder for audit.json, audit.csv and audit.html (with `fix`: for the corrected manifest, and those three
            in `audit/` below it); None: nothing is written.
        options: how.

    Raises:
        DatasetError: nothing there that can be audited, or shortcuts or mending asked for where there are none.
        OutputError: `out` lies inside what is audited, or holds a dataset.
    """
    options = options or AuditOptions()
    if out is not None:
        _refuse_target(path, out, options)
    nature = _nature(path, options.kind)
    if options.shortcuts and nature != "dataset":
        raise DatasetError(f"{path}: shortcuts are probed on a prepared dataset; prepare it first")
    with running(options.engine, options.workers):
        found = _found(nature, path, out, options)
    if out is not None:
        found.write(out / "audit" if options.fix else out)
    return found


def _found(nature: str, path: Path, out: Path | None, options: AuditOptions) -> Audit:
    if nature == "tables":
        if options.fix:
            raise DatasetError(f"{path}: tables alone are not mended; prepare cbis-ddsm moves these patients to test")
        return _of_tables(path)
    if nature == "division":
        return _of_division(path)
    if nature == "dataset":
        return _of_dataset(path, out, options)
    if nature == "files":
        return _of_files(path, out, of_files(path, options.archive.views), options)
    key = beside(out, ".key") if out is not None and options.fix else None
    archive = replace(options.archive, key=options.archive.key or key)
    return _of_files(path, out, of_archive(nature, path, archive), options)


def _refuse_target(path: Path, out: Path, options: AuditOptions) -> None:
    if out.resolve().is_relative_to(path.resolve()):
        raise OutputError(f"{out}: lies inside {path}, in which nothing is changed; give another --out")
    if options.fix and manifest_of(out) is not None:
        raise OutputError(f"{out}: holds a manifest already; give another --out")


def _nature(path: Path, kind: str) -> str:
    """'tables', 'dataset', 'division' (a table of patches or the like), 'files', or the kind of archive."""
    if kind:
        return kind
    if (manifest := manifest_of(path)) is not None:
        columns = set(read_manifest(manifest).columns)
        if columns >= set(MANIFEST_COLUMNS) and not (path / DESCRIPTION).is_file():
            return "manifest"
        return "dataset" if columns >= set(REQUIRED) else "division"
    if looks_like_cbis_tables(path):
        return "cbis-ddsm" if any(is_image_file(file) for file in path.rglob("*")) else "tables"
    return "files"


def _of_tables(path: Path) -> Audit:
    """CBIS-DDSM's released tables: the patients whom they put into training and test."""
    cases = read_cases(path)
    leaks, problems = [], []
    for patient, where in overlapping_patients(cases).items():
        rows = tuple(int(i) for i in (cases["patient_id"] == patient).to_numpy().nonzero()[0])
        leak = Leak("patient", patient, where.splits, rows)
        counts = ", ".join(f"{count} mammograms in {split}" for split, count in where.mammograms.items())
        found = f"{leak}: {counts}, {where.shared} of them in both; tables {', '.join(where.tables)}"
        leaks.append(leak)
        problems.append(problem("leak", patient, found))
    return Audit(str(path), "tables", len(set(cases["table"])), gravest_first(problems), tuple(leaks))


def _of_dataset(path: Path, out: Path | None, options: AuditOptions) -> Audit:
    dataset = read_dataset(path)
    looked, problems = _look(of_dataset(dataset), out, options)
    near = near_duplicates([seen for _, seen in looked])
    named = (str(read_description(path).get("task")), options.archive.task)
    tasks = [name for name in dataset.task_names() if name in named]
    problems += problems_of_set(looked, tasks, near, dataset.preparation)
    problems += problems_of_lesions(dataset)
    leaks, leak_problems = leaks_in(table_of(looked, near, dataset))
    problems += leak_problems
    findings: list[ProbeFinding] = []
    if options.shortcuts:
        from ensemble_mammo.stages.audit.shortcuts import probe_shortcuts

        findings = probe_shortcuts(dataset, options.shortcuts)
        problems += _shortcut_problems(findings)
    ordered, fixes = gravest_first(problems), 0
    if options.fix:
        if out is None:
            raise DatasetError(f"{path}: to mend it, give a folder for the corrected dataset with --out")
        fixes = len(mend_dataset(dataset, ordered, leaks, out))
    return Audit(
        str(path), "dataset", len(dataset.table), ordered, tuple(leaks), tuple(findings), dataset.fingerprint(),
        fixes, file_rows(looked, ordered), {entry.name: seen.thumbnail for entry, seen in looked},
    )  # fmt: skip


def _of_division(path: Path) -> Audit:
    """A table of patches or the like: its division alone is looked at."""
    table = read_text_table(path / MANIFEST)
    if "split" not in table.columns:
        raise DatasetError(f"{path / MANIFEST}: neither the columns of a dataset ({', '.join(REQUIRED)}) nor a split")
    leaks, problems = leaks_in(table)
    return Audit(str(path), "manifest", len(table), gravest_first(problems), tuple(leaks))


def _of_files(path: Path, out: Path | None, gathered: Gathered, options: AuditOptions) -> Audit:
    looked, problems = _look(gathered, out, options)
    wanted = [options.archive.task] if options.kind else list(TASKS)
    tasks = [name for name in wanted if any(name in entry.labels for entry, _ in looked)]
    near = near_duplicates([seen for _, seen in looked])
    problems += [*gathered.problems, *(problems_of_set(looked, tasks, near, None) if looked else [])]
    leaks: list[Leak] = []
    if any(entry.split for entry, _ in looked):
        leaks, leak_problems = leaks_in(table_of(looked, near, None))
        problems += leak_problems
    ordered, fixes = gravest_first(problems), 0
    if options.fix:
        if out is None:
            raise DatasetError(f"{path}: to mend it, give a folder for the corrected manifest with --out")
        fixes = len(mend_files(path, looked, ordered, leaks, out, options.archive.keep_ids))
    return Audit(
        str(path), gathered.source, len(gathered.entries), ordered, tuple(leaks), fixes=fixes,
        rows=file_rows(looked, ordered), thumbnails={entry.name: seen.thumbnail for entry, seen in looked},
    )  # fmt: skip


def _look(
    gathered: Gathered, out: Path | None, options: AuditOptions
) -> tuple[list[tuple[Entry, Inspection]], list[Problem]]:
    """Every file opened once, in worker processes; an interrupted call is taken up where it ended."""
    problems: list[Problem] = []
    looked: list[tuple[Entry, Inspection]] = []
    for entry, seen, error in _inspected(gathered.entries, out, options):
        if seen is None:
            problems.append(problem("unreadable", entry.name, error))
            continue
        known, found = entry, None
        if gathered.source == "files":
            known, found = completed(entry, seen.facts, gathered.stated.get(entry.name, StatedView()))
        looked.append((known, seen))
        problems += problems_of_file(known, found, seen, gathered)
    if gathered.source == "files":
        entries = without_crowds([entry for entry, _ in looked])
        looked = [(entry, seen) for entry, (_, seen) in zip(entries, looked, strict=True)]
        problems += [problem("no-subject", one.name, "no id in header or name") for one in entries if not one.subject]
    return looked, problems


def _inspected(
    entries: Sequence[Entry], out: Path | None, options: AuditOptions
) -> Iterator[tuple[Entry, Inspection | None, str]]:
    """Each file with what was seen in it, or why it cannot be read."""
    journal = (
        Journal(out / _JOURNAL, {"version": ensemble_mammo.__version__}, private=True) if out is not None else None
    )
    made = {e: m for e in entries if journal and (m := journal.made(_key(e)))}
    if made:
        _log.info("%d of %d files were looked at already", len(made), len(entries))
    todo = [entry for entry in entries if entry not in made]
    work = partial(inspect_file, limits=options.limits)
    files = [entry.path for entry in todo]
    outcomes = spread(work, files, options.workers, options.limits.seconds, options.engine)
    fresh = zip(todo, track(outcomes, len(todo), "audit"), strict=True)
    with closing(journal) if journal else nullcontext():
        for entry in entries:
            if entry in made:
                yield entry, inspection_from_json(made[entry]), ""
                continue
            _, outcome = next(fresh)
            if outcome.value is not None and journal:
                journal.add(_key(entry), inspection_to_json(outcome.value))
            yield entry, outcome.value, outcome.error.removeprefix(f"{entry.path}: ")
    if journal:
        journal.remove()


def _key(entry: Entry) -> str:
    known = state(entry.path)
    return f"{entry.name}|{known[0]}|{known[1]}" if known else entry.name


def _shortcut_problems(findings: Sequence[ProbeFinding]) -> list[Problem]:
    problems = []
    for one in findings:
        if one.severity == "warning":
            text = f"{one.target} is told from {one.probe} with AUC {one.value:.2f} ({one.low:.2f} to {one.high:.2f}); "
            problems.append(problem("shortcut", f"{one.target} from {one.probe}", text + one.advice))
    return problems
