import dataclasses
import io
import math

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.froc import RATES, Curve
from ensemble_mammo.merit.inputs.heatmaps import read_heatmaps
from ensemble_mammo.merit.inputs.lesion_hits import hits_in_dataset
from ensemble_mammo.stages.report.sections.lesions_found import GRID, section
from tests.merit.inputs.lesion_sets import ENTRIES, IMAGES, dataset_made, heatmaps_written
from tests.stages.report.studies import FEW, study_made


def said(tmp_path, images=IMAGES, entries=ENTRIES, learned=frozenset(), **fields):
    dataset = dataset_made(tmp_path / "data", images)
    maps = heatmaps_written(tmp_path / "maps", entries)
    study = study_made("pathology", options=dataclasses.replace(FEW, heatmaps=maps, dataset=dataset, **fields))
    study = dataclasses.replace(study, truth=dataclasses.replace(study.truth, learned=learned))
    return section(study), hits_in_dataset(read_heatmaps(maps), dataset)


def table(found, name):
    return next(one for one in found.tables if one.name == name).records()


def test_without_a_folder_there_is_no_section():
    assert section(study_made("pathology")) is None


def test_without_a_dataset_the_heatmaps_are_refused(tmp_path):
    study = study_made("pathology", options=dataclasses.replace(FEW, heatmaps=tmp_path))
    with pytest.raises(PredictionError, match="give the dataset that has them as --data"):
        section(study)


def test_the_lead_has_the_sensitivity_at_one_false_positive_an_image_beside_chance(tmp_path):
    found, _ = said(tmp_path)
    assert found.lead.startswith(
        "At one false positive an image, 3 of 4 lesions of 2 subjects are found: sensitivity 0.75 ("
    )
    assert "(boxes at random: " in found.lead and "Mean over 0.125 to 8 false positives an image: 0." in found.lead


def test_the_table_of_rates_is_the_curve_at_these(tmp_path):
    found, hits = said(tmp_path)
    rows = table(found, "froc-rates")
    assert [row["rate"] for row in rows] == ["0.125", "0.25", "0.5", "1", "2", "4", "8", "mean"]
    for unit in ("lesion", "image", "subject"):
        expected = Curve(hits.held, unit).sensitivity(RATES)
        np.testing.assert_allclose([row[unit]["value"] for row in rows[:-1]], expected)
        assert rows[-1][unit]["value"] == pytest.approx(expected.mean())
    assert rows[3]["threshold"] == 0.3 and rows[-1]["threshold"] is None
    assert rows[3]["lesion-free"]["value"] == 0.75


def test_the_best_boxes_and_the_counts_by_hand(tmp_path):
    found, _ = said(tmp_path)
    one = table(found, "froc-best")[0]
    assert (one["lesion"]["value"], one["image"]["value"], one["alarms"]["value"]) == pytest.approx(
        (2 / 4, 2 / 3, 2 / 4)
    )
    counts = {row["what"]: row["count"] for row in table(found, "froc-counts")}
    assert counts["images"] == 5 and counts["lesions with a mask"] == 4 and counts["images left out"] == 2
    assert counts["images whose false positives are counted"] == 4 and counts["images without any lesion"] == 1
    assert counts["lesions without a mask, in no sensitivity"] == 3 and counts["lesions that no box hits"] == 1
    assert counts["boxes"] == 9 and counts["boxes that hit no lesion"] == 4


def test_lesions_are_told_apart_by_size_and_pathology_where_they_differ(tmp_path):
    found, _ = said(tmp_path)
    rows = table(found, "froc-groups")
    assert [row["kind"] for row in rows] == ["size"] * 3 + ["pathology"] * 2  # all are masses
    by_group = {row["group"]: row for row in rows}
    assert by_group["malignant"]["lesions"] == 3 and by_group["malignant"]["at_one"]["value"] == 1
    assert by_group["benign"]["at_all"]["value"] == 0
    assert sum(row["lesions"] * row["at_one"]["value"] for row in rows[:3]) == pytest.approx(3)
    assert any(name.startswith("largest third (11 to 11 px)") for name in by_group)  # 2 sqrt(100 / pi) = 11.3


