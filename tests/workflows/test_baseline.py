"""The baseline beside a network: fitted on the same subjects, predicted beside it, reported beside it."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import RecipeError, RunError
from ensemble_mammo.records.manifest import MANIFEST, read_dataset
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.baseline import baseline_recipes
from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval
from tests.learning.tiny import tiny_dataset, tiny_recipe

SETTINGS = ("train.epochs=1", "input.height=32", "input.width=32")
TABLES = {"CC_R.csv", "predictions.json", "predictions_ccr.ids.csv", "predictions_ccr.txt", "right.csv", "subject.csv"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def options(**fields):
    return CrossvalOptions(2, "density/demo", SETTINGS, (View.CC_R,), TrainOptions(device="cpu"), **fields)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def fitted_beside(dataset, out, options):
    recipes = baseline_recipes(dataset, "density", (View.CC_R,))
    return [train(dataset, view, recipe, out / "baseline", options) for view, recipe in recipes.items()]


def test_a_view_of_one_class_is_left_out_before_anything_is_trained(dataset, caplog):
    one = replace(dataset, table=dataset.table.assign(density="B"))
    assert baseline_recipes(one, "density", tuple(View)) == {}
    assert "CC_R: no baseline, its images have fewer than two classes of density" in caplog.text


def test_it_has_no_maps(dataset, tmp_path):
    fitted_beside(dataset, tmp_path, TrainOptions(device="cpu"))
    with pytest.raises(RunError, match="hand-made features, which measure the whole breast: there is no map"):
        explain(dataset, tmp_path / "baseline", tmp_path / "maps", ExplainOptions())


def test_it_has_the_task_of_the_network_and_the_views_of_the_dataset(dataset):
    tissue = dataset.table["density"].map({"A": "F", "B": "G", "C": "D", "D": "D"})
    dataset = replace(dataset, table=dataset.table.assign(tissue=tissue))
    recipes = baseline_recipes(dataset, "tissue", tuple(View))
    assert list(recipes) == [View.CC_R]
    assert recipes[View.CC_R].task == "tissue" and recipes[View.CC_R].network.name == "hand_features"
    with pytest.raises(RecipeError, match=r"the baseline measures whole breasts, and .* holds patches; leave it out"):
        baseline_recipes(dataset, "patch", tuple(View))


def test_tiles_have_no_baseline(dataset, tmp_path):
    description = json.loads((dataset.root / "dataset.json").read_text()) | {"tiles": {"size_px": 64}}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(RecipeError, match=r"the baseline measures whole breasts, and .* holds tiles; leave it out"):
        baseline_recipes(replace(dataset, root=tmp_path), "density", tuple(View))


def test_cross_validation_predicts_it_over_the_same_folds_and_reports_it(dataset, tmp_path):
    found = crossval(dataset, tmp_path, options(baseline=True))
    assert names(tmp_path) == {"crossval.json", "fold-0", "fold-1", "baseline", "predictions", "report"}
    assert names(tmp_path / "baseline") == {"crossval.json", "fold-0", "fold-1"}
    assert names(tmp_path / "predictions") == TABLES | {"baseline"}
    assert names(tmp_path / "predictions/baseline") == TABLES
    own, theirs = (
        json.loads((tmp_path / "predictions" / part / "predictions.json").read_text()) for part in ("", "baseline")
    )
    assert own["fold_of"] == theirs["fold_of"] and theirs["out_of_fold"] is True
    runs = [json.loads((tmp_path / part / "fold-0/CC_R/run.json").read_text()) for part in ("", "baseline")]
    assert runs[0]["trained_on"] == runs[1]["trained_on"] and runs[1]["network"] == "hand_features"
    assert "baseline" in [section.name for section in found.sections]
    again = crossval(dataset, tmp_path, options())  # what was not asked for does not stay beside
    assert names(tmp_path / "predictions") == TABLES
    assert "baseline" not in [section.name for section in again.sections]


def test_predict_writes_its_scores_beside_those_of_the_network(dataset, tmp_path):
    cpu = TrainOptions(device="cpu")
    train(dataset, View.CC_R, tiny_recipe(epochs=1), tmp_path / "runs", cpu)
    (fitted,) = fitted_beside(dataset, tmp_path / "runs", cpu)
    assert fitted.folder == tmp_path / "runs/baseline/CC_R"
    val = PredictOptions(split="val")
    predict(dataset, tmp_path / "runs", tmp_path / "out", val)
    folder = tmp_path / "out/predictions"
    assert names(folder) == TABLES | {"baseline"} and names(folder / "baseline") == TABLES
    tables = [pd.read_csv(folder / part / "CC_R.csv") for part in ("", "baseline")]
    assert tables[0]["subject_id"].tolist() == tables[1]["subject_id"].tolist()
    assert not tables[0][list("ABCD")].equals(tables[1][list("ABCD")])
    alone = predict(dataset, tmp_path / "runs/baseline", options=val)
    assert tables[1][list("ABCD")].to_numpy() == pytest.approx(alone.views[View.CC_R].scores)
    predict(dataset, tmp_path / "runs/CC_R", tmp_path / "out", val)  # a run alone: no baseline stays beside it
    assert names(folder) == TABLES


def test_a_breast_brighter_in_each_class_is_told_by_its_features(dataset, tmp_path):
    fitted_beside(dataset, tmp_path, TrainOptions(device="cpu"))
    scores = predict(dataset, tmp_path / "baseline", options=PredictOptions(split="val")).views[View.CC_R]
    labels = dict(zip(dataset.table["subject_id"], dataset.table["density"], strict=True))
    right = ["ABCD"[p] == labels[s] for p, s in zip(scores.scores.argmax(1), scores.subject_ids, strict=True)]
    assert sum(right) >= 3  # of four, by twelve images


def test_one_command_fits_network_and_baseline(dataset, tmp_path):
    sets = [part for one in (*SETTINGS, "network.name=test_efficientnet") for part in ("--set", one)]
    told = ["train", "--view", "CC_R", "--data", str(dataset.root), "--out", str(tmp_path / "runs"), "--baseline"]
    done = CliRunner().invoke(app, [*told, "--recipe", "density/demo", "--device", "cpu", *sets])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "runs/CC_R/run.json").is_file() and (tmp_path / "runs/baseline/CC_R/run.json").is_file()


def test_the_baseline_of_a_leaking_dataset_is_refused_like_the_network(tmp_path):
    made = tiny_dataset(tmp_path / "data")
    table = made.table.copy()
    table.loc[12:, "subject_id"] = table["subject_id"].iloc[:4].to_numpy()
    table.to_csv(tmp_path / "data" / MANIFEST, index=False)
    with pytest.raises(ValueError, match="stands in train and val"):
        fitted_beside(read_dataset(tmp_path / "data"), tmp_path / "runs", TrainOptions())
