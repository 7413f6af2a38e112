"""The networks behind published tables, tiny here, on tile sets of phantoms: files, rows, thresholds, a second call."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.cli import main
from ensemble_mammo.errors import DatasetError, PredictionError
from ensemble_mammo.lesions.tiles import TileOptions, tiles
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows.reproduce import ReproduceOptions, TableOptions, reproduce
from ensemble_mammo.workflows.reproduce.networks import NETWORKS
from ensemble_mammo.workflows.reproduce.result import facts_of
from tests.conftest import at_once
from tests.lesions.made import MadeLesion
from tests.lesions.test_tiles import write_source

BEST = "1.0.0.35b.98"
SETTINGS = (
    "network.name=test_resnet",
    "network.dropout=0",
    "input.height=32",
    "input.width=32",
    "train.epochs=1",
    "train.images_an_epoch=32",
)
VIEWS = ("CC_L", "CC_R")
RUN = {
    "acc_train.txt", "acc_val.txt", "events", "history.csv", "loss_train.txt", "loss_val.txt", "recipe.toml",
    "run.json", "state.safetensors", "weights.safetensors", "weights.safetensors.sha256",
}  # fmt: skip
GRID_TABLE = ["level", "contrast", "threshold", "accuracy", "recall", "precision", "called", "most_frequent", "exams"]


def films(root, count, splits, subject):
    """Films of two views in turn; every lesion faint, so that the scores of normal and abnormal tiles overlap."""
    images = {
        f"{subject}{n}": [
            MadeLesion(
                (45 + 5 * n, 30), 4 + n % 3, ("calcification", "mass")[n % 2], ("benign", "malignant")[n // 2 % 2]
            )
        ]
        for n in range(count)
    }
    changed = {
        "subject_id": [f"{subject}{n}" for n in range(count)],
        "view": [VIEWS[n // len(splits) % 2] for n in range(count)],
    }
    return write_source(root, images, splits, changed)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A folder of tile sets: set-8 and set-9 to train on, mias to be judged on; set-6 is not there."""
    root = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ensemble_mammo.lesions.tiles.run.spread", at_once)
        own = films(root / "films", 12, ("train", "train", "val", "test"), "P")
        foreign = films(root / "foreign", 4, ("",), "M")
        asked = TileOptions("9", 32, normal_share=0.5)
        for name in ("8", "9"):
            tiles(own, root / "tiles" / f"set-{name}", replace(asked, set=name))
        tiles(foreign, root / "tiles" / "mias", asked)
    (root / "tiles" / "films").mkdir()
    shutil.copy(own.root / "manifest.csv", root / "tiles" / "films")
    shutil.copy(own.root / "dataset.json", root / "tiles" / "films")
    return root / "tiles"


def asked_for(table, **fields):
    given = {"settings": SETTINGS, "contrasts": (1.0, 1.5), "train": TrainOptions(device="cpu")}
    return ReproduceOptions(measure=TableOptions(table, **(given | fields)))


@pytest.fixture(scope="module")
def grid(sets, tmp_path_factory):
    out = tmp_path_factory.mktemp("grid") / "out"
    return out, reproduce("scuccimarra", sets, out, asked_for("grid", threshold="recall=0.9"))


def rows_of(found):
    """(network, judged on) -> the row, by column."""
    (table,) = found.tables
    return {(one["network"], one["on"]): one for one in table.records()}


def value_of(result, figure):
    return next(
        one["value"] for one in facts_of("scuccimarra")["results"] if (one["id"], one["figure"]) == (result, figure)
    )


def scores_on(folder, dataset):
    """Whether each tile is abnormal, and its score, from the written table and the manifest."""
    rows = pd.read_csv(folder / "subject.csv")
    truth = pd.read_csv(dataset / "manifest.csv").set_index("exam_id")["abnormality"]
    return truth.loc[rows["exam_id"]].to_numpy() == "abnormal", rows["abnormal"].to_numpy()


# ---- the table of thresholds and contrasts


