"""The audit as one HTML page: counts, then one row a problem with its pictures."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined

from ensemble_mammo.merit.pages.page import STYLE
from ensemble_mammo.records.problem import PROBLEMS, Problem, Severity

LOOKED_AT = 48
"""Pictures at the end of the page."""
ROWS_SHOWN = 60
"""Rows of one kind of problem on the page; audit.json has all."""
_PICTURES_SHOWN = 6

_MORE_STYLE = """
.error { color: #a3142a; } .warning { color: #8a5a00; } .info { color: #35607f; }
tr.problem td { vertical-align: middle; text-align: left; font-weight: 400; }
tr.problem img { height: 96px; margin: 2px; border: 1px solid #c4d0dc; background: #000; }
td.where { overflow-wrap: anywhere; min-width: 12rem; max-width: 22rem; }
.look { display: flex; flex-wrap: wrap; gap: 4px; }
.look img { height: 96px; border: 1px solid #c4d0dc; background: #000; }
.verdict { font-weight: 600; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {{ sheet.name }}</title><style>{{ style }}</style></head>
<body><main>
<h1>Audit of {{ sheet.name }}</h1>
<p class="lead">{{ sheet.files }} {{ "tables" if sheet.source == "tables" else "files" }} looked at
({{ sheet.source }}).
<span class="verdict {{ verdict[0] }}">{{ verdict[1] }}</span></p>
<h2>Summary</h2>
{% if kinds %}<div class="scroll"><table class="text">
<thead><tr><th>gravity</th><th>problem</th><th>code</th><th>how many</th><th>what to do</th></tr></thead><tbody>
{% for kind in kinds %}<tr><td class="{{ kind.severity }}">{{ kind.severity }}</td>
<td><a href="#{{ kind.anchor }}">{{ kind.title }}</a></td><td><code>{{ kind.code }}</code></td><td>{{ kind.count }}</td>
<td>{{ kind.advice }}</td></tr>
{% endfor %}</tbody></table></div>{% else %}<p>Nothing was found.</p>{% endif %}
{% if sheet.probes %}
<h2>Shortcuts: what tells the label without the breast or its lesions</h2>
<p class="small">AUC of one linear probe (or trees, for a few numbers), cross-validated by subject; chance is 0.5.</p>
<div class="scroll"><table><thead><tr><th>target</th><th>told from</th><th>AUC</th><th>95 % interval</th>
<th>whole image</th><th>images</th><th>subjects</th><th></th></tr></thead><tbody>
{% for p in sheet.probes %}<tr><td>{{ p.target }}</td><td>{{ p.probe }}</td><td>{{ number(p.value) }}</td>
<td>{{ number(p.low) }} to {{ number(p.high) }}</td><td>{{ number(p.whole) }}</td><td>{{ p.images }}</td>
<td>{{ p.subjects }}</td><td class="{{ p.severity }}">{{ p.severity }}</td></tr>
{% if p.advice %}<tr><td></td><td colspan="7" class="small" style="text-align:left">{{ p.advice }}</td></tr>{% endif %}
{% endfor %}</tbody></table></div>{% endif %}
{% for kind in kinds %}
<h2 id="{{ kind.anchor }}"><span class="{{ kind.severity }}">{{ kind.severity }}</span>: {{ kind.title }}
({{ kind.count }})</h2>
<p class="small">{{ kind.advice }}</p>
<div class="scroll"><table class="text"><tbody>
{% for row in kind.rows %}<tr class="problem"><td class="where">{{ row.where }}</td><td>{{ row.found }}</td>
<td>{% for picture in row.pictures %}<img alt="" src="data:image/webp;base64,{{ picture }}">{% endfor %}</td></tr>
{% endfor %}</tbody></table></div>
{% if kind.count > kind.rows | length %}<p class="small">… and {{ kind.count - kind.rows | length }} more in
audit.json.</p>{% endif %}
{% endfor %}
{% if some %}<h2>A look at {{ some | length }} of {{ sheet.files }} files</h2>
<div class="look">{% for one in some %}<img alt="" title="{{ one.name }}"
src="data:image/webp;base64,{{ one.picture }}">{% endfor %}</div>{% endif %}
<footer>Not a medical device; for research.
Pictures may show patients: keep this page where the images are kept.</footer>
</main></body></html>
"""


@dataclass(frozen=True)
class Sheet:
    """What the page shows."""

    name: str
    "of what was audited"
    source: str
    "a dataset, a kind of archive, files or tables"
    files: int
    "how many were looked at"
    problems: Sequence[Problem]
    "gravest first"
    thumbnails: Mapping[str, bytes]
    "file -> WebP picture"
    probes: Sequence[Mapping[str, Any]] = ()
    "rows of the shortcut probes"


def contact_sheet(sheet: Sheet) -> str:
    """The page as text; it needs no other file."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    counts = Counter(one.severity for one in sheet.problems)
    if counts[Severity.ERROR]:
        verdict = (
            "error",
            f"{_counted(counts[Severity.ERROR], 'error')}, {_counted(counts[Severity.WARNING], 'warning')}.",
        )
    else:
        verdict = ("info", f"No error, {_counted(counts[Severity.WARNING], 'warning')}.")
    return environment.from_string(_PAGE).render(
        sheet=sheet, style=STYLE + _MORE_STYLE, kinds=_kinds(sheet), verdict=verdict, number=_number, some=_some(sheet)
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _some(sheet: Sheet) -> list[dict[str, str]]:
    """Pictures of some of the files, evenly spaced: problems or not, one should have seen a few."""
    names = list(sheet.thumbnails)
    step = max(1, -(-len(names) // LOOKED_AT))
    return [{"name": n, "picture": base64.b64encode(sheet.thumbnails[n]).decode()} for n in names[::step]]


def _kinds(sheet: Sheet) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Problem]] = {}
    for one in sheet.problems:
        groups.setdefault((one.severity.value, one.code), []).append(one)
    return [
        {
            "severity": severity,
            "code": code,
            "anchor": f"{severity}-{code}",
            "title": PROBLEMS[code].title,
            "advice": PROBLEMS[code].advice,
            "count": len(members),
            "rows": [_row(one, sheet.thumbnails) for one in members[:ROWS_SHOWN]],
        }
        for (severity, code), members in groups.items()
    ]


def _row(one: Problem, thumbnails: Mapping[str, bytes]) -> dict[str, Any]:
    names = list(dict.fromkeys((one.where, *one.others)))
    pictures = [base64.b64encode(thumbnails[name]).decode() for name in names if name in thumbnails]
    return {"where": one.where, "found": one.found, "pictures": pictures[:_PICTURES_SHOWN]}


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"
