import pytest

from ensemble_mammo.records.naming import NameFacts, facts_of_name, view_of_text
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


@pytest.mark.parametrize(("text", "view"), [("CC_R", View.CC_R), ("R-MLO", View.MLO_R), (" left cc ", View.CC_L)])
def test_a_cell_names_a_view_in_the_same_words(text, view):
    assert view_of_text(text) is view


@pytest.mark.parametrize("text", ["", "CC", "ML_R", "CC_R MLO_R"])
def test_a_cell_that_names_no_view_is_refused(text):
    with pytest.raises(ValueError, match=r"is not one of CC_R, CC_L, MLO_R, MLO_L"):
        view_of_text(text)
