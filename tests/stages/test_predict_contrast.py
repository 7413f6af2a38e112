"""predict --contrast: the input's contrast replaced, or scores at several beside the plain ones."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ensemble_mammo.cli import app
from ensemble_mammo.errors import PredictionError, RunError
from ensemble_mammo.learning.checkpoint import load_runs
from ensemble_mammo.learning.images import fit
from ensemble_mammo.records.origin import contrasts_in, read_origin
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.predictions import read_predictions
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.baseline import baseline_recipes

pytestmark = pytest.mark.usefixtures("in_process")
TEST = PredictOptions(split="test")


def at(*contrasts, **fields):
    return replace(TEST, contrasts=contrasts, **fields)


def names(folder):
    return {path.name for path in folder.iterdir()}


def same(one, other):
    return all(np.array_equal(a.scores, b.scores) for a, b in zip(one.levels(), other.levels(), strict=True))


def test_scores_at_a_contrast_are_those_of_an_input_changed_by_hand(dataset, runs):
    found = predict(dataset, runs, options=at(1.5))
    for view, (run,) in load_runs(runs).items():
        rows = dataset.rows(split="test")
        rows = rows[rows["view"] == view].sort_values("subject_id")
        values = torch.stack([fit(read_png16(dataset.root / file), run.recipe.input)[0] for file in rows["file"]])
        for image in values:
            own = float(image.double().mean())
            image.copy_(own + 1.5 * (image - own))
        if run.recipe.input.centre == "image":
            values = values - values.mean(dim=(1, 2, 3), keepdim=True)
        inputs = (values - run.recipe.input.mean) / run.recipe.input.std
        with torch.inference_mode():
            expected = torch.softmax(run.network(inputs).double(), dim=1).numpy()
        assert found.views[view].subject_ids == tuple(rows["subject_id"])
        assert np.allclose(found.views[view].scores, expected, rtol=0, atol=1e-5)
    assert not same(found, predict(dataset, runs, options=TEST))


def test_one_contrast_takes_the_place_of_the_recipes_own_and_says_so(dataset, runs, tmp_path):
    found = predict(dataset, runs, tmp_path, at(1.5))
    assert found.contrast == 1.5 and found.contrasts == {}
    assert found.notes[0] == "images were given to the networks at contrast 1.5; they learned at 1"
    folder = tmp_path / "predictions"
    assert "contrasts" not in names(folder)
    origin = read_origin(folder)
    assert origin.contrast == 1.5 and origin.own_contrast == 1.0
    plain = predict(dataset, runs, tmp_path / "plain", TEST)
    assert plain.contrast is None and read_origin(tmp_path / "plain/predictions").contrast is None
    assert origin.runs == read_origin(tmp_path / "plain/predictions").runs  # of the trained networks, as they are


def test_several_contrasts_stand_beside_the_plain_tables(dataset, runs, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        "ensemble_mammo.stages.predict.inputs.read_png16", lambda path: read.append(path) or read_png16(path)
    )
    found = predict(dataset, runs, tmp_path, at(1.0, 1.2, 2.0))
    assert len(read) == len(set(read)) == len(dataset.rows(split="test"))  # each image once
    plain = predict(dataset, runs, tmp_path / "plain", TEST)
    folder, alone = tmp_path / "predictions", tmp_path / "plain/predictions"
    assert names(folder) == names(alone) | {"contrasts"} and names(folder / "contrasts") == {"1", "1.2", "2"}
    assert same(found, plain) and list(found.contrasts) == [1.0, 1.2, 2.0]
    assert (folder / "predictions.json").read_bytes() == (alone / "predictions.json").read_bytes()
    assert same(found.contrasts[1.0], plain)
    for contrast, beside in contrasts_in(folder):
        assert names(beside) == names(alone)
        assert same(found.contrasts[contrast], predict(dataset, runs, options=at(contrast)))
        said = json.loads((beside / "predictions.json").read_text())
        assert said["contrast"] == contrast and f"at contrast {contrast:g}; they learned at 1" in said["notes"][0]
        for level in [*View, "right", "subject"]:
            table = read_predictions(beside / f"{level}.csv", level, tuple("ABCD"))
            (own,) = (one for one in found.contrasts[contrast].levels() if one.level == level)
            assert np.array_equal(table.scores, own.scores)


def test_what_an_earlier_call_left_at_other_contrasts_goes(dataset, runs, tmp_path):
    folder = tmp_path / "predictions"
    predict(dataset, runs, tmp_path, at(1.2, 2.0))
    predict(dataset, runs, tmp_path, at(1.5, 2.0))
    assert names(folder / "contrasts") == {"1.5", "2"}
    (folder / "contrasts/notes").mkdir()
    (folder / "contrasts/2/mine.txt").write_text("of a user")
    predict(dataset, runs, tmp_path, TEST)
    assert names(folder / "contrasts") == {"2", "notes"} and names(folder / "contrasts/2") == {"mine.txt"}
    shutil.rmtree(folder / "contrasts")
    predict(dataset, runs, tmp_path, at(1.5, 2.0))
    predict(dataset, runs, tmp_path, TEST)
    assert "contrasts" not in names(folder)


def test_all_folds_of_a_view_and_mirror_images_have_the_contrast(dataset, runs, tmp_path):
    for fold in ("fold-0", "fold-1"):
        shutil.copytree(runs / "CC_R", tmp_path / fold / "CC_R")
    one = predict(dataset, runs, options=at(1.5, only=(View.CC_R,), flips=True))
    both = predict(dataset, tmp_path, options=at(1.5, only=(View.CC_R,), flips=True))
    assert np.allclose(one.views[View.CC_R].scores, both.views[View.CC_R].scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("contrasts", [(0.0,), (0.009,), (-1.0,), (10.1,), (float("nan"),), (1.0, float("inf"))])
def test_contrasts_outside_their_range_are_refused(contrasts):
    with pytest.raises(PredictionError, match=r"expected a factor of 0.01 to 10, such as 1.5"):
        PredictOptions(contrasts=contrasts)
    assert PredictOptions(contrasts=(0.01, 10.0)).contrasts_beside == (0.01, 10.0)


def test_the_lowest_and_the_highest_contrast_can_be_predicted(dataset, runs):
    found = predict(dataset, runs, options=at(0.01, 10.0, only=(View.CC_R,)))
    assert all(np.isfinite(one.views[View.CC_R].scores).all() for one in found.contrasts.values())


def test_a_subjects_folder_as_it_came_is_predicted_at_contrasts_too(exams, dataset, runs):
    raw = predict(exams / "PH0001", runs, options=PredictOptions(contrasts=(1.0, 1.5)))
    one = PredictOptions(subjects=frozenset(["PH0001"]), contrasts=(1.5,))
    prepared = predict(dataset, runs, options=one)
    for ours, theirs in zip(raw.contrasts[1.5].levels(), prepared.levels(), strict=True):
        assert np.allclose(ours.scores, theirs.scores, rtol=0, atol=1e-6)


def test_a_contrast_twice_or_with_a_calibration_is_refused(tmp_path):
    with pytest.raises(PredictionError, match=r"contrast 1.5 is given more than once"):
        PredictOptions(contrasts=(1.5, 2.0, 1.50000000001))
    with pytest.raises(PredictionError, match="leave --calibration or --contrast out"):
        PredictOptions(contrasts=(1.5,), calibration=tmp_path / "calibration.json")


def test_hand_made_features_have_no_contrast_and_stay_plain_beside_a_network(dataset, runs, tmp_path):
    shutil.copytree(runs / "CC_R", tmp_path / "runs/CC_R")
    recipes = baseline_recipes(dataset, "density", (View.CC_R,))
    for view, recipe in recipes.items():
        train(dataset, view, recipe, tmp_path / "runs/baseline", TrainOptions(device="cpu"))
    with pytest.raises(RunError, match=r"hand-made features are measured on the image as it is.*leave --contrast out"):
        predict(dataset, tmp_path / "runs/baseline", tmp_path / "out", at(1.5))
    assert not (tmp_path / "out").exists()
    predict(dataset, tmp_path / "runs", tmp_path / "out", at(1.2, 1.5))
    folder = tmp_path / "out/predictions"
    assert read_origin(folder / "baseline").contrast is None and "contrasts" not in names(folder / "baseline")


def test_one_command_writes_them_and_what_cannot_be_is_a_usage_error(dataset, runs, tmp_path):
    told = ["predict", "--data", str(dataset.root), "--models", str(runs), "--split", "test"]
    done = CliRunner().invoke(app, [*told, "--out", str(tmp_path), "--contrast", "1,1.5"])
    assert done.exit_code == 0, done.output
    assert names(tmp_path / "predictions/contrasts") == {"1", "1.5"}
    for value, said in (("1;2", "expected numbers, such as"), ("1,2", "give --out")):
        done = CliRunner().invoke(app, [*told, "--contrast", value])
        assert done.exit_code == 2 and said in " ".join(done.output.replace("│", " ").split())
