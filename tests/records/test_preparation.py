import pytest

from ensemble_mammo.records.fields import from_mapping, to_mapping
from ensemble_mammo.records.preparation import Preparation


def test_it_survives_the_way_through_a_table():
    given = Preparation(voi="window", window="HARDER", polarity="auto", bits_used=12, source_aspect=0.6, width=800)
    assert from_mapping(Preparation, to_mapping(given)) == given


def test_the_default_keeps_the_aspect_and_height_enough_for_every_recipe():
    assert (Preparation().height, Preparation().width, Preparation().crop) == (1152, 0, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voi", "best"),
        ("polarity", "guess"),
        ("outside", "white"),
        ("bits_used", 17),
        ("source_aspect", 20.0),
        ("height", 10),
        ("width", 8),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected"):
        Preparation(**{name: value})
