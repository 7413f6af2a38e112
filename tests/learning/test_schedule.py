import math

import pytest
import timm
from torch import nn

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.schedule import (
    feature_groups,
    is_better,
    needs_validation,
    plateaus,
    schedule,
    set_trainable,
    stage_at,
    stops_early,
)
from ensemble_mammo.records.recipe import StageRecipe, TrainRecipe

STAGES = (StageRecipe(1e-2, 2, "head"), StageRecipe(1e-3, 4, "top:2"), StageRecipe(1e-4))


def _recipe(stages=STAGES, epochs=10, **options):
    return TrainRecipe(epochs, stages, **options)


def _rows(*pairs):
    return [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in pairs]


def test_stages_follow_each_other_and_the_last_goes_on_to_the_end():
    found = [stage_at(_recipe(), epoch) for epoch in (0, 1, 2, 5, 6, 9)]
    assert found == [(0, 0, 2), (0, 0, 2), (1, 2, 6), (1, 2, 6), (2, 6, 10), (2, 6, 10)]


def test_fewer_epochs_than_stages_cut_the_stages():
    assert stage_at(_recipe(epochs=3), 2) == (1, 2, 3)


def test_a_constant_rate_is_that_of_the_stage():
    assert [schedule(_recipe(), e, []).learning_rate for e in (0, 2, 9)] == [1e-2, 1e-3, 1e-4]
    assert schedule(_recipe(), 3, []).trainable == "top:2"


def test_cosine_falls_within_each_stage_to_the_floor():
    recipe = _recipe(decay="cosine", minimum_learning_rate=2e-4)
    rates = [schedule(recipe, epoch, []).learning_rate for epoch in range(2, 6)]
    expected = [2e-4 + 8e-4 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)]
    assert rates == pytest.approx(expected)
    assert rates[0] == pytest.approx(1e-3) and rates[2] == pytest.approx(6e-4)
    assert schedule(recipe, 7, []).learning_rate == pytest.approx(1e-4)  # a floor above the rate is no rise


def test_a_plateau_lowers_the_rate_by_hand_counted_epochs():
    recipe = _recipe((StageRecipe(0.01),), 100, decay="plateau", plateau_patience=2, minimum_learning_rate=1e-3)
    losses = [1.0, 0.9, 0.9, 0.95, 0.8, 0.8, 0.8]
    rates = [schedule(recipe, epoch, losses).learning_rate for epoch in range(8)]
    assert rates == pytest.approx([0.01] * 4 + [0.001] * 4)
    assert plateaus([1.0] * 7, 2) == 3


def test_the_schedule_of_infn_falls_once_after_fifteen_epochs_without_gain():
    recipe = _recipe((StageRecipe(0.01),), 100, decay="plateau", plateau_patience=15, minimum_learning_rate=1e-3)
    losses = [0.5] + [0.6] * 60
    rates = [schedule(recipe, epoch, losses).learning_rate for epoch in range(60)]
    assert rates == pytest.approx([0.01] * 16 + [0.001] * 44)


def test_nan_is_never_a_gain():
    assert plateaus([math.nan, math.nan, math.nan], 3) == 1


def test_training_stops_after_so_many_epochs_without_gain():
    recipe = _recipe(early_stopping=2)
    assert not stops_early(recipe, [1.0, 1.1])
    assert stops_early(recipe, [1.0, 1.1, 1.2])
    assert not stops_early(_recipe(), [1.0] * 50)


def test_the_kept_epoch_is_the_best_and_the_first_among_equals():
    recipe = _recipe(keep="best-accuracy")
    assert is_better(recipe, _rows((0.5, 1.0)))
    assert is_better(recipe, _rows((0.5, 1.0), (0.5, 0.9)))
    assert not is_better(recipe, _rows((0.5, 1.0), (0.5, 1.0)))
    assert not is_better(_recipe(keep="best-loss"), _rows((0.5, 1.0), (0.9, 1.1)))
    assert is_better(_recipe(keep="last"), _rows((0.5, 1.0), (0.1, 9.0)))


def test_settings_that_need_validation_are_named():
    assert needs_validation(_recipe(keep="best-loss", early_stopping=3)) == [
        "train.keep = 'best-loss'",
        "train.early_stopping = 3",
    ]
    assert needs_validation(_recipe(keep="last")) == []


def test_groups_run_from_the_stem_to_the_last_stage_without_the_head():
    groups = feature_groups(timm.create_model("test_resnet", num_classes=4))
    assert [group[0].split(".")[0] for group in groups] == ["conv1", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", {"fc"}),
        ("top:2", {"fc", "layer3", "layer4"}),
        ("all", {"conv1", "bn1", "fc"} | {f"layer{i}" for i in range(1, 5)}),
    ],
)
def test_what_learns_is_what_the_stage_says(trainable, expected):
    network = timm.create_model("test_resnet", num_classes=4)
    names = {name.split(".")[0] for name, _ in set_trainable(network, trainable)}
    assert names == expected
    assert {n.split(".")[0] for n, p in network.named_parameters() if p.requires_grad} == expected


def test_frozen_norms_keep_their_statistics():
    network = timm.create_model("test_resnet", num_classes=4)
    set_trainable(network, "top:1")
    modes = {name.split(".")[0]: m.training for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert modes == {"conv1": False, "bn1": False, "layer1": False, "layer2": False, "layer3": False, "layer4": True}
    set_trainable(network, "all", frozen_norm=True)
    assert not any(m.training for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    assert network.training


def test_more_groups_than_there_are_is_an_error():
    with pytest.raises(RecipeError, match=r"'top:9'.*5 feature groups"):
        set_trainable(timm.create_model("test_resnet"), "top:9")


def test_from_a_module_on_all_that_comes_after_it_learns_with_the_head():
    network = timm.create_model("test_resnet", num_classes=4)
    names = {name.split(".")[0] for name, _ in set_trainable(network, "from:layer3.0")}
    assert names == {"layer3", "layer4", "fc"}
    assert not network.layer2[0].conv1.weight.requires_grad and network.layer3[0].conv1.weight.requires_grad


def test_an_unknown_module_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match=r"'from:layer9', the network has no such module; did you mean .*layer"):
        set_trainable(timm.create_model("test_resnet"), "from:layer9")


def test_the_best_auc_keeps_an_epoch_and_an_undefined_one_never_does():
    recipe = _recipe(keep="best-auc")
    aucs = [0.6, 0.7, math.nan, 0.7, 0.71]
    rows = [{"val_auc": auc} for auc in aucs]
    assert [is_better(recipe, rows[: n + 1]) for n in range(5)] == [True, True, False, False, True]
    assert needs_validation(recipe) == ["train.keep = 'best-auc'"]
