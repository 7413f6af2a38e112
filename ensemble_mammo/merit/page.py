"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from jinja2 import Environment, StrictUndefined

from ensemble_mammo.merit.definitions import FIGURES, title_of
from ensemble_mammo.merit.intervals import CONFIDENCE
from ensemble_mammo.merit.results import Report

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #16304a; background: #f3f6f9;
  margin: 0; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.5rem 3rem; background: #fff; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; border-bottom: 1px solid #d5dee7; padding-bottom: .25rem; }
p { margin: .4rem 0; }
.lead, .small { color: #52687d; }
.small { font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .8rem; font-size: .93rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .45rem; text-align: right; border-bottom: 1px solid #e4eaf0; vertical-align: top; }
th { font-weight: 600; background: #eef3f8; }
th:first-child, td:first-child, .text td, .text th { text-align: left; }
td:first-child { font-weight: 600; }
tr.fused td { background: #f7fafc; }
.limits { display: block; font-size: .78rem; color: #52687d; white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.pictures img { width: 100%; border: 1px solid #d5dee7; border-radius: 6px; }
.notes { background: #fff8e6; border-left: 4px solid #e0a800; padding: .6rem 1rem .6rem 2rem; margin: .6rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .8rem 0; }
dt { color: #52687d; } dd { margin: 0; }
code { font-size: .8rem; word-break: break-all; }
footer { margin-top: 2.5rem; font-weight: 600; }
@media print { body { background: #fff; font-size: 10px; } .scroll { overflow: visible; }
  main { padding: 0; max-width: none; }
  .pictures { grid-template-columns: repeat(3, 1fr); } tr, img, dl { break-inside: avoid; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.task.name }}: figures of merit</title>
<style>{{ style }}</style>
</head>
<body><main>
<h1>Figures of merit: {{ report.task.name }}</h1>
<p class="lead">Classes {{ report.task.classes | join(", ") }}. True classes: {{ report.truth }}.</p>

<h2>Figures</h2>
<div class="scroll"><table>
<thead><tr><th>level</th><th>exams</th><th>floor</th>{% for name in names %}<th>{{ titles[name] }}</th>{% endfor %}
</tr></thead>
<tbody>{% for level, figures in report.figures.items() %}
<tr{% if level in ("right", "left", "subject") %} class="fused"{% endif %}>
<td>{{ level }}</td><td>{{ report.counts[level].exams }}</td><td>{{ report.counts[level].majority | figure }}</td>
{% for name in names %}<td>{{ figures[name].value | figure }}
<span class="limits">{{ figures[name].low | figure }}–{{ figures[name].high | figure }}</span></td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<p class="small">Below each value its {{ confidence }} % interval: percentile bootstrap over subjects,
{{ report.resamples }} resamples, seed {{ report.seed }}; a resample in which a figure is undefined does
not count for it. Floor: the accuracy of always naming the most frequent class.
{% if "auc" in names %}The AUC and &ldquo;{{ titles[grouped] }}&rdquo; tell {{ report.task.positive | join(", ") }} from
the rest. {% endif %}&ndash;: undefined.</p>

{% if report.notes %}<h2>Notes</h2>
<ul class="notes">{% for note in report.notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}

<h2>Confusion matrices</h2>
<div class="pictures">{% for level, picture in pictures.items() %}
<img alt="Confusion matrix of {{ level }}" src="data:image/png;base64,{{ picture }}">{% endfor %}
</div>
<p class="small">In each cell the number of exams and its share of the true class.</p>

<h2>How it was made</h2>
<div class="scroll"><table>
<thead><tr><th>level</th><th>exams</th><th>subjects</th><th>fused without all views</th>
<th>no view here</th><th>no true class</th></tr></thead>
<tbody>{% for level, one in report.counts.items() %}<tr><td>{{ level }}</td><td>{{ one.exams }}</td>
<td>{{ one.subjects }}</td><td>{{ one.incomplete }}</td><td>{{ one.absent }}</td><td>{{ one.unlabelled }}</td>
</tr>{% endfor %}</tbody></table></div>
<dl>
<dt>Fusion</dt><dd>{{ made.fusion.rule }} of the views present{% if made.fusion.weights %}, weights
{% for view, weight in made.fusion.weights.items() %}{{ view }} {{ weight }} {% endfor %}{% endif %};
{% if made.fusion.breast_to_subject == "mean" %}the subject is fused from all her views{% else %}the subject has the
scores of the breast with the higher score of {{ report.task.classes[-1] }}{% endif %}</dd>
<dt>Intervals</dt><dd>{{ report.resamples }} resamples of subjects, seed {{ report.seed }}</dd>
<dt>Versions</dt><dd>{% for name, version in report.versions.items() %}{{ name }} {{ version }}
{%- if not loop.last %}, {% endif %}{% endfor %}</dd>
</dl>
{% if report.files %}<div class="scroll"><table class="text">
<thead><tr><th>file</th><th>level</th><th>SHA-256</th></tr></thead>
<tbody>{% for file in report.files %}<tr><td>{{ file.name }}</td><td>{{ file.level }}</td>
<td><code>{{ file.sha256 }}</code></td></tr>{% endfor %}</tbody></table></div>{% endif %}
<footer>Not a medical device; for research.</footer>
</main></body></html>
"""


def page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The HTML of a report, with style and pictures inside it.

    Args:
        report: what was found.
        pictures: level -> PNG of its confusion matrix.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = _figure
    names = [name for name in FIGURES if name in next(iter(report.figures.values()), {})]
    return environment.from_string(_PAGE).render(
        report=report,
        made=report.as_json(),
        names=names,
        titles={name: title_of(name) for name in names},
        grouped="dense" if "dense" in names else "positive",
        confidence=f"{CONFIDENCE:.0%}".removesuffix("%"),
        style=STYLE,
        pictures={level: base64.b64encode(data).decode("ascii") for level, data in pictures.items()},
    )


def _figure(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"  # noqa: PLR0124  nan is not itself
