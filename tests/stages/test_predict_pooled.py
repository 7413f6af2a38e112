"""Pooled networks, several models, mirror images and other sources, from training to maps."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.learning.scores import scores_of
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.report import ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval

pytestmark = pytest.mark.usefixtures("in_process")
SETTINGS = ("pooled=true", "task='pathology'", "train.epochs=1", "input.height=48", "input.width=32")


@pytest.fixture(scope="module")
def cancer(dataset, tmp_path_factory):
    """The phantom dataset with a made-up pathology of each subject: dense is malignant."""
    root = tmp_path_factory.mktemp("cancer") / "dataset"
    root.mkdir()
    (root / "images").symlink_to(dataset.root / "images")
    (root / "dataset.json").write_text((dataset.root / "dataset.json").read_text())
    labels = ["malignant" if label in "CD" else "benign" for label in dataset.table["density"]]
    dataset.table.assign(pathology=labels).to_csv(root / "manifest.csv", index=False)
    return read_dataset(root)


@pytest.fixture(scope="module")
def pooled(cancer, tmp_path_factory):
    """Two pooled runs, the second of another seed and input."""
    folder = tmp_path_factory.mktemp("pooled")
    for name, more in (("a", ()), ("b", ("input.height=64",))):
        recipe = load_recipe("density/demo", None, (*SETTINGS, *more))
        train(cancer, None, recipe, folder / name, TrainOptions(seed=len(more), device="cpu"))
    return folder


def test_a_pooled_run_goes_through_predict_report_and_explain(cancer, pooled, tmp_path):
    scores = predict(cancer, pooled / "a", tmp_path, PredictOptions(split="test"))
    assert list(scores.views) == list(View)
    origin = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert len({runs[0]["weights_sha256"] for runs in origin["runs"].values()}) == 1
    truth = truth_from_dataset(cancer, TASKS["pathology"])
    found = report([tmp_path / "predictions"], truth, tmp_path / "report", ReportOptions(resamples=0, dataset=cancer))
    assert found.task.name == "pathology" and "subject" in found.figures
    maps = explain(cancer, pooled / "a", tmp_path / "maps", ExplainOptions(split="test"))
    assert len(maps) == len(cancer.rows(split="test"))


def test_a_raw_folder_is_predicted_by_a_pooled_run(exams, pooled):
    scores = predict(exams / "PH0001", pooled / "a")
    assert list(scores.views) == list(View) and scores.fused.levels["subject"].scores.shape == (1, 2)


def test_several_models_are_averaged_each_with_its_own_input(cancer, pooled):
    options = PredictOptions(split="test")
    first, second = (predict(cancer, pooled / name, options=options) for name in "ab")
    both = predict(cancer, [pooled / "a", pooled / "b"], options=options)
    for view in View:
        expected = (first.views[view].scores + second.views[view].scores) / 2
        assert np.allclose(both.views[view].scores, expected, atol=1e-6)
        assert not np.allclose(first.views[view].scores, second.views[view].scores, atol=1e-4)


def test_flips_are_the_mean_over_four_mirror_images(cancer, pooled):
    run = load_run(pooled / "a" / "ANY")
    recipe = dataclasses.replace(run.recipe.input, fit="squash")  # a mirrored image is then a mirrored input
    run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, input=recipe))
    pixels = read_png16(cancer.root / cancer.table["file"].iloc[0])
    turned = [pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]]
    one_by_one = [scores_of([run], [np.ascontiguousarray(image)])[0] for image in turned]
    assert np.allclose(scores_of([run], [pixels], flips=True)[0], np.mean(one_by_one, axis=0), atol=1e-5)


def test_scores_of_two_classes_are_read_as_those_of_another_task(cancer, pooled, tmp_path):
    options = PredictOptions(split="test", read_as="birads")
    read = predict(cancer, pooled / "a", tmp_path, options)
    plain = predict(cancer, pooled / "a", options=PredictOptions(split="test"))
    assert read.task.name == "birads" and list(pd.read_csv(tmp_path / "predictions/CC_R.csv"))[-2:] == ["1-2", "4-6"]
    assert np.array_equal(read.views[View.CC_R].scores, plain.views[View.CC_R].scores)
    assert "the networks learned pathology; their scores are read as birads: benign as 1-2, malignant as 4-6" in (
        read.notes
    )
    with pytest.raises(PredictionError, match=r"--read-as density: .* both must have two classes"):
        predict(cancer, pooled / "a", options=PredictOptions(read_as="density"))
    with pytest.raises(PredictionError, match=r"--read-as: task 'birad' is not one of .* mean 'birads'"):
        predict(cancer, pooled / "a", options=PredictOptions(read_as="birad"))


def test_images_of_another_kind_of_source_are_taken_when_asked_for_and_noted(cancer, pooled, tmp_path):
    other = dataclasses.replace(cancer, preparation=dataclasses.replace(cancer.preparation, trim=0.05))
    with pytest.raises(DatasetError, match=r"trim 0\.05, in training 0\.0.*give --other-source"):
        predict(other, pooled / "a", options=PredictOptions(split="test"))
    scores = predict(other, pooled / "a", options=PredictOptions(split="test", other_source=True))
    assert scores.notes[0].startswith("images of another kind of source than those of the training: trim 0.05")
    explain(other, pooled / "a", tmp_path / "maps", ExplainOptions(split="test", other_source=True))
    larger = dataclasses.replace(cancer, preparation=dataclasses.replace(cancer.preparation, height=64))
    with pytest.raises(DatasetError, match=r"height 64, in training 96\); prepare it again with .* training data$"):
        predict(larger, pooled / "a", options=PredictOptions(other_source=True))


def test_a_pooled_recipe_is_cross_validated_once_for_all_views(cancer, tmp_path):
    options = CrossvalOptions(2, "density/demo", SETTINGS, train=TrainOptions(device="cpu"))
    found = crossval(cancer, tmp_path / "cv", options)
    assert sorted(path.name for path in (tmp_path / "cv" / "fold-0").iterdir()) == ["ANY"]
    table = pd.read_csv(tmp_path / "cv" / "predictions" / "MLO_L.csv")
    assert sorted(table["subject_id"]) == sorted(cancer.rows(View.MLO_L)["subject_id"])
    assert found.task.name == "pathology"


def test_patches_and_mammograms_are_told_apart_before_anything_is_predicted(cancer, pooled):
    patches = dataclasses.replace(cancer, table=cancer.table.assign(patch="background"))
    with pytest.raises(
        DatasetError, match="a set of patches, and the networks look at whole mammograms; give the dataset of"
    ):
        predict(patches, pooled / "a")


def test_a_network_of_patches_is_sent_to_heatmap_when_it_meets_mammograms(cancer, tmp_path):
    labels = ["background", "benign-mass"] * (len(cancer.table) // 2)
    patches = dataclasses.replace(cancer, table=cancer.table.assign(patch=labels))
    recipe = load_recipe("density/demo", None, (*SETTINGS, "task='patch'"))
    train(patches, None, recipe, tmp_path / "runs", TrainOptions(device="cpu"))
    with pytest.raises(DatasetError, match=r"holds mammograms, and the networks look at patches; .* heatmap"):
        predict(cancer, tmp_path / "runs")