def test_exactly_these_files_are_written(grid):
    out, _ = grid
    assert sorted(path.name for path in out.iterdir()) == ["grid", "grid.csv", "grid.md", NETWORKS, "reproduce.json"]
    assert [path.name for path in (out / NETWORKS).iterdir()] == [BEST]
    assert sorted(path.name for path in (out / NETWORKS / BEST).iterdir()) == ["ANY", "predictions"]
    assert {path.name for path in (out / NETWORKS / BEST / "ANY").iterdir()} == RUN
    assert sorted(path.name for path in (out / NETWORKS / BEST / "predictions").iterdir()) == ["mias", "test", "val"]
    assert sorted(path.name for path in (out / "grid").iterdir()) == ["mias", "test"]
    for name in ("mias", "test"):
        assert sorted(path.name for path in (out / "grid" / name).iterdir()) == ["predictions", "report"]


def test_each_set_has_its_table_of_thresholds_and_contrasts(grid, sets):
    out, _ = grid
    for name, split in (("test", "test"), ("mias", "")):
        table = pd.read_csv(out / "grid" / name / "report" / "tables" / "contrast.csv")
        assert list(table.columns[: len(GRID_TABLE)]) == GRID_TABLE
        assert set(table["contrast"]) == {1.0, 1.5} and set(table["level"]) == {"subject"}
        folder = out / "grid" / name / "predictions"
        for contrast, own in table.groupby("contrast"):
            where = folder if contrast == 1.0 else folder / "contrasts" / f"{contrast:g}"
            is_abnormal, score = scores_on(where, sets / ("set-9" if split else name))
            for row in own.itertuples():
                if row.threshold == 0.5:  # the class that scores highest
                    continue
                called = score >= row.threshold
                assert row.recall == pytest.approx(called[is_abnormal].mean())
                assert row.accuracy == pytest.approx((called == is_abnormal).mean())


def test_published_figures_stand_beside_ours_in_their_rows(grid, sets):
    out, found = grid
    rows = rows_of(found)
    assert list(rows) == [(BEST, "test"), (BEST, "mias"), (BEST, "mias, contrast 1.5")]
    alone = rows[BEST, "mias, contrast 1.5"]
    assert alone["published_accuracy"] == value_of("grid-mias-contrast", "accuracy") == 0.4132
    assert alone["accuracy"] is None and "ours: table contrast of grid/mias/report" in alone["note"]
    for on, result in (("test", "grid-ddsm"), ("mias", "grid-mias")):
        assert rows[BEST, on]["published_accuracy"] == value_of(result, "accuracy")
        assert rows[BEST, on]["published_recall"] == value_of(result, "positive_sensitivity")
        dataset = sets / ("set-9" if on == "test" else on)
        is_abnormal, score = scores_on(out / NETWORKS / BEST / "predictions" / on, dataset)
        row, called = rows[BEST, on], score >= rows[BEST, on]["threshold"]
        assert row["tiles"] == len(score) and row["majority"] == max(is_abnormal.mean(), 1 - is_abnormal.mean())
        assert row["recall"] == pytest.approx(called[is_abnormal].mean())
        assert row["accuracy"] == pytest.approx((called == is_abnormal).mean())
    assert len(pd.read_csv(out / "grid.csv")) == 3 and f"| {BEST} | 9 | mias |" in (out / "grid.md").read_text()
    assert json.loads((out / "reproduce.json").read_text()) == found.as_json()


def test_the_threshold_is_the_highest_that_finds_the_wanted_recall_on_the_own_validation_split(grid, sets):
    out, found = grid
    is_abnormal, score = scores_on(out / NETWORKS / BEST / "predictions" / "val", sets / "set-9")
    table = pd.read_csv(sets / "set-9" / "manifest.csv")
    assert len(score) == (table["split"] == "val").sum()
    reaching = [at for at in score if (score[is_abnormal] >= at).mean() >= 0.9]
    thresholds = {rows_of(found)[BEST, on]["threshold"] for on in ("test", "mias")}
    below = [at for at in np.r_[score, 0.0] if at < max(reaching)]
    assert len(thresholds) == 1 and max(below) < thresholds.pop() <= max(reaching)


def test_a_second_call_trains_nothing_anew_and_says_the_same(grid, sets):
    out, first = grid
    weights = out / NETWORKS / BEST / "ANY" / "weights.safetensors"
    before = weights.stat().st_mtime_ns, weights.read_bytes(), (out / "grid.csv").read_bytes()
    again = reproduce("scuccimarra", sets, out, asked_for("grid", threshold="recall=0.9"))
    assert again.as_json() == first.as_json()
    assert (weights.stat().st_mtime_ns, weights.read_bytes(), (out / "grid.csv").read_bytes()) == before


