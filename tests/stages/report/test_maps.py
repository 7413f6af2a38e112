import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.stages.explain.summary import write_measures
from ensemble_mammo.stages.report.sections.maps import section
from tests.stages.report.studies import FEW, study_made

STEPS = ("last layer", "all layers")
ABOUT = {
    "method": "class-map",
    "task": "pathology",
    "class": "predicted",
    "seed": 0,
    "resamples": 200,
    "tolerance_px": 15.0,
    "prepared_height_px": 1152,
    "deletion_fill": "blur",
    "steps": 20,
    "random_orders": 4,
    "blur": 0.05,
    "classless": False,
}


def row(number, view, lesion=True, slow=True):
    nan = float("nan")
    return {
        "subject_id": f"S{number // 2}",
        "exam_id": "1",
        "view": view,
        "class": "malignant",
        "score": 0.8,
        "method": "class-map",
        "mask": "lesion" if lesion else "breast",
        "pointing": float(number % 3 > 0) if lesion else nan,
        "pointing_random": 0.125 if lesion else nan,
        "energy_inside": 0.05 * number if lesion else nan,
        "energy_gain": 1.5 if lesion else nan,
        "iou_best": 0.2 if lesion else nan,
        "iou_mean": 0.1 if lesion else nan,
        "coverage": 0.5 if lesion else nan,
        "energy_breast": 0.9,
        "deletion": 0.3 + 0.001 * number if slow else nan,
        "deletion_random": 0.5 if slow else nan,
        "insertion": 0.8 if slow else nan,
        "insertion_random": 0.6 if slow else nan,
        "map": f"S{number // 2}_1/{view}.npy",
        "note": "",
    }


def measured(folder, spearman=0.1, lesions=True, slow=True):
    rows = [row(i, "CC_R" if i % 2 else "MLO_L", lesions, slow) for i in range(12)]
    who = [{name: one[name] for name in ("subject_id", "exam_id", "view")} for one in rows] if slow else []
    alike = [one | {"shuffled": step, "spearman": spearman, "ssim": 0.2} for one in who for step in STEPS]
    write_measures(folder, rows, alike, ABOUT)
    for one in rows if lesions else ():
        path = folder / one["map"].replace(".npy", "_lesion.png")
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((900, 500, 3), np.uint8)).save(path)
    return folder


def said(folder, **fields):
    return section(study_made(options=dataclasses.replace(FEW, maps=folder, **fields)))


def test_without_a_folder_there_is_no_section():
    assert section(study_made()) is None


def test_the_lead_says_how_many_maps_point_at_a_lesion_and_whether_scores_hang_on_them(tmp_path):
    found = said(measured(tmp_path))
    assert found.lead.startswith("Maps point at a lesion in 8 of 12 images; random points would in 1.5.")
    assert "lowers the score more than removing random parts (difference 0.19" in found.lead
    assert "They change when the networks' weights are shuffled (rank correlation 0.10)." in found.lead
    assert "class-map" in found.method and "Petsiuk" in found.method


def test_the_tables_have_a_row_a_view_with_intervals(tmp_path):
    lesions, faithful, breast, sanity = said(measured(tmp_path)).tables
    assert [one[0] for one in lesions.rows] == ["all views", "CC_R", "MLO_L"]
    assert [one[1] for one in lesions.rows] == [12, 6, 6]
    pointing = lesions.records()[0]["pointing"]
    assert pointing["value"] == pytest.approx(8 / 12) and pointing["low"] < 8 / 12 < pointing["high"]
    gain = faithful.records()[0]["insertion_gain"]
    assert gain["value"] == pytest.approx(0.2)
    assert breast.records()[0]["energy_breast"]["value"] == pytest.approx(0.9)
    assert [one[:2] for one in sanity.rows] == [["last layer", 12], ["all layers", 12]]
    assert isinstance(sanity.rows[0][2], Interval)


def test_pictures_are_the_best_and_the_worst_maps_small_and_nameless_where_ids_are_hidden(tmp_path):
    measured(tmp_path)
    shown = said(tmp_path).pictures
    assert [one.title for one in shown] == ["S5 1 CC_R", "S5 1 MLO_L", "S0 1 CC_R", "S0 1 MLO_L"]
    assert shown[0].caption.startswith("55% of the map") and max(Image.open(io.BytesIO(shown[0].png)).size) == 420
    assert all("S" not in one.title.split("_")[0] for one in said(tmp_path, hide_ids=True).pictures)


def test_maps_that_survive_shuffled_weights_are_warned_of(tmp_path):
    found = said(measured(tmp_path, spearman=0.9))
    assert "They hardly change when" in found.lead
    assert any("show the image more than what the networks learnt" in note for note in found.notes)


def test_without_lesions_and_slow_measures_the_breast_is_left(tmp_path):
    found = said(measured(tmp_path, lesions=False, slow=False))
    assert found.lead == "No lesion masks were there to compare the maps of 12 images with."
    assert [one.name for one in found.tables] == ["maps-breast"] and found.pictures == ()
    assert any("no image has a lesion with a mask" in note for note in found.notes)


def test_a_folder_without_measures_is_refused_with_the_command(tmp_path):
    with pytest.raises(PredictionError, match=r"holds no measures\.json.*ensemble-mammo explain .*--measure"):
        said(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"), [("{", "not a JSON object"), ("[]", "not a JSON object"), ('{"format": 9}', "its format is 9")]
)
def test_damaged_measures_are_refused(tmp_path, text, match):
    (tmp_path / "measures.json").write_text(text)
    with pytest.raises(PredictionError, match=match):
        said(tmp_path)


def test_measures_that_lack_a_part_are_refused(tmp_path):
    measured(tmp_path)
    found = json.loads((tmp_path / "measures.json").read_text())
    del found["means"]["all"]["pointing"]
    (tmp_path / "measures.json").write_text(json.dumps(found))
    with pytest.raises(PredictionError, match="'pointing' missing or damaged"):
        said(tmp_path)
