import numpy as np
import pytest

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.merit.froc import Curve
from ensemble_mammo.merit.hitting import HitRule
from ensemble_mammo.merit.inputs.heatmaps import read_heatmaps
from ensemble_mammo.merit.inputs.lesion_hits import froc_of_dataset, hits_in_dataset
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.png16 import write_mask
from tests.merit.inputs.lesion_sets import ENTRIES, IMAGES, SHAPE, dataset_made, entry, heatmaps_written


@pytest.fixture
def made(tmp_path):
    return dataset_made(tmp_path / "data", IMAGES), heatmaps_written(tmp_path / "maps", ENTRIES, notes=["seen before"])


def test_lesions_with_a_mask_count_and_images_are_counted_by_what_is_known(made):
    dataset, folder = made
    found = hits_in_dataset(read_heatmaps(folder), dataset)
    assert [one.image_id for one in found.entries] == ["i1", "i2", "i3", "i4", "i6"]
    assert [one.alarms for one in found.held.images] == [True, True, True, True, False]
    assert [one.lesion_free for one in found.held.images] == [False, False, True, False, False]
    assert [(one.lesion_id, one.place, one.area_px) for one in found.lesions] == [
        ("i1_1", 0, 100),
        ("i2_1", 1, 25),
        ("i2_2", 1, 16),
        ("i6_1", 4, 64),
    ]
    np.testing.assert_array_equal(found.held.units["lesion"].scores, [0.9, 0.6, -np.inf, 0.3])
    assert (found.left_out, found.without_mask) == (2, 3)
    assert found.notes == (
        "images left out, since by lesions.csv or their label they have a lesion, and none has a mask: 2",
        "images whose false positives are not counted, since they have a lesion without a mask too: 1",
        "lesions of a finding that has no masks here (calcification): 1, on 1 of the 5 images; boxes on them count as "
        "false positives",
        "seen before",
    )


def test_the_curve_of_the_dataset_by_hand(made):
    dataset, folder = made
    hits, figures = froc_of_dataset(folder, dataset, rates=(0.0, 0.5, 0.75, 1.0))
    assert [one.value for one in figures] == [0.25, 0.5, 0.75, 0.75]
    np.testing.assert_allclose(Curve(hits.held, lesion_free=True).sensitivity((0.0, 1.0)), [0.25, 0.75])


def test_a_lesions_share_is_of_the_breast(made):
    dataset, folder = made
    found = hits_in_dataset(read_heatmaps(folder), dataset)
    breast = 64 * 20  # what is not black
    np.testing.assert_allclose(found.held.images[1].shares, [25 / breast, 16 / breast])
    assert found.held.images[1].covered == pytest.approx(41 / breast)


def test_where_the_background_is_kept_the_breast_is_found_or_all_counts(tmp_path):
    dataset = dataset_made(tmp_path / "data", IMAGES, outside="keep")
    maps = read_heatmaps(heatmaps_written(tmp_path / "maps", ENTRIES))
    whole = hits_in_dataset(maps, dataset).held.images[0].shares
    half = hits_in_dataset(maps, dataset, lambda pixels: pixels > 0.1).held.images[0].shares
    np.testing.assert_allclose([whole[0], half[0]], [100 / (64 * 40), 100 / (64 * 20)])


def test_a_rule_by_overlap_has_no_chance(made):
    dataset, folder = made
    found = hits_in_dataset(read_heatmaps(folder), dataset, rule=HitRule(iou=0.5))
    assert found.held.images[0].hits.ravel().tolist() == [True, True, False]  # boxes of 10 x 10 on a lesion of 10 x 10
    assert np.isnan(found.held.images[0].shares).all()


def test_lesions_on_images_without_a_heatmap_are_told(made, tmp_path):
    dataset, _ = made
    found = hits_in_dataset(read_heatmaps(heatmaps_written(tmp_path / "less", ENTRIES[:1])), dataset)
    assert found.notes == ("lesions with a mask on images of these subjects that have no heatmap, not counted: 2",)


def test_each_collection_says_for_itself_which_findings_have_masks(tmp_path):
    images = [*IMAGES[:1], ("j1", "E", "CC_R", "benign", [("mass", "", None)])]
    dataset = dataset_made(tmp_path / "data", images)
    table = dataset.table.assign(collection=["one", "other"])
    table.to_csv(tmp_path / "data/manifest.csv", index=False)
    maps = read_heatmaps(heatmaps_written(tmp_path / "maps", [ENTRIES[0], entry("j1", "E", "CC_R", [(0.5, 3, 3)])]))
    assert hits_in_dataset(maps, dataset).left_out == 1
    apart = hits_in_dataset(maps, read_dataset(tmp_path / "data"))
    assert apart.left_out == 0 and "(mass): 1, on 1 of the 2 images" in apart.notes[0]


def test_images_of_another_size_subject_or_dataset_are_refused(made, tmp_path):
    dataset, _ = made
    wrong = [
        entry("i1", "A", "CC_R", [], shape=(128, 80)),
        entry("i2", "Z", "MLO_R", []),
        entry("CC_R.dcm", "A", "CC_R", []),
    ]
    with pytest.raises(PredictionError) as error:
        hits_in_dataset(read_heatmaps(heatmaps_written(tmp_path / "w", wrong)), dataset)
    assert "i1: boxes in an image of 128 x 80, prepared are 64 x 40" in str(error.value)
    assert "i2: subject 'Z', in the dataset 'A'" in str(error.value)
    assert "image_id 'CC_R.dcm' is not in" in str(error.value) and "heatmap --data" in str(error.value)


def test_a_dataset_without_masks_is_refused(tmp_path):
    dataset = dataset_made(tmp_path / "data", IMAGES[3:5])
    maps = read_heatmaps(heatmaps_written(tmp_path / "maps", ENTRIES[3:5]))
    with pytest.raises(PredictionError, match=r"lesions\.csv names no mask"):
        hits_in_dataset(maps, dataset)


@pytest.mark.parametrize(
    ("mask", "match"),
    [(np.full((10, 10), 255, np.uint8), r"\(10, 10\)"), (np.zeros(SHAPE, np.uint8), "without a pixel")],
)
def test_masks_of_another_size_or_empty_are_refused(made, mask, match):
    dataset, folder = made
    write_mask(dataset.root / "masks/i1_1.png", mask)
    with pytest.raises(DatasetError, match=match):
        hits_in_dataset(read_heatmaps(folder), dataset)
