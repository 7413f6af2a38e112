"""Abnormality from films to the page, as a user calls it: prepare, tiles, train, predict, report, on phantoms."""

import json
import sys

import pandas as pd
import pytest
from sklearn import metrics

from ensemble_mammo.cli import main
from ensemble_mammo.imaging.phantom_cbis import write_phantom_cbis
from ensemble_mammo.records.leaks import leaks_of
from tests.conftest import at_once, without_workers

HEIGHT = 256
"""Rows of the films; their tiles are enlarged to 48 pixels, the input of the recipe."""
SETTINGS = ("input.height=48", "input.width=48", "train.epochs=1", "train.images_an_epoch=32")
"""Of the networks that only have to run."""


def called(*words):
    """Call the command line, which must end well."""
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        patch.setattr("ensemble_mammo.archives.cbis_ddsm.spread", at_once)
        patch.setattr(sys, "argv", ["ensemble-mammo", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code


def trained(data, out, recipe, settings=(), *more):
    given = [word for text in settings for word in ("--set", text)]
    called("train", "--recipe", recipe, "--data", data, "--out", out, "--device", "cpu", *given, *more)


@pytest.fixture(scope="module")
def tile_set(tmp_path_factory):
    """Tiles of phantom films with planted lesions, half of them normal."""
    root = tmp_path_factory.mktemp("abnormality")
    write_phantom_cbis(root / "archive", 24, 0, HEIGHT, quirks=False)
    words = ["--task", "pathology", "--no-crop", "--outside", "keep", "--height", HEIGHT, "--out", root / "dataset"]
    called("prepare", "cbis-ddsm", root / "archive", *words)
    words = ["--set", "9", "--size", "48", "--normal-share", "0.5", "--out", root / "tiles"]
    called("tiles", "--data", root / "dataset", *words)
    return root / "tiles"


@pytest.fixture(scope="module")
def done(tile_set, tmp_path_factory):
    """The folder that the network's run, predictions and report lie in."""
    out = tmp_path_factory.mktemp("done")
    trained(tile_set, out / "runs", "abnormality/demo-tiles")
    common = ["predict", "--models", out / "runs", "--data", tile_set, "--device", "cpu"]
    called(*common, "--split", "val", "--out", out / "validation")
    called(*common, "--split", "test", "--contrast", "1,1.5", "--out", out)
    words = ["--data", tile_set, "--split", "test", "--task", "abnormality", "--threshold", "recall=0.9"]
    words += ["--validation", out / "validation" / "predictions", "--resamples", "0", "--no-studies"]
    called("report", out / "predictions", *words, "--out", out / "report")
    return out


def scores_on(folder, tile_set):
    """Whether each tile is abnormal, and its score."""
    rows = pd.read_csv(folder / "subject.csv")
    truth = pd.read_csv(tile_set / "manifest.csv").set_index("exam_id")["abnormality"]
    return truth.loc[rows["exam_id"]].to_numpy() == "abnormal", rows["abnormal"].to_numpy()


@pytest.mark.slow
def test_no_subject_of_the_test_split_is_learned_from(tile_set):
    table = pd.read_csv(tile_set / "manifest.csv", dtype=str, keep_default_na=False)
    assert not leaks_of(table) and set(table["split"]) == {"train", "val", "test"}
    assert table.groupby("split")["abnormality"].value_counts(normalize=True).eq(0.5).all()


@pytest.mark.slow
def test_lesions_planted_in_films_of_other_subjects_are_told_from_normal_tissue(done, tile_set):
    is_abnormal, score = scores_on(done / "predictions", tile_set)
    table = pd.read_csv(tile_set / "manifest.csv")
    assert len(score) == (table["split"] == "test").sum() > 80
    area = metrics.roc_auc_score(is_abnormal, score)
    assert area > 0.8  # chance is 0.5
    told = json.loads((done / "report" / "report.json").read_text())
    assert told["task"] == "abnormality" and told["figures"]["subject"]["auc"]["value"] == pytest.approx(area)


@pytest.mark.slow
def test_exactly_these_folders_are_left(done):
    assert sorted(path.name for path in done.iterdir()) == ["predictions", "report", "runs", "validation"]
    assert sorted(path.name for path in (done / "runs").iterdir()) == ["ANY"]
    assert sorted(path.name for path in (done / "predictions" / "contrasts").iterdir()) == ["1", "1.5"]
    assert (done / "report" / "report.html").is_file() and (done / "report" / "tables" / "contrast.csv").is_file()


@pytest.mark.slow
def test_the_report_calls_tiles_by_the_threshold_that_validation_chose(done, tile_set):
    is_abnormal, score = scores_on(done / "validation" / "predictions", tile_set)
    reaching = max(at for at in score if (score[is_abnormal] >= at).mean() >= 0.9)
    below = max([at for at in score if at < reaching], default=0.0)
    table = pd.read_csv(done / "report" / "tables" / "contrast.csv")
    (own,) = {at for at in table["threshold"] if below < at <= reaching}
    is_abnormal, score = scores_on(done / "predictions", tile_set)
    called_so = score >= own
    (row,) = table[(table["contrast"] == 1) & (table["threshold"] == own)].itertuples()
    assert row.recall == pytest.approx(called_so[is_abnormal].mean())
    figures = json.loads((done / "report" / "report.json").read_text())["figures"]["subject"]
    assert figures["accuracy"]["value"] == pytest.approx((called_so == is_abnormal).mean())
    assert figures["positive_sensitivity"]["value"] == pytest.approx(row.recall)


@pytest.mark.slow
def test_another_contrast_gives_other_scores(done, tile_set):
    plain = scores_on(done / "predictions", tile_set)[1]
    same, other = (scores_on(done / "predictions" / "contrasts" / name, tile_set)[1] for name in ("1", "1.5"))
    assert plain == pytest.approx(same) and abs(plain - other).max() > 0.01


@pytest.mark.slow
def test_a_network_of_two_classes_starts_from_the_convolutions_of_one_of_five(tile_set, tmp_path):
    trained(tile_set, tmp_path / "five", "abnormality/convnet-35", (*SETTINGS, "task=abnormality5"))
    five = tmp_path / "five" / "ANY"
    trained(tile_set, tmp_path / "two", "abnormality/convnet-from-five", SETTINGS, "--start", five)
    told = json.loads((tmp_path / "two" / "ANY" / "run.json").read_text())["started_from"]
    assert told["task"] == "abnormality5" and told["network"] == "convnet_1_0_0"
    sha256 = (five / "weights.safetensors.sha256").read_text().split()[0]
    assert told["weights_sha256"] == sha256
    recipe = (tmp_path / "two" / "ANY" / "recipe.toml").read_text()
    assert 'start_part = "features"' in recipe and 'task = "abnormality"' in recipe
