import base64
import dataclasses
import hashlib
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ensemble_mammo.merit.definitions import FIGURES
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.displays import confusion_png
from ensemble_mammo.merit.pages.overview import answer, warnings_first
from ensemble_mammo.merit.pages.page import ROWS_ON_PAGE, STYLE, page
from ensemble_mammo.merit.sections import Section, Table
from tests.merit.pages.reports import grey, report_made

VOID = {"meta", "img", "br", "input", "link", "hr"}


class Strict(HTMLParser):
    """Every element is closed in order, every id stands once."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(html):
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def found():
    return report_made()


@pytest.fixture(scope="module")
def html(found):
    return page(found, {level: confusion_png(n, found.task.classes, level) for level, n in found.confusion.items()})


def text_of(html):
    body = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body))


def test_the_page_is_whole_and_every_id_and_anchor_fits(html):
    parser = read(html)
    assert len(parser.ids) == len(set(parser.ids))
    assert {value[1:] for key, value in parser.attributes if key == "href" and value[0] == "#"} <= set(parser.ids)
    assert parser.tags.count("h1") == 1
    assert not [key for key, _ in parser.attributes if key.startswith("on") or key == "style"]


def test_the_page_needs_nothing_beside_it_and_its_policy_holds_it_to_that(html):
    parser = read(html)
    addresses = [value for key, value in parser.attributes if key in ("src", "href")]
    assert all(value.startswith(("data:image/", "#")) for value in addresses)
    assert not re.search(r"https?:|url\(|@import|<link", html)
    (policy,) = (value for key, value in parser.attributes if key == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for name in ("style", "script"):
        (inside,) = re.findall(f"<{name}>(.*?)</{name}>", html, flags=re.S)
        held = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{held}'" in policy


def test_text_from_elsewhere_is_escaped(found):
    hostile = "<script>alert(1)</script>"
    section = Section(hostile, hostile, hostile, (Table("t", hostile, {"a": hostile}, [[hostile]]),), notes=(hostile,))
    html = page(dataclasses.replace(found, truth=hostile, notes=(hostile,), sections=(section,)), {})
    assert html.count("<script") == 1
    assert "alert(1)&lt;/script&gt;" in html


def test_the_first_screen_says_the_answer_beside_its_floor_and_the_gravest_note_first(found, html):
    text = text_of(html)
    figures, right = found.as_json()["figures"]["subject"]["accuracy"], int(np.trace(found.confusion["subject"]))
    said = (
        f"The ensemble puts {right} of 100 exams in their true class (accuracy {figures['value']:.2f}, 95 % interval "
        f"{figures['low']:.2f}–{figures['high']:.2f}); always naming the most frequent class would reach "
        f"{found.counts['subject'].majority:.2f}."
    )
    assert said in text
    assert "Not a medical device; for research." in text[: text.index("Contents")]
    assert text.index("LEAKAGE") < text.index("CC_R: 3 exams") < text.index("Contents")


def test_two_classes_begin_with_the_auc():
    found = report_made("pathology", sections=False)
    auc = found.figures["subject"]["auc"]
    assert answer(found).startswith("The ensemble scores a malignant exam above a benign one in ")
    assert f"of 100 pairs (AUC {auc.value:.3f}, 95 % interval {auc.low:.2f}–{auc.high:.2f}; chance" in answer(found)
    assert "puts 95 of 100 exams in their true class" in answer(found)


def changed(found, **figures):
    level = found.top
    return dataclasses.replace(found, figures={**found.figures, level: {**found.figures[level], **figures}})


def test_the_answer_is_honest_about_chance_absence_and_what_is_undefined():
    found = report_made("pathology", sections=False)
    assert "which the interval does not exclude." in answer(changed(found, accuracy=Interval(0.6, 0.5, 0.7)))
    assert "accuracy 0.95, no interval computed" in answer(changed(found, accuracy=Interval(0.95, math.nan, math.nan)))
    undefined = answer(changed(found, auc=Interval(math.nan, math.nan, math.nan)))
    assert undefined.startswith("The AUC is undefined, since all cases are on one side. The ensemble puts 95 of 100")
    assert "in 87 of 100 pairs (AUC 0.87," in answer(changed(found, auc=Interval(0.87, 0.8, 0.9)))


def test_a_breast_and_a_view_are_called_what_they_are():
    right = report_made(views=("CC_R", "MLO_R"), count=20, resamples=0, sections=False)
    assert "of 20 right breasts in their true class" in answer(right)
    view = report_made(views=("CC_R",), count=20, resamples=0, sections=False)
    assert answer(view).startswith("The network of CC_R puts ")
    assert 'id="matrices"' not in page(view, {})


def test_notes_that_put_the_figures_in_question_come_first():
    notes = ("left is left out", "rows of the 2 files are taken to be the same subjects in the same order", "x LEAKAGE")
    assert warnings_first(notes) == [notes[1], notes[2], notes[0]]


def test_every_figure_of_every_level_stands_on_the_page_and_its_definition(found, html):
    for level, figures in found.as_json()["figures"].items():
        for name, one in figures.items():
            cell = f'data-v="{one["value"]!r}">{one["value"]:.3f} <span class="limits">{one["low"]:.3f}'
            assert cell in html, (level, name)
    text = text_of(html)
    for name in found.figures["subject"]:
        if name in FIGURES:
            assert FIGURES[name].meaning in text


def test_the_figures_of_each_class_stand_once(found):
    classes = Section("classes", "Each class", "B is found least often.")
    html = page(dataclasses.replace(found, sections=(classes,)), {})
    assert 'id="figures-table-figures"' in html
    assert 'id="figures-table-class-figures"' not in html


def test_the_sections_stand_in_order_with_all_they_hold(found, html):
    titles = re.findall(r"<h2><span[^>]*>(\d+)</span>([^<]*)</h2>", html)
    own = ["All figures by level", "How each figure is defined", "How it was made"]
    assert [title for _, title in titles] == ["Confusion matrices", *(s.title for s in found.sections), *own]
    text = text_of(html)
    for section in found.sections:
        assert section.lead.replace("<", "&lt;").replace(">", "&gt;") in text
        assert section.method.replace("'", "&#39;") in text
    assert html.count('class="chart"') == 1 + 7 + sum(len(section.charts) for section in found.sections)
    assert html.count("<details>") == 1 + sum(bool(section.method) for section in found.sections)
    assert base64.b64encode(grey(1, "JPEG")).decode() in html.split("data:image/jpeg;base64,")[1]


def test_how_it_was_made_is_told(found, html):
    text = text_of(html)
    assert all(one.sha256 in text and one.name in text for one in found.files)
    assert all(version in text for version in found.versions.values())
    assert "200 resamples, seed 0" in text
    assert "mean of the views present; the subject is fused from all her views" in text
    assert f"Judged{found.counts['subject'].exams} exams of 100 subjects" in text.replace(" </dt>", "")


def test_undefined_and_marked_and_absent_cells_can_be_told_apart(html):
    assert '<td class="void">undefined</td>' in html
    assert re.search(r'<tr class="marked"><th[^>]*>Siemens &lt;Mammomat&gt;</th>', html)
    assert '<tr class="fused top-level"><th' in html
    assert '<td class="t"></td>' in html


def test_many_notes_are_folded_and_endless_tables_end(found):
    rows = [[f"S{i}", i] for i in range(ROWS_ON_PAGE + 7)]
    section = Section("long", "Long", "", (Table("t", "", {"a": "a", "b": "b"}, rows),))
    html = page(dataclasses.replace(found, notes=tuple(f"note {i}" for i in range(9)), sections=(section,)), {})
    assert "<summary>5 more</summary>" in html
    assert f"The first {ROWS_ON_PAGE} of {ROWS_ON_PAGE + 7}" in text_of(html)
    assert ">S499<" in html
    assert ">S500<" not in html
    assert 'class="cut" id="long-table-t"' in html


def test_the_style_of_all_pages_is_light_and_stands_alone():
    assert "color-scheme: light" in STYLE
    assert "dark" not in STYLE
    assert not set(STYLE) & set("\"'<>&"), "a template that escapes it would break it"
    assert set(re.findall(r"var\((--[\w-]+)\)", STYLE)) <= set(re.findall(r"(--[\w-]+):", STYLE))


def test_what_must_not_be_missed_stands_on_the_first_screen():
    from ensemble_mammo.merit.pages.overview import alarms
    from ensemble_mammo.merit.sections import Section, Table

    def groups(marked):
        return Table("subgroups", "", {"group": "group"}, [["a"], ["b"]], marked=frozenset(marked))

    made = report_made()
    quiet = Section("subgroups", "", "No group stands out.", (groups(()),))
    failing = Section("subgroups", "", "Device 210 fails.", (groups((1,)),))
    versus = Section("comparison", "", "A is better than B.")
    assert alarms(dataclasses.replace(made, sections=(versus, quiet))) == ["A is better than B."]
    shown = dataclasses.replace(made, sections=(versus, failing))
    assert alarms(shown) == ["A is better than B.", "Device 210 fails."]
    first = page(shown, {}).split("<nav")[0]
    assert "Device 210 fails." in first


def test_an_accuracy_below_the_floor_is_said_to_be_below():
    made = report_made()
    top = made.top
    figures = {**made.figures[top], "accuracy": Interval(0.17, 0.12, 0.23)}
    counts = dataclasses.replace(made.counts[top], majority=0.9)
    below = dataclasses.replace(made, figures={**made.figures, top: figures}, counts={**made.counts, top: counts})
    assert "would reach 0.90: the accuracy lies below that floor" in answer(below)
