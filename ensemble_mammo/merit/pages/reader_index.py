"""The page that lists the reader pages of one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined

from ensemble_mammo.merit.pages.page import STYLE
from ensemble_mammo.records.task import Task

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ task.name }}: {{ entries | length }} exams to look at</title><style>{{ style }}</style></head>
<body><main>
<h1>{{ entries | length }} exam{{ "" if entries | length == 1 else "s" }} to look at</h1>
<p class="lead">{{ task.name | capitalize }}: {{ task.classes | join(", ") }}. Each opens a page with the
four views.</p>
<div class="scroll"><table class="text">
<thead><tr><th>exam</th><th>predicted</th><th>score</th><th>views</th></tr></thead>
<tbody>{% for one in entries %}
<tr><td><a href="{{ one.page }}">{{ one.title }}</a></td><td>{{ one.predicted }}</td>
<td>{{ "%.2f" | format(one.score) }}</td><td>{{ one.views }}</td></tr>{% endfor %}
</tbody></table></div>
<footer>Not a medical device; for research. The pages show patients: keep them where the images are kept.</footer>
</main></body></html>
"""


@dataclass(frozen=True)
class IndexEntry:
    """One exam of the list."""

    title: str
    "subject and exam"
    page: str
    "its page, relative to the list"
    predicted: str
    "the subject's class"
    score: float
    "of that class"
    views: int
    "how many views are there"


def reader_index(entries: Sequence[IndexEntry], task: Task) -> str:
    """The list as HTML that needs nothing but the pages it names."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_PAGE).render(entries=entries, task=task, style=STYLE)