def test_the_chart_has_the_curves_with_the_band_of_the_first(tmp_path):
    found, hits = said(tmp_path)
    (chart,) = found.charts
    first, *others = chart.lines
    np.testing.assert_allclose(first.y, Curve(hits.held).sensitivity(GRID))
    assert len(first.low) == len(GRID) and all(not len(one.low) for one in others)
    assert [one.label.split(",")[0] for one in chart.lines] == [
        "lesions",
        "images",
        "subjects",
        "lesions",
        "boxes at random",
    ]
    assert chart.x_range == (0.0, 4.0)
    bare, _ = said(tmp_path / "bare", resamples=0)
    assert not len(bare.charts[0].lines[0].low) and bare.charts[0].caption == "No band."


def test_notes_say_what_was_left_out_whose_images_they_are_and_where_the_curve_ends(tmp_path):
    found, _ = said(tmp_path, learned=frozenset({"A"}))
    text = " | ".join(found.notes)
    assert "all boxes together make 1.00 false positives an image: at 2, 4, 8 the sensitivity is that of all" in text
    assert "3 of the 3 subjects with heatmaps are not among those judged" in text
    assert "1 of the 3 subjects with heatmaps are of the dataset's splits train and val" in text
    assert "none has a mask: 2" in text and "boxes on them count as false positives" in text


def test_without_a_lesion_among_the_images_all_is_undefined_and_said(tmp_path):
    found, _ = said(tmp_path, entries=ENTRIES[2:4])
    assert found.lead == "None of the 2 images looked at has a lesion with a mask."
    assert "no lesion with a mask: sensitivity is undefined" in found.notes
    assert all(row["lesion"]["value"] is None for row in table(found, "froc-rates"))
    assert found.pictures == () and table(found, "froc-groups") == []


def test_without_an_image_whose_false_positives_count_the_rates_are_undefined(tmp_path):
    found, _ = said(tmp_path, entries=ENTRIES[5:6])
    assert found.lead == "1 lesion with a mask; false positives are counted on no image."
    assert any("no image on which false positives are counted" in note for note in found.notes)
    assert table(found, "froc-best")[1]["lesion"]["value"] == 1


def test_without_an_image_free_of_lesions_that_column_is_undefined(tmp_path):
    found, _ = said(tmp_path, entries=ENTRIES[:2])
    assert any("no image is without a lesion" in note for note in found.notes)
    assert all(row["lesion-free"]["value"] is None for row in table(found, "froc-rates"))
    assert not math.isnan(found.charts[0].lines[0].y[0])


def test_pictures_are_the_surest_hits_and_the_worst_misses(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    Image.fromarray(np.full((128, 80, 3), 200, np.uint8)).save(maps / "i1.png")
    found, _ = said(tmp_path, entries=[ENTRIES[0] | {"overlay": "i1.png"}, *ENTRIES[1:]])
    assert [one.title for one in found.pictures] == ["A 1 CC_R", "A 1 MLO_R", "A 1 MLO_R", "C 1 MLO_L"]
    assert found.pictures[0].caption == (
        "The outlined malignant mass: its best box scores 0.9; boxes of the image that score higher: 0; among the "
        "surest hits."
    )
    assert "no box hits it; boxes of the image that score higher: 1; among the worst" in found.pictures[2].caption
    shown = np.asarray(Image.open(io.BytesIO(found.pictures[0].png)))
    assert shown.shape == (64, 40, 3) and abs(int(shown[50, 35].mean()) - 200) < 10  # the heatmap's own picture
    hidden, _ = said(tmp_path / "hidden", hide_ids=True)
    assert [one.title for one in hidden.pictures] == ["CC_R", "MLO_R", "MLO_R", "MLO_L"]


def test_a_damaged_picture_is_refused(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/i1.png").write_bytes(b"no picture")
    with pytest.raises(PredictionError, match=r"i1\.png: damaged"):
        said(tmp_path, entries=[ENTRIES[0] | {"overlay": "i1.png"}, *ENTRIES[1:]])
