"""What headers say of view, side, age and spacing, and what is never read."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from ensemble_mammo.errors import ImageReadError
from ensemble_mammo.imaging.read import read_facts
from ensemble_mammo.records.subject import Projection, Side, View

from .conftest import made_dataset


def code(value: str, meaning: str, modifier: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodeMeaning, item.CodingSchemeDesignator = value, meaning, "SRT"
    if modifier:
        inner = Dataset()
        inner.CodeValue, inner.CodeMeaning = "R-0", modifier
        item.ViewModifierCodeSequence = [inner]
    return [item]


@pytest.mark.parametrize(
    ("position", "projection"),
    [("CC", "CC"), ("MLO", "MLO"), (" mlo ", "MLO"), ("LCC", "CC"), ("L-MLO", "MLO")]
    + [(other, None) for other in ("ML", "LM", "LMO", "XCCL", "CCID", "FB", "AT", "SIO", "")],
)
def test_only_cc_and_mlo_are_projections(save, ramp, position, projection):
    facts = read_facts(save(ramp, ViewPosition=position, ImageLaterality="L"))
    assert facts.projection == (Projection(projection) if projection else None)
    assert facts.view_text == position.strip() and facts.side == Side.LEFT and not facts.problem


@pytest.mark.parametrize(
    ("value", "projection"),
    [
        ("R-10242", "CC"),
        ("399162004", "CC"),
        ("R-10226", "MLO"),
        ("399368009", "MLO"),
        ("R-10224", None),
        ("399260004", None),
    ],
)
def test_view_codes(save, ramp, value, projection):
    facts = read_facts(save(ramp, ViewCodeSequence=code(value, "as named"), ImageLaterality="R"))
    assert facts.projection == (Projection(projection) if projection else None)
    assert facts.view_text == "as named"
    assert ("as named view, neither CC nor MLO" in facts.notes) == (projection is None)


def test_contradictions_are_kept_and_not_guessed(save, ramp):
    facts = read_facts(save(ramp, ImageLaterality="L", Laterality="R", ViewPosition="CC"))
    assert facts.side is None and facts.projection == Projection.CC
    assert facts.problem == "the header contradicts itself on the side: ImageLaterality L, Laterality R"
    assert facts.problem in facts.notes and facts.view is None
    facts = read_facts(save(ramp, ImageLaterality="L", ViewPosition="ML", ViewCodeSequence=code("R-10226", "MLO")))
    assert facts.projection is None and "ViewPosition ML, ViewCodeSequence MLO" in facts.problem
    assert "RCC" in read_facts(save(ramp, ImageLaterality="L", ViewPosition="RCC")).problem


def test_the_rest_of_the_header(save, ramp):
    made = made_dataset(
        ramp,
        ViewPosition="MLO",
        Laterality="R",
        PatientAge="541M",
        StudyDate="20210305",
        Manufacturer="M",
        ManufacturerModelName="D",
        BreastImplantPresent="YES",
        PixelSpacing=[0.2, 0.2],
        ImagerPixelSpacing=[0.07, 0.07],
        PresentationIntentType="FOR PROCESSING",
        StudyInstanceUID="2.25.7",
        ViewCodeSequence=code("R-10226", "MLO", "Magnification"),
    )
    made.PatientName, made.PatientBirthDate = "Doe^Jane", "19700101"
    facts = read_facts(save(made))
    assert facts.view == View.MLO_R and facts.age == 45 and facts.exam_date == "2021-03-05"
    assert (facts.manufacturer, facts.device, facts.implant, facts.study_uid) == ("M", "D", "YES", "2.25.7")
    assert facts.pixel_spacing_mm == 0.07 and facts.bits_stored == 12 and (facts.rows, facts.columns) == (64, 64)
    assert (
        any(note.startswith("FOR PROCESSING") for note in facts.notes) and "view modifier: Magnification" in facts.notes
    )
    assert "Doe" not in repr(facts) and "1970" not in repr(facts)


@pytest.mark.parametrize(("text", "years"), [("045Y", 45), ("030W", 0), ("400D", 1), ("", None), ("old", None)])
def test_ages(save, ramp, text, years):
    assert read_facts(save(ramp, PatientAge=text)).age == years


def test_facts_of_what_is_no_image(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_text("nothing")
    with pytest.raises(ImageReadError, match=r"a\.dcm: holds text, expected DICOM"):
        read_facts(path)
    with pytest.raises(ImageReadError, match=r"gone\.dcm: cannot be opened"):
        read_facts(tmp_path / "gone.dcm")
