import math
from xml.etree import ElementTree

import pytest

from ensemble_mammo.merit.pages.charts import draw, legend
from ensemble_mammo.merit.sections import HeatChart


def chart(values, x=("1", "1.5"), **fields):
    rows = [f"{0.25 * (i + 1):g}" for i in range(len(values))]
    return HeatChart("accuracy", "accuracy", "contrast", x, "threshold", rows, values, **fields)


def parsed(one):
    return ElementTree.fromstring(str(draw(one)))


def test_every_cell_says_its_share_its_threshold_and_its_contrast():
    drawn = parsed(chart([[0.9, 0.25], [0.8, math.nan]]))
    tips = [title.text for title in drawn.iter("title")]
    assert tips == [
        "threshold 0.25, contrast 1\naccuracy: 0.900",
        "threshold 0.25, contrast 1.5\naccuracy: 0.250",
        "threshold 0.5, contrast 1\naccuracy: 0.800",
        "threshold 0.5, contrast 1.5\naccuracy: undefined",
    ]
    assert drawn.get("aria-label") == "accuracy: 0.25 to 0.90, over contrast and threshold"
    assert legend(chart([[0.9, 0.25]])) == []


def test_the_shade_is_the_share_and_the_cells_lie_side_by_side():
    drawn = parsed(chart([[1.0, 0.5], [0.0, math.nan]]))
    shades = list(drawn.iter("rect"))
    assert [float(one.get("fill-opacity")) for one in shades] == pytest.approx([0.94, 0.49, 0.04, 0.04])
    left, right, below, _ = shades
    assert float(right.get("x")) - float(left.get("x")) == pytest.approx(float(left.get("width")) + 2, abs=0.02)
    assert float(below.get("y")) - float(left.get("y")) == pytest.approx(float(left.get("height")) + 2, abs=0.02)
    texts = [one.text for one in drawn.iter("text") if one.get("class") == "share"]
    assert texts == ["1.00", "0.50", "0.00", "–"]


def test_values_up_to_the_limit_stand_in_brackets():
    drawn = parsed(chart([[0.8, 0.7], [0.9, math.nan]], bracketed=0.8))
    assert [one.text for one in drawn.iter("text") if one.get("class") == "share"] == ["(0.80)", "(0.70)", "0.90", "–"]


def test_a_chart_of_nothing_defined_and_one_of_many_columns_are_drawn():
    assert "undefined" in parsed(chart([[math.nan, math.nan]])).get("aria-label")
    wide = parsed(chart([[0.5] * 20], x=[f"{i}" for i in range(20)]))
    width = float(wide.get("viewBox").split()[2])
    assert all(float(r.get("x")) + float(r.get("width")) <= width for r in wide.iter("rect"))
