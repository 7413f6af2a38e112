"""What an audit found, held and written: audit.json, audit.csv, the contact sheet."""

from __future__ import annotations

import json
import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import ensemble_mammo
from ensemble_mammo.imaging.inspect import Inspection
from ensemble_mammo.merit.pages.contact_sheet import Sheet, contact_sheet
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.leaks import Leak
from ensemble_mammo.records.problem import PROBLEMS, Problem, Severity
from ensemble_mammo.stages.audit.files import bits_used
from ensemble_mammo.stages.audit.gather import Entry

if TYPE_CHECKING:
    from ensemble_mammo.stages.audit.shortcuts import ProbeFinding


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    root: str
    "what was looked at"
    source: str
    "'dataset', a kind of archive, 'files' or 'tables'"
    files: int
    "files looked at"
    problems: tuple[Problem, ...]
    "gravest first"
    leaks: tuple[Leak, ...] = ()
    "what stands in more than one split (each is a problem too)"
    shortcuts: tuple[ProbeFinding, ...] = ()
    "what the probes told, where they were asked for"
    fingerprint: str = ""
    "of the dataset"
    fixes: int = 0
    "decisions in fixes.csv, where a corrected manifest was written"
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    "one row a file: what was seen in it"
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    "file -> WebP picture"

    @property
    def failed(self) -> bool:
        """Whether there is an error among the problems."""
        return any(one.severity == Severity.ERROR for one in self.problems)

    def counts(self) -> list[tuple[str, str, int, str]]:
        """(severity, code, how many, the first place), gravest and most frequent first."""
        counts = Counter((one.severity.value, one.code) for one in self.problems)
        order = [severity.value for severity in reversed(Severity)]
        first = {(one.severity.value, one.code): one for one in reversed(self.problems)}
        ranked = sorted(counts, key=lambda key: (order.index(key[0]), -counts[key], key[1]))
        return [(s, code, counts[s, code], first[s, code].where) for s, code in ranked]

    def as_json(self) -> dict[str, Any]:
        """What audit.json holds."""
        return {
            "format": 1,
            "root": self.root,
            "source": self.source,
            "files": self.files,
            "failed": self.failed,
            "fingerprint": self.fingerprint,
            "fixes": self.fixes,
            "counts": [
                {"severity": s, "code": code, "title": PROBLEMS[code].title, "count": n, "first": first}
                for s, code, n, first in self.counts()
            ],
            "problems": [
                {
                    "severity": one.severity.value,
                    "code": one.code,
                    "where": one.where,
                    "found": one.found,
                    "others": list(one.others),
                    "advice": one.kind.advice,
                }
                for one in self.problems
            ],
            "leaks": [
                {"what": leak.what, "name": leak.name, "splits": list(leak.splits), "views": list(leak.views)}
                for leak in self.leaks
            ],
            "shortcuts": [_finite(to_mapping(finding)) for finding in self.shortcuts],
            "versions": {"ensemble-mammo": ensemble_mammo.__version__, "python": platform.python_version()},
        }

    def write(self, out: Path) -> None:
        """Write audit.json, audit.csv and audit.html into a folder."""
        if len(self.rows):
            write_text(out / "audit.csv", self.rows.to_csv(index=False, lineterminator="\n"))
        sheet = Sheet(
            Path(self.root).name,
            self.source,
            self.files,
            self.problems,
            self.thumbnails,
            [to_mapping(finding) for finding in self.shortcuts],
        )
        write_text(out / "audit.html", contact_sheet(sheet))
        write_text(out / "audit.json", json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n")


def _finite(mapping: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in mapping.items()}


def gravest_first(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Problems in order of gravity, then kind, then place."""
    order = list(reversed(Severity))
    return tuple(sorted(problems, key=lambda one: (order.index(one.severity), one.code, one.where)))


def file_rows(looked: Sequence[tuple[Entry, Inspection]], problems: Sequence[Problem]) -> pd.DataFrame:
    """One row a file for audit.csv: facts, what its pixels show, and the codes of its problems."""
    codes: dict[str, list[str]] = {}
    for one in problems:
        for name in (one.where, *one.others):
            codes.setdefault(name, []).append(one.code)
    rows = [
        {
            "file": entry.name,
            "view": entry.view.value if entry.view else "",
            "split": entry.split,
            "format": seen.facts.format,
            "rows": seen.facts.rows,
            "columns": seen.facts.columns,
            "bits_stored": seen.facts.bits_stored,
            "bits_used": bits_used(seen) or "",
            "photometric": seen.facts.photometric,
            "presentation": seen.facts.presentation,
            "manufacturer": seen.facts.manufacturer,
            "device": seen.facts.device,
            "pixel_spacing_mm": seen.facts.pixel_spacing_mm or "",
            "breast_share": round(seen.breast_share, 4),
            "chest_wall": seen.chest,
            "mlo_score": "" if math.isnan(seen.mlo) else round(seen.mlo, 3),
            "background": round(seen.background, 4),
            "inverted": "yes" if seen.inverted else "",
            "file_sha256": seen.file_sha256,
            "pixel_sha256": seen.pixel_sha256,
            "hash": seen.hash.hex(),
            "problems": " ".join(sorted(set(codes.get(entry.name, ())))),
        }
        for entry, seen in looked
    ]
    return pd.DataFrame(rows)