# ---- the other tables


def test_networks_of_several_tables_are_trained_once(grid, sets, tmp_path):
    out = shutil.copytree(grid[0], tmp_path / "out")
    before = (out / NETWORKS / BEST / "ANY" / "weights.safetensors").stat().st_mtime_ns
    found = reproduce("scuccimarra", sets, out, asked_for("mias"))
    rows = rows_of(found)
    assert (out / NETWORKS / BEST / "ANY" / "weights.safetensors").stat().st_mtime_ns == before
    assert list(rows) == [
        *((name, on) for name in (BEST, "VGG-16.03.06b.9", "1.0.0.46b.8.4") for on in ("test", "mias")),
        ("1.0.0.28.2b.9", "mias"),
    ]
    untrained = rows.pop(("1.0.0.28.2b.9", "mias"))
    assert (untrained["published_accuracy"], untrained["published_recall"]) == (0.9165, 0.5342)
    assert untrained["accuracy"] is None and untrained["note"] == "described nowhere: not trained"
    assert not (out / NETWORKS / "1.0.0.28.2b.9").exists()
    published = {
        (BEST, "test"): "binary-35b-9",
        (BEST, "mias"): "mias-35b-9",
        ("VGG-16.03.06b.9", "test"): "binary-vgg-9",
        ("VGG-16.03.06b.9", "mias"): "mias-vgg-9",
        ("1.0.0.46b.8.4", "mias"): "mias-46b-8",
    }
    for key, row in rows.items():
        theirs = value_of(published[key], "accuracy") if key in published else None
        assert row["published_accuracy"] == theirs and row["threshold"] == 0.5
    assert [row["set"] for row in rows.values()] == ["9"] * 4 + ["8"] * 2
    assert "its weight is not stated; 4, by its name" in rows["1.0.0.46b.8.4", "mias"]["note"]
    recipe = (out / NETWORKS / "1.0.0.46b.8.4" / "ANY" / "recipe.toml").read_text()
    assert "positive_weight = 4.0" in recipe and "epochs = 1" in recipe


def test_the_weights_of_table_4_are_those_of_the_recipes(sets, tmp_path):
    names = ("1.0.0.35b.94", "1.0.0.35b-weight-1")
    found = reproduce("scuccimarra", sets, tmp_path, asked_for("weight", networks=names))
    assert {key[0] for key in rows_of(found)} == set(names)
    recipes = [(tmp_path / NETWORKS / name / "ANY" / "recipe.toml").read_text() for name in names]
    assert ["positive_weight = 4.0" in text for text in recipes] == [True, False]
    assert rows_of(found)[names[0], "test"]["published_recall"] == value_of("weight-4", "positive_sensitivity")
    assert rows_of(found)[names[1], "test"]["published_recall"] is None


def test_any_abnormal_class_of_five_counts_as_found(sets, tmp_path):
    name = "1.0.0.46l.8-five"
    found = reproduce("scuccimarra", sets, tmp_path, asked_for("five", networks=(name,), threshold="recall=0.9"))
    row = rows_of(found)[name, "test"]
    assert row["threshold"] is None and row["published_recall"] == 1 and row["published_accuracy"] == 0.1139
    rows = pd.read_csv(tmp_path / NETWORKS / name / "predictions" / "test" / "subject.csv")
    classes = ["normal", "benign-calcification", "benign-mass", "malignant-calcification", "malignant-mass"]
    called = rows[classes].idxmax(axis=1).to_numpy()
    truth = pd.read_csv(sets / "set-8" / "manifest.csv").set_index("exam_id")["abnormality5"]
    true = truth.loc[rows["exam_id"]].to_numpy()
    assert row["recall"] == pytest.approx((called[true != "normal"] != "normal").mean())
    assert row["accuracy"] == pytest.approx((called == true).mean())


def test_a_network_that_fails_is_a_row_that_says_so(sets, tmp_path):
    broken = (*SETTINGS, "input.height=48")
    found = reproduce("scuccimarra", sets, tmp_path, asked_for("grid", settings=broken))
    row, _ = found.tables[0].records()
    assert row["accuracy"] is None and row["note"].startswith("FAILED: training: ") and "32 x 32" in row["note"]
    assert not (tmp_path / "grid").exists()


# ---- what is refused


