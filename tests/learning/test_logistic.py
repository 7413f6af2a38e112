"""The last layer fitted in one go."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.learning.images import ViewImages, to_input
from ensemble_mammo.learning.logistic import fit_last_layer, logistic_regression
from ensemble_mammo.learning.state import Samples, Setting, State
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.recipe import InputRecipe, LossRecipe, NetworkRecipe, TrainRecipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.tiny import tiny_dataset, tiny_recipe

CPU = TrainOptions(device="cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"), 24, 8)


def recipe_of(network="test_efficientnet", strength=0.5, **loss):
    settings = TrainRecipe(1, fit="logistic", fit_strength=strength, keep="last", batch_size=5)
    recipe = dataclasses.replace(tiny_recipe(), train=settings, loss=LossRecipe(**loss))
    if network == "hand_features":
        return dataclasses.replace(recipe, network=NetworkRecipe(network), input=InputRecipe(32, 32))
    return recipe


def pooled(run, dataset, split):
    rows = dataset.rows(View.CC_R, split)
    batch = torch.stack([to_input(read_png16(dataset.root / f), run.recipe.input)[0] for f in rows["file"]])
    with torch.inference_mode():
        features = run.network.forward_head(run.network.forward_features(batch), pre_logits=True)
        return features.double().numpy(), run.network(batch).softmax(1).numpy(), rows["density"].to_numpy()


@pytest.mark.parametrize("network", ["test_efficientnet", "hand_features"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_scores_are_those_of_a_pipeline_of_scikit_learn(dataset, tmp_path, network, weights):
    labels = dict.fromkeys(range(4, 12), "A")
    uneven = tiny_dataset(tmp_path / "data", 24, 8, labels) if weights == "balanced" else dataset
    done = train(uneven, View.CC_R, recipe_of(network, class_weights=weights), tmp_path / "runs", CPU)
    run = load_run(done.folder)
    features, scores, labels = pooled(run, uneven, "train")
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=0.5, max_iter=5000, tol=1e-8, class_weight=None if weights == "none" else weights)
    model.fit(scaler.transform(features), labels)
    assert list(model.classes_) == list("ABCD")
    assert scores == pytest.approx(model.predict_proba(scaler.transform(features)), abs=2e-3)
    held_out, given, true = pooled(run, uneven, "val")
    assert given == pytest.approx(model.predict_proba(scaler.transform(held_out)), abs=2e-3)
    (row,) = done.history.to_dict("records")
    each = done.info["images"]["train"]
    assert row["train_accuracy"] == pytest.approx((np.array(list("ABCD"))[scores.argmax(1)] == labels).mean())
    assert row["val_accuracy"] == pytest.approx((np.array(list("ABCD"))[given.argmax(1)] == true).mean())
    assert row["learning_rate"] == 1 and done.info["kept_epoch"] == 1 and sum(each.values()) == 24


def test_nothing_but_the_last_layer_changes(dataset, tmp_path):
    from ensemble_mammo.learning.networks import create_network

    torch.manual_seed(0)
    before = create_network(NetworkRecipe("test_efficientnet"), 4).state_dict()
    done = train(dataset, View.CC_R, recipe_of(), tmp_path, CPU)
    after = load_run(done.folder).network.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["classifier.weight", "classifier.bias"]


def test_a_run_is_the_same_whatever_the_workers_and_is_taken_as_it_is_when_finished(dataset, tmp_path):
    one = train(dataset, View.CC_R, recipe_of("hand_features"), tmp_path / "one", CPU)
    two = train(dataset, View.CC_R, recipe_of("hand_features"), tmp_path / "two", dataclasses.replace(CPU, workers=2))
    name = "weights.safetensors"
    assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    written = (one.folder / name).stat().st_mtime_ns
    again = train(dataset, View.CC_R, recipe_of("hand_features"), tmp_path / "one", CPU)
    assert again.info["status"] == "finished" and (one.folder / name).stat().st_mtime_ns == written
    pd.testing.assert_frame_equal(again.history, one.history)


def test_a_class_that_nobody_has_is_never_predicted(tmp_path):
    labels = {n: "B" for n in range(24) if n % 4 == 3}
    dataset = tiny_dataset(tmp_path / "data", 24, 8, labels)
    done = train(dataset, View.CC_R, recipe_of("hand_features"), tmp_path / "runs", CPU)
    _, scores, _ = pooled(load_run(done.folder), dataset, "train")
    assert done.info["images"]["train"]["D"] == 0
    assert not scores[:, 3].any() and scores[:, :3].sum(1) == pytest.approx(np.ones(24))


def test_two_classes_have_the_logits_of_a_multinomial_model():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    weight, bias = logistic_regression(features, targets, 2, 0.7, np.ones(40))
    model = LogisticRegression(C=0.7, tol=1e-8).fit(features, targets)
    logits = features @ weight.numpy().T + bias.numpy()
    assert torch.from_numpy(logits).softmax(1).numpy() == pytest.approx(model.predict_proba(features), abs=1e-4)


class Plain(torch.nn.Module):
    """Two features: the mean of an image, and one that is 3 in every image."""

    def __init__(self, last=None):
        super().__init__()
        self.fc = last or torch.nn.Linear(2, 4)

    def get_classifier(self):
        return self.fc

    def forward_features(self, x):
        return x.mean((1, 2, 3))

    def forward_head(self, x, pre_logits=False):
        pooled = torch.stack([x, torch.full_like(x, 3.0)], 1)
        return pooled if pre_logits else self.fc(pooled)


def fitted(network, dataset):
    setting = Setting(recipe_of(), torch.device("cpu"), torch.float32, torch.ones(4))
    rows = dataset.rows(View.CC_R, "train")
    targets = np.array(["ABCD".index(label) for label in rows["density"]])
    samples = Samples(ViewImages(dataset.root, rows, setting.recipe.input), targets)
    return fit_last_layer(State(network), samples, setting)


def test_a_flat_feature_is_not_divided_by_its_deviation(dataset):
    network = Plain()
    loss, accuracy = fitted(network, dataset)
    assert bool(torch.isfinite(network.fc.weight).all()) and not network.fc.weight[:, 1].any()
    assert accuracy > 0.5 and 0 < loss < np.log(4)


@pytest.mark.parametrize(
    ("last", "found"),
    [
        (torch.nn.Conv2d(3, 4, 1), "it ends in Conv2d"),
        (torch.nn.Linear(7, 4), r"its last layer is given \[2\] an image"),
    ],
)
def test_a_network_without_one_linear_layer_on_pooled_features_is_refused(dataset, last, found):
    with pytest.raises(RecipeError, match=f"one linear layer on pooled features, .* is otherwise: {found}"):
        fitted(Plain(last), dataset)


def test_augmented_or_smoothed_fits_are_refused_all_at_once():
    with pytest.raises(ValueError, match=r"needs epochs = 1, keep = 'last', no early_stopping"):
        TrainRecipe(3, fit="logistic", early_stopping=2)
    with pytest.raises(ValueError, match=r"it needs no loss.label_smoothing, no loss.soft_targets"):
        recipe_of(label_smoothing=0.1)
    with pytest.raises(ValueError, match="fit is 'ridge', expected one of steps, logistic"):
        TrainRecipe(1, fit="ridge")
    with pytest.raises(ValueError, match=r"stages is empty, expected at least one \[\[train.stages\]\]"):
        TrainRecipe(1)
    assert TrainRecipe(1, fit="logistic", keep="last").stages[0].trainable == "head"
