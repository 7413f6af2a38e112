"""The rules of a plan, put to numbers whose answer is known by hand."""

import math

import pytest

from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.learning.schedule import feature_groups
from ensemble_mammo.records.recipe import NetworkRecipe
from ensemble_mammo.workflows.plan import rules


def test_folds_of_the_manifest_stay_and_others_leave_no_fold_without_the_rarest_class():
    assert rules.folds_of(rarest=6, stated=4, crossvalidated=True) == 4
    assert rules.folds_of(rarest=6, stated=0, crossvalidated=True) == 5
    assert rules.folds_of(rarest=3, stated=0, crossvalidated=True) == 3
    assert rules.folds_of(rarest=1, stated=0, crossvalidated=True) == 2
    assert rules.folds_of(rarest=900, stated=5, crossvalidated=False) == 0


@pytest.mark.parametrize(
    ("ordinal", "prepared", "images", "gpu", "expected"),
    [
        (True, 640, 200, False, 256),
        (True, 1152, 50_000, False, 256),
        (True, 1152, 50_000, True, 512),
        (False, 1152, 200, True, 640),
        (False, 1152, 50_000, True, 1152),
        (False, 300, 200, False, 288),
        (True, 96, 200, False, 96),
        (True, 20, 200, False, 32),
    ],
)
def test_rows_are_whole_cells_and_no_more_than_the_prepared_images_have(ordinal, prepared, images, gpu, expected):
    assert rules.rows_of_input(ordinal, prepared, images, gpu) == expected


@pytest.mark.parametrize(("aspect", "columns"), [(0.484, 128), (0.517, 128), (0.647, 160), (0.01, 32)])
def test_columns_follow_the_median_aspect(aspect, columns):
    assert rules.columns_of_input(256, aspect) == columns


def test_the_stride_and_the_groups_are_those_of_the_network():
    network = create_network(NetworkRecipe(rules.NETWORK), 4)
    assert network.feature_info[-1]["reduction"] == rules.STRIDE
    assert len(feature_groups(network)) == rules.GROUPS_ALL


def test_more_subjects_free_more_of_the_network():
    assert [rules.groups_freed(n) for n in (10, 29, 30, 99, 100, 4999, 5000)] == [2, 2, 4, 4, 5, 5, 8]


def test_a_step_grows_with_the_images_and_the_rate_with_its_root():
    assert [rules.images_a_step(n) for n in (1, 9_999, 10_000, 99_999, 100_000, 1_000_000)] == [16, 16, 32, 32, 64, 128]
    assert rules.rate_of(1e-3, 16) == 1e-3
    assert rules.rate_of(1e-3, 64) == 2e-3
    assert rules.rate_of(1e-3, 32) == pytest.approx(1e-3 * math.sqrt(2), rel=0.02)


def test_few_images_are_shown_more_often():
    assert [rules.epochs_of(n) for n in (10, 206, 642, 985, 100_000)] == [24, 24, 9, 6, 6]
    assert [rules.head_epochs_of(n) for n in (6, 9, 24)] == [1, 1, 3]


def test_the_cache_holds_all_images_or_half_of_the_free_disk():
    exact = 10_000 * 256 * 128 * 2 / 1e9
    assert exact <= rules.cache_of(10_000, 256, 128, free_gb=100) <= exact + 0.2
    assert rules.cache_of(10_000_000, 256, 128, free_gb=100) == 50
    assert rules.cache_of(1000, 256, 128, free_gb=0) == 0


def test_a_gpu_is_fed_by_the_cores_that_are_left():
    assert [rules.loaders_of(cores, gpu=True) for cores in (1, 2, 16, 64)] == [1, 1, 15, 16]
    assert rules.loaders_of(64, gpu=False) == 1