def test_a_missing_set_is_refused_with_the_command_that_makes_it_before_anything_is_trained(sets, tmp_path):
    with pytest.raises(DatasetError, match=r"set-6: no tile set there; make it with `ensemble-mammo tiles --set 6 "):
        reproduce("scuccimarra", sets, tmp_path / "out", asked_for("binary"))
    with pytest.raises(DatasetError, match=r"nowhere.set-9: no tile set there"):
        reproduce("scuccimarra", tmp_path / "nowhere", tmp_path / "out", asked_for("grid"))
    assert not (tmp_path / "out").exists()


def test_a_foreign_set_with_the_name_of_a_split_is_refused(sets, tmp_path):
    shutil.copytree(sets / "set-9", tmp_path / "tiles" / "set-9")
    shutil.copytree(sets / "mias", tmp_path / "tiles" / "val")
    with pytest.raises(DatasetError, match=r"on 'val': expected a name .* rename the folder"):
        reproduce("scuccimarra", tmp_path / "tiles", tmp_path / "out", asked_for("grid"))
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_a_table_is_refused(sets, tmp_path):
    with pytest.raises(PredictionError, match="--table wight: expected one of binary, five, mias, weight, grid"):
        TableOptions("wight")
    with pytest.raises(PredictionError, match=r"--network 1\.0\.0\.46b\.9: table grid has 1\.0\.0\.35b\.98"):
        TableOptions("grid", ("1.0.0.46b.9",))
    with pytest.raises(ValueError, match=r"threshold recal=0\.9: expected a score"):
        TableOptions("grid", threshold="recal=0.9")
    with pytest.raises(PredictionError, match="--table is of scuccimarra, not of infn"):
        reproduce("infn", sets, tmp_path, asked_for("grid"))
    with pytest.raises(PredictionError, match=r"give the folder of tile sets .* and --out"):
        reproduce("scuccimarra", sets, None, asked_for("grid"))
    obtained = replace(asked_for("grid"), obtained=(("mias-35b-9", tmp_path / "report.json"),))
    with pytest.raises(PredictionError, match="measures anew: leave --obtained out"):
        reproduce("scuccimarra", sets, tmp_path, obtained)


# ---- the command


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command line: (exit status, standard output, standard error)."""

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["ensemble-mammo", "reproduce", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "250")
        monkeypatch.setenv("TERMINAL_WIDTH", "250")
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return called


def test_the_command_measures_a_table(call, sets, grid, tmp_path):
    made, found = grid
    out = shutil.copytree(made, tmp_path / "out")
    (out / "mias.csv").write_text("of all networks")
    settings = [word for text in SETTINGS for word in ("--set", text)]
    words = ["scuccimarra", sets, "--table", "mias", "--network", BEST, *settings, "--threshold", "recall=0.9"]
    status, shown, _ = call(*words, "--device", "cpu", "--out", out)
    assert status == 0 and "Table 3: MIAS as a foreign test set" in shown and "0.888" in shown
    assert len(pd.read_csv(out / f"mias-{BEST}.csv")) == 2 and (out / f"mias-{BEST}.md").is_file()
    assert (out / "mias.csv").read_text() == "of all networks"
    status, shown, _ = call(*words, "--device", "cpu", "--out", out, "--json")
    told = json.loads(shown)["tables"]["mias"]["rows"]
    assert status == 0 and [row["on"] for row in told] == ["test", "mias"]
    assert told[1]["published_accuracy"] == value_of("mias-35b-9", "accuracy")
    assert told[1]["accuracy"] == rows_of(found)[BEST, "mias"]["accuracy"]


def test_the_command_refuses_what_it_cannot_measure(call, sets, tmp_path):
    status, _, err = call("scuccimarra", sets, "--table", "wight", "--out", tmp_path)
    assert status == 1 and "error: --table wight: expected one of binary, five, mias, weight, grid" in err
    status, _, err = call("infn", sets, "--table", "mias", "--out", tmp_path)
    assert status == 1 and "error: --table is of scuccimarra, not of infn" in err
    status, _, err = call("scuccimarra", sets, "--table", "grid", "--threshold", "2", "--out", tmp_path)
    assert status == 2 and "threshold 2: expected a score between 0 and 1" in err
    status, _, err = call("scuccimarra", sets)
    assert status == 1 and "reads no data without --table" in err
    assert not list(tmp_path.iterdir())
