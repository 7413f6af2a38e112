import pytest

from ensemble_mammo.records.naming import NameFacts, StatedView, facts_of_cells, facts_of_name, only_view_words
from ensemble_mammo.records.subject import Projection, Side, View


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("L_CC.dcm", View.CC_L),
        ("L-CC.png", View.CC_L),
        ("CC_L", View.CC_L),
        ("LCC.tif", View.CC_L),
        ("RMLO.dcm", View.MLO_R),
        ("MLOR.dcm", View.MLO_R),
        ("rcc.pgm", View.CC_R),
        ("LEFT_CC.jpg", View.CC_L),
        ("00001_RIGHT_MLO.jpg", View.MLO_R),
        ("right mlo 2.png", View.MLO_R),
        ("deep/er/12_L_MLO.png", View.MLO_L),
        ("20587054_b6a4f750c6df4f90_MG_R_CC_ANON.png", View.CC_R),
        ("20587080_b6a4f750c6df4f90_MG_R_ML_ANON.dcm", View.MLO_R),
        ("PH1_2_C_MLO_L.png", View.MLO_L),
    ],
)
def test_every_usual_form_of_a_name_gives_its_view(name, view):
    assert facts_of_name(name).view is view


@pytest.mark.parametrize("name", ["R_ML.dcm", "L-ML.png", "1_R_ML_ANON.png", "x_MG_R_ML_ANON.dcm", "RML.dcm"])
def test_ml_is_no_mlo_outside_of_inbreasts_full_pattern(name):
    assert facts_of_name(name).projection is None


@pytest.mark.parametrize("name", ["L_CC_R.png", "LCC_RCC.png", "right_L_CC.dcm", "IMG_1_L_CC_R.png"])
def test_a_name_that_says_two_sides_says_none(name):
    facts = facts_of_name(name)
    assert facts.side is None and facts.projection is Projection.CC


@pytest.mark.parametrize("name", ["L_CC_MLO.png", "LCC-LMLO.png", "a_1_CC_MLO_L.png"])
def test_a_name_that_says_two_projections_says_none(name):
    facts = facts_of_name(name)
    assert facts.projection is None and facts.side is Side.LEFT


@pytest.mark.parametrize("name", ["1.2.840.113.dcm", "IM0001", "mdb001.pgm", "ACCRA.png", "CALCC.png"])
def test_a_name_without_words_of_a_view_says_nothing(name):
    assert facts_of_name(name) == NameFacts()


def test_ids_and_class_are_read_where_the_name_follows_a_known_pattern():
    infn = facts_of_name("0012_2_B_CC_R.png")
    assert (infn.subject_id, infn.exam_id, infn.label, infn.image_id) == ("0012", "2", "B", "0012_2_B_CC_R")
    inbreast = facts_of_name("20587080_b6a4f750c6df4f90_MG_R_ML_ANON.png")
    assert (inbreast.subject_id, inbreast.image_id) == ("b6a4f750c6df4f90", "20587080")


@pytest.mark.parametrize(
    ("cells", "stated"),
    [
        (("CC_R",), StatedView(Projection.CC, Side.RIGHT)),
        ((" left cc ",), StatedView(Projection.CC, Side.LEFT)),
        (("RMLO", "R"), StatedView(Projection.MLO, Side.RIGHT)),
        (("MLO", "left"), StatedView(Projection.MLO, Side.LEFT)),
        (("", "L"), StatedView(None, Side.LEFT)),
        (("AT", "L"), StatedView(None, Side.LEFT, "AT")),
        (("R ML",), StatedView(None, Side.RIGHT, "R ML")),
        (("LXCCL",), StatedView(None, None, "LXCCL")),
        (("", ""), StatedView()),
    ],
)
def test_the_cells_of_a_views_table_are_read_in_the_same_words(cells, stated):
    assert facts_of_cells(*cells) == stated


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        (("CCX",), r"view 'CCX' is not one of CC, MLO, CC_R, .* or another projection \(AT, ML, LM, LMO"),
        (("?",), "view '.' is not one of CC"),
        (("CC", "X"), "laterality 'X' is not one of R, RIGHT, L, LEFT"),
        (("CC_R", "L"), "view 'CC_R' with laterality 'L' names two sides"),
        (("CC_R MLO_R",), "view 'CC_R MLO_R' names two projections"),
    ],
)
def test_cells_that_name_no_view_or_two_are_refused(cells, match):
    with pytest.raises(ValueError, match=match):
        facts_of_cells(*cells)


def test_a_folder_that_only_says_a_view_or_a_side_is_told_from_other_names():
    assert all(only_view_words(name) for name in ("CC", "left", "R_MLO", "CC_L"))
    assert not any(only_view_words(name) for name in ("p1", "CC1", "Müller_L", "", "-"))
