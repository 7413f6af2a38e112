import dataclasses
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.pages.cells import limits, number, written
from ensemble_mammo.merit.pages.charts import draw, legend
from ensemble_mammo.merit.pages.svg import ticks
from ensemble_mammo.merit.sections import Bar, BarChart, Line, LineChart, MatrixChart
from tests.merit.pages.reports import agreement, curves, devices, empty

NAN = math.nan


def parsed(chart):
    return ElementTree.fromstring(str(draw(chart)))


def tips(chart):
    return [title.text for title in parsed(chart).iter("title")]


def of_class(chart, name):
    return [one for one in parsed(chart).iter() if name in one.get("class", "").split()]


def points(path):
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


def axis_of(chart, way):
    """Value -> place, from the chart's own ticks: two of them are enough for a line."""
    texts = [t for t in of_class(chart, "tick") if t.get("text-anchor") == ("middle" if way == "x" else "end")]
    shift = 0 if way == "x" else 4
    places = [(float(t.text.replace("−", "-")), float(t.get(way)) - shift) for t in texts]
    (v0, p0), (v1, p1) = places[0], places[-1]
    return lambda value: p0 + (value - v0) / (v1 - v0) * (p1 - p0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.1, 0.2, [-0.1, 0, 0.1, 0.2]),
        (0, 5, [0, 1, 2, 3, 4, 5]),
        (0, 1200, [0, 250, 500, 750, 1000]),
        (0.4, 0.4, [0.4]),
    ],
)
def test_ticks_are_round_and_within_the_axis(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.80469, "0.805"),
        (12, "12"),
        (np.int64(7), "7"),
        (-0.02, "−0.020"),
        (NAN, "undefined"),
        (0.00004, "<0.001"),
        (-0.00001, "0.000"),
        (0.0, "0.000"),
        (123.456, "123.5"),
        (math.inf, "∞"),
    ],
)
def test_numbers_are_written_for_people(value, text):
    assert number(value) == text


def test_limits_use_words_where_a_dash_would_look_like_a_minus():
    assert limits(0.73, 0.87, 2) == "0.73–0.87"
    assert limits(-0.04, 0.05, 2) == "−0.04 to 0.05"
    assert limits(NAN, NAN) == ""
    assert written(Interval(0.8, 0.7, 0.9)) == "0.800 (0.700–0.900)"
    assert [written(one) for one in (None, "A", 3, Interval(NAN, NAN, NAN))] == ["", "A", "3", "undefined"]


@pytest.mark.parametrize("make", [curves, devices, agreement, empty])
def test_every_chart_is_well_formed_says_what_it_is_and_brings_no_colours_of_its_own(make):
    for chart in make().charts:
        root = parsed(chart)
        assert root.get("role") == "img"
        assert root.get("aria-label").startswith(chart.title)
        assert not re.search(r"#[0-9a-f]{3,6}|style=|\bnan\b", str(draw(chart)))


def test_a_curve_lies_where_its_values_are():
    chart = LineChart("c", "t", "x", "y", (Line("a", [0, 0.5, 1], [0.2, 0.4, 1.0]),))
    (path,) = of_class(chart, "line")
    x, y = axis_of(chart, "x"), axis_of(chart, "y")
    expected = [(x(a), y(b)) for a, b in ((0, 0.2), (0.5, 0.4), (1, 1))]
    assert points(path.get("d")) == [pytest.approx(pair, abs=0.1) for pair in expected]


def test_an_undefined_stretch_is_a_gap_and_an_undefined_curve_is_said():
    gap = LineChart("c", "t", "x", "y", (Line("a", [0, 0.2, 0.4, 0.6, 0.8], [0, 0.2, NAN, 0.6, 0.8]),))
    assert of_class(gap, "line")[0].get("d").count("M") == 2
    none = LineChart("c", "t", "x", "y", (Line("a", [0, 1], [NAN, NAN]), Line("b", [], [])))
    assert [key.label for key in legend(none)] == ["a (undefined)", "b (undefined)"]
    assert any(text.text == "undefined" for text in of_class(none, "axis"))
    assert tips(none) == []


