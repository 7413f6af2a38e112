import pytest

from ensemble_mammo.records.subject import LEVELS, Projection, Side, View, views_of


def test_a_view_knows_its_projection_its_side_and_the_ending_of_its_plain_file():
    assert View.MLO_L.projection is Projection.MLO
    assert View.MLO_L.side is Side.LEFT
    assert [view.suffix for view in View] == ["ccr", "ccl", "mlor", "mlol"]
    assert all(View.of(view.projection, view.side) is view for view in View)
    assert [side.letter for side in Side] == ["R", "L"]


def test_a_level_is_fused_from_one_view_from_two_or_from_all_four():
    assert views_of("CC_R") == (View.CC_R,)
    assert views_of("left") == (View.CC_L, View.MLO_L)
    assert views_of("subject") == tuple(View)
    assert len(LEVELS) == 7


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level 'both' is not one of CC_R, CC_L, MLO_R, MLO_L, right, left, subject"):
        views_of("both")