def test_limits_are_a_band_of_a_curve_and_whiskers_of_points():
    line = Line("a", [0.2, 0.8], [0.3, 0.7], [0.2, 0.5], [0.4, 0.9])
    band = LineChart("c", "t", "x", "y", (line,))
    y = axis_of(band, "y")
    assert [place for _, place in points(of_class(band, "band")[0].get("d"))] == pytest.approx(
        [y(0.4), y(0.9), y(0.5), y(0.2)], abs=0.1
    )
    marked = LineChart("c", "t", "x", "y", (dataclasses.replace(line, points=True),))
    assert of_class(marked, "band") == []
    assert len(of_class(marked, "mark")) == 2
    first = of_class(marked, "whisker")[0]
    assert [float(first.get(end)) for end in ("y1", "y2")] == pytest.approx([y(0.2), y(0.4)], abs=0.1)
    assert tips(marked)[0] == "a\nx: 0.200\ny: 0.300 (0.200–0.400)"


def test_a_long_curve_has_few_places_to_point_at_with_both_ends_among_them():
    x = np.linspace(0, 1, 5000)
    chart = LineChart("c", "t", "x", "y", (Line("a", x, x),))
    assert len(tips(chart)) == 40
    assert tips(chart)[0].endswith("y: 0.000")
    assert tips(chart)[-1].endswith("y: 1.000")
    assert len(str(draw(chart))) < 60_000


def test_lines_differ_in_colour_and_in_dashes():
    chart = LineChart("c", "t", "x", "y", tuple(Line(str(i), [0, 1], [0, 1]) for i in range(4)))
    assert len({key.swatch for key in legend(chart)}) == 4
    assert len({re.search(r'stroke-dasharray="[^"]*"|$', key.swatch)[0] for key in legend(chart)}) == 4
    assert legend(LineChart("c", "t", "x", "y", (Line("alone", [0, 1], [0, 1]),))) == []


def test_bars_are_as_long_as_their_values_and_the_reference_stands_at_its_own():
    chart = BarChart("c", "t", "accuracy", (Bar("a", 0.5, 0.4, 0.7), Bar("b", 0.25)), reference=0.6)
    x = axis_of(dataclasses.replace(chart, reference=None), "x")
    fills = of_class(chart, "fill")
    assert [float(one.get("width")) for one in fills] == pytest.approx([x(0.5) - x(0), x(0.25) - x(0)], abs=0.1)
    assert float(of_class(chart, "reference")[0].get("x1")) == pytest.approx(x(0.6), abs=0.1)
    whisker = of_class(chart, "whisker")[0]
    assert [float(whisker.get(end)) for end in ("x1", "x2")] == pytest.approx([x(0.4), x(0.7)], abs=0.1)


def test_differences_are_points_and_what_is_undefined_or_marked_is_said():
    chart = BarChart("c", "t", "gain", (Bar("a", -0.02, -0.05, 0.01),), x_range=(-0.1, 0.1), reference=0.0)
    assert of_class(chart, "fill") == []
    assert len(of_class(chart, "mark")) == 1
    by_device = devices().charts[0]
    words = [text.text for text in parsed(by_device).iter("text")]
    assert {"undefined", "Siemens <Mammomat>, n 9", "0.33 (0.05–0.60)"} <= set(words)
    assert len(of_class(by_device, "marked")) == 1
    assert tips(by_device)[0] == "Hologic, n 61\naccuracy: 0.840 (0.760–0.900)"


def test_names_too_long_for_a_bar_are_cut_and_whole_where_they_are_pointed_at():
    name = "a device with a name that is much longer than any device should have been given"
    chart = BarChart("c", "t", "x", (Bar(name, 0.5),))
    assert any((text.text or "").endswith("…") for text in parsed(chart).iter("text"))
    assert tips(chart)[0].startswith(name)


def test_a_matrix_has_counts_shares_and_totals():
    chart = MatrixChart("m", "subject", ("A", "B"), [[3, 1], [0, 0]])
    assert [one.text for one in of_class(chart, "count")] == ["3", "1", "0", "0"]
    assert [one.text for one in of_class(chart, "share")] == ["75%", "25%", "–", "–"]
    assert [one.text for one in of_class(chart, "tick")] == ["n 4", "n 0"]
    assert tips(chart)[1] == "true A, predicted B\n1 of 4 (25%)"
    assert parsed(chart).get("aria-label") == "subject: confusion matrix of 4, 3 in their true class"


def test_text_in_charts_is_escaped():
    assert "<Mammomat>" not in str(draw(devices().charts[0]))
    hostile = LineChart("c", '"><script>', "x", "y", (Line("</svg>", [0, 1], [0, 1], points=True),))
    assert "<script" not in str(draw(hostile))
    assert "</svg>" in tips(hostile)[0]
