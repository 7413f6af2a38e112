"""A grid of trainings: what is a point, what is refused first, what the table says, what a second call does."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from ensemble_mammo.errors import DatasetError, PredictionError, RecipeError, RunError, TrainingError
from ensemble_mammo.merit.calls import Acting, Asked
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions
from ensemble_mammo.workflows import trainings as running
from ensemble_mammo.workflows.sweep import SweepOptions, axes_of, points_of, sweep
from ensemble_mammo.workflows.sweep.judge import Cases, figures_at, judged, threshold_of

SETTINGS = (
    "task=abnormality",
    "pooled=true",
    "input.height=32",
    "input.width=32",
    "train.epochs=1",
    "train.batch_size=4",
)


def tiles(root, splits=("train", "train", "val", "test"), images=24, seed=0, mixed=0.35):
    """Images of one view, each of its own subject: abnormal ones are brighter, most of them at least."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for number in range(images):
        abnormal = number // len(splits) % 2 == 1
        bright = abnormal != (rng.random() < mixed)
        pixels = (rng.random((40, 40)) * (50_000 if bright else 25_000)).astype(np.uint16)
        file = f"images/{number:03d}.png"
        write_png16(root / file, pixels)
        rows.append(ImageRow(f"i{number}", f"{root.name}{number}", "1", "CC_R", file, splits[number % len(splits)]))
        labels.append("abnormal" if abnormal else "normal")
    write_dataset(root, rows, {"abnormality": labels}, {"preparation": to_mapping(Preparation())})
    return read_dataset(root)


def options(*over, **fields):
    given = {"recipe": "density/demo", "settings": SETTINGS, "train": TrainOptions(device="cpu")}
    return SweepOptions(over, **(given | fields))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiles(tmp_path_factory.mktemp("data") / "own")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return tiles(tmp_path_factory.mktemp("foreign") / "mias", splits=("",), images=10, seed=5)


@pytest.fixture(scope="module")
def done(data, foreign, tmp_path_factory):
    """A grid of two weights and two seeds, its threshold chosen on validation, judged on test and another dataset."""
    out = tmp_path_factory.mktemp("done") / "sweep"
    asked = options(
        "train.stages.0.learning_rate=1e-2,1e-3", "seed=0,1", split="test", threshold="recall=0.6",
        on=(("mias", foreign),),
    )  # fmt: skip
    return out, asked, sweep(data, out, asked)


# ---- axes and points


def test_commas_within_brackets_and_quotes_do_not_part_values():
    (one, two) = axes_of(['train.stages=[{learning_rate=1e-3}], [{learning_rate=1e-4, trainable="a,b"}]', "seed=0, 1"])
    assert one.values == ("[{learning_rate=1e-3}]", '[{learning_rate=1e-4, trainable="a,b"}]')
    assert two.values == ("0", "1")


@pytest.mark.parametrize(
    ("over", "text"),
    [
        ([], "nothing to sweep over; give at least one --over"),
        (["loss.positive_weight"], "expected KEY=V1,V2"),
        (["loss.positive_weight=1,,2"], "expected KEY=V1,V2"),
        (["los.positive_weight=1"], "unknown key 'los'; did you mean 'loss'"),
        (["seeds=1,2"], "unknown key 'seeds'; did you mean 'seed'"),
        (["recipes=a"], "unknown key 'recipes'; did you mean 'recipe'"),
        (["train.epochs=1,2", "train.epochs=3"], "train.epochs is an axis already"),
        (["input.std=0.5,0.50"], "0.50 stands there twice"),
        (["seed=0,-1"], "seed '-1' is no whole number from 0"),
        (["train.stages=[{learning_rate=1}"], "a bracket or quote is not closed"),
        (["network.name='a"], "a bracket or quote is not closed"),
    ],
)
def test_an_axis_that_cannot_be_read_is_refused(over, text):
    with pytest.raises(RecipeError, match=text.replace("[", r"\[")):
        axes_of(over)


def test_points_are_the_product_with_the_last_axis_fastest(tmp_path):
    points = points_of(options("input.std=0.5,1", "seed=3,4", settings=SETTINGS))
    assert [point.name for point in points] == ["std-0.5+seed-3", "std-0.5+seed-4", "std-1+seed-3", "std-1+seed-4"]
    assert [point.seed for point in points] == [3, 4, 3, 4]
    assert [point.recipes[None].input.std for point in points] == [0.5, 0.5, 1.0, 1.0]
    assert points[0].settings == (*SETTINGS, "input.std=0.5")


def test_names_of_points_are_safe_and_unique():
    stages = [f"[{{learning_rate={rate}, trainable='all'}}]" for rate in ("1e-3", "1e-4", "5e-5")]
    texts = ["train.stages=" + ",".join(stages), "source='A/b','a b','a:b',../up", "network.name=test_resnet"]
    names = [point.name for point in points_of(options(*texts))]
    assert len({name.casefold() for name in names}) == 12
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=+-") for name in names
    )
    assert all(len(name) < 140 and not name.startswith(".") for name in names)
    alike = points_of(options("network.dropout=0,0.5", "train.weight_decay=0,1", "loss.label_smoothing=0,0.1"))
    assert alike[0].name == "dropout-0+weight_decay-0+label_smoothing-0"
    both = points_of(options("augment.contrast=0,0.5", "input.contrast=1,2"))
    assert both[0].name == "augment.contrast-0+input.contrast-1"


def test_wrong_values_of_any_point_are_refused_before_anything_is_trained(data, tmp_path):
    wrong = options("train.accumulate=1,none", "input.fit=pad,stretch", "network.nam=test_resnet")
    with pytest.raises(RecipeError) as caught:
        sweep(data, tmp_path / "out", wrong)
    text = str(caught.value)
    assert "did you mean 'network.name'" in text and "train.accumulate is 'none'" in text
    with pytest.raises(RecipeError, match="fit is 'stretch', expected one of pad, squash"):
        sweep(data, tmp_path / "out", options("input.fit=pad,stretch"))
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_named_once_and_a_key_set_once():
    with pytest.raises(RecipeError, match="no recipe is named; give --recipe NAME"):
        points_of(options("seed=1", recipe=""))
    with pytest.raises(RecipeError, match="a recipe is named and `recipe` is an axis"):
        points_of(options("recipe=density/demo"))
    with pytest.raises(RecipeError, match=r"train\.epochs: both set for all points and an axis"):
        points_of(options("train.epochs=1,2"))
    with pytest.raises(RecipeError, match="recipe 'density/dem' is neither a file nor one of"):
        points_of(options("recipe=density/dem,density/demo", recipe=""))


# ---- options


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"folds": 1}, "folds is 1, expected 0 or at least 2"),
        ({"split": "train"}, "split is 'train', expected one of val, test"),
        ({"folds": 2, "split": "test"}, "every subject is judged out of fold"),
        ({"on_split": "all"}, "on_split is 'all', expected one of train, val, test, or empty"),
        ({"threshold": "recall=2"}, "expected a score between 0 and 1 such as 0.3, or recall=0.9"),
        ({"on": (("a/b", None),)}, "on 'a/b': expected a name of letters"),
        ({"on": (("val", None),)}, "other than train, val, test"),
        ({"on": (("a", None), ("a", None))}, "on 'a': given twice"),
    ],
)
def test_options_outside_their_range_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        SweepOptions(("seed=0",), "density/demo", **fields)


def test_what_could_not_be_judged_is_refused_before_anything_is_trained(data, foreign, tmp_path):
    four = tuple(text for text in SETTINGS if not text.startswith("task"))
    with pytest.raises(
        RecipeError, match=r"threshold 0\.4: for two classes, one of them positive; task density has A, B"
    ):
        sweep(data, tmp_path / "out", options("seed=0", settings=four, threshold="0.4"))
    with pytest.raises(DatasetError, match="no column 'density'"):
        sweep(data, tmp_path / "out", options("seed=0", settings=four))
    without = replace(data, table=data.table[data.table["split"] != "val"])
    for asked in ({}, {"split": "test", "threshold": "recall=0.9"}):
        with pytest.raises(DatasetError, match=r"label in split 'val' \(has test, train\): nothing to judge on"):
            sweep(without, tmp_path / "out", options("seed=0", **asked))
    elsewhere = replace(foreign, preparation=Preparation(crop=False))
    with pytest.raises(DatasetError, match="prepared otherwise than the images the run of mias"):
        sweep(data, tmp_path / "out", options("seed=0", on=(("mias", elsewhere),)))
    assert not (tmp_path / "out").exists()


# ---- figures


def cases(name, count=60, seed=0):
    rng = np.random.default_rng(seed)
    task = TASKS[name]
    scores = rng.dirichlet(np.ones(len(task.classes)), count)
    return Cases(task, rng.integers(0, len(task.classes), count), scores, 0)


def test_figures_of_two_classes_agree_with_scikit_learn():
    some = cases("pathology")
    score, calls = some.scores[:, 1], some.scores[:, 1] >= 0.3
    found = figures_at(some, Acting(0.3))
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(some.true, calls),
            "majority": max(some.true.mean(), 1 - some.true.mean()),
            "recall": metrics.recall_score(some.true, calls),
            "precision": metrics.precision_score(some.true, calls),
            "f1": metrics.f1_score(some.true, calls),
            "auc": metrics.roc_auc_score(some.true, score),
        }
    )


def test_any_positive_class_of_five_counts_as_found():
    some = cases("abnormality5")
    named = some.scores.argmax(1)
    found = figures_at(some, None)
    assert found["accuracy"] == pytest.approx(np.mean(named == some.true))
    assert found["recall"] == pytest.approx(metrics.recall_score(some.true > 0, named > 0))
    assert found["precision"] == pytest.approx(metrics.precision_score(some.true > 0, named > 0))
    assert found["f1"] == pytest.approx(metrics.f1_score(some.true > 0, named > 0))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(some.true > 0, some.scores[:, 1:].sum(1)))
    assert found["recall"] > metrics.recall_score(some.true, named, average="macro") and "kappa" not in found


def test_classes_in_an_order_have_a_quadratic_kappa():
    some = cases("density")
    expected = metrics.cohen_kappa_score(some.true, some.scores.argmax(1), weights="quadratic")
    assert figures_at(some, None)["kappa"] == pytest.approx(expected)


def test_classes_without_a_positive_one_have_means_over_the_classes():
    some = replace(cases("pathology"), task=replace(TASKS["pathology"], positive=()))
    found, named = figures_at(some, None), some.scores.argmax(1)
    assert found["recall"] == pytest.approx(metrics.recall_score(some.true, named, average="macro"))
    assert found["f1"] == pytest.approx(metrics.f1_score(some.true, named, average="macro"))
    assert math.isnan(found["auc"])


def test_a_network_that_names_one_class_is_warned_of_and_its_precision_is_undefined():
    some = replace(cases("abnormality"), scores=np.full((60, 2), [0.9, 0.1]))
    one = judged("val", "x", some, Acting(), ("said",))
    assert one.collapsed == "normal" and math.isnan(one.figures["precision"])
    assert one.notes == ("WARNING: names normal for every image", "undefined: precision", "said")
    assert one.as_json()["precision"] is None
    low = judged("val", "x", some, Acting(0.05), ())
    assert low.notes[0] == "WARNING: names abnormal for every image" and low.figures["recall"] == 1
    assert not judged("val", "x", cases("abnormality"), Acting(), ()).collapsed


def test_no_threshold_can_be_chosen_on_one_side():
    some = replace(cases("abnormality"), true=np.zeros(60, dtype=np.int64))
    with pytest.raises(PredictionError, match=r"no threshold of recall 0\.9 can be chosen on val: 0 of 60 cases"):
        threshold_of(Asked(recall=0.9), some.task, some, "val")


# ---- the grid


def test_every_point_is_trained_judged_and_tabulated(done, data):
    out, _, found = done
    assert not found.failed and [one.point.values["seed"] for one in found.outcomes] == ["0", "1", "0", "1"]
    assert sorted(path.name for path in out.iterdir()) == [
        "learning_rate-1e-2+seed-0", "learning_rate-1e-2+seed-1", "learning_rate-1e-3+seed-0",
        "learning_rate-1e-3+seed-1", "sweep-seeds.csv", "sweep.csv", "sweep.json", "sweep.md",
    ]  # fmt: skip
    point = out / "learning_rate-1e-2+seed-1"
    assert sorted(path.name for path in point.iterdir()) == ["ANY", "predictions"]
    assert sorted(path.name for path in (point / "predictions").iterdir()) == ["mias", "test", "val"]
    assert json.loads((point / "ANY" / "run.json").read_text())["seed"] == 1
    table = pd.read_csv(out / "sweep.csv")
    assert list(table["on"]) == ["test", "mias"] * 4 and list(table["images"]) == [6, 10] * 4
    assert list(table["train.stages.0.learning_rate"].unique()) == [1e-2, 1e-3]
    held = json.loads((out / "sweep.json").read_text())
    assert held["finished"] and held["data_fingerprint"] == data.fingerprint() and held["versions"]["python"]
    assert held["points"][0]["judged"][0]["accuracy"] == pytest.approx(table["accuracy"][0])
    assert held["points"][0]["seconds"] > 0 and held["points"][0]["settings"][-1].endswith("learning_rate=1e-2")
    assert "| learning\\_rate-1e-3+seed-1 |" in (out / "sweep.md").read_text()


def test_figures_are_those_that_report_gives_of_the_same_predictions(done, foreign):
    out, _, found = done
    for one in found.outcomes[:2]:
        judgement = one.judged[1]
        levels = report(
            [out / judgement.folder],
            truth_from_dataset(foreign, TASKS["abnormality"]),
            options=ReportOptions(resamples=0),
        )
        assert judgement.figures["auc"] == pytest.approx(levels.figures[levels.top]["auc"].value)
        assert judgement.figures["majority"] == pytest.approx(levels.counts[levels.top].majority)


def test_the_threshold_is_chosen_on_validation_as_a_plain_search_would(done, data):
    out, _, found = done
    labels = dict(zip(data.table["subject_id"], data.table["abnormality"], strict=True))
    for one in found.outcomes:
        tables = {
            name: pd.read_csv(out / one.point.name / "predictions" / name / "subject.csv") for name in ("val", "test")
        }
        sick = [labels[subject] == "abnormal" for subject in tables["val"]["subject_id"]]
        positive = tables["val"]["abnormal"][sick]
        best = max(t for t in tables["val"]["abnormal"] if (positive >= t).mean() >= 0.6)
        at = one.judged[0].threshold
        assert at.value == best and at.chosen_on == "val" and at == one.judged[1].threshold
        truth = np.array([labels[subject] == "abnormal" for subject in tables["test"]["subject_id"]])
        calls = (tables["test"]["abnormal"] >= best).to_numpy()
        assert one.judged[0].figures["accuracy"] == pytest.approx((truth == calls).mean())
        assert one.judged[0].figures["recall"] == pytest.approx(calls[truth].mean())
    assert set(pd.read_csv(out / "sweep.csv")["threshold_from"]) == {"val, recall 0.6"}


def test_a_threshold_chosen_on_the_judged_cases_is_said_to_be_so():
    some = cases("abnormality")
    at = threshold_of(Asked(recall=0.9), some.task, some, "val")
    assert any("chosen on these very cases" in note for note in judged("val", "x", some, at, ()).notes)
    assert not judged("mias", "x", some, at, ()).notes


def test_seeds_are_summed_up_by_mean_and_standard_deviation(done):
    out, _, _ = done
    rows = pd.read_csv(out / "sweep.csv").groupby(["train.stages.0.learning_rate", "on"])
    spread = pd.read_csv(out / "sweep-seeds.csv").set_index(["train.stages.0.learning_rate", "on"])
    assert len(spread) == 4 and set(spread["seeds"]) == {2}
    for name in ("accuracy", "auc", "recall"):
        for key, group in rows:
            values = group[name].to_numpy()
            assert spread.loc[key, f"{name}_mean"] == pytest.approx(values.sum() / 2)
            assert spread.loc[key, f"{name}_sd"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))


def test_a_second_call_trains_nothing_and_says_the_same(done, data):
    out, asked, first = done
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")}
    told = {path: path.read_text() for path in out.rglob("run.json")}
    table = (out / "sweep.csv").read_text()
    again = sweep(data, out, asked)
    assert again.as_json() == first.as_json() and (out / "sweep.csv").read_text() == table
    assert len(weights) == 4 and all(path.stat().st_mtime_ns == at for path, at in weights.items())
    assert all(path.read_text() == text for path, text in told.items())


def test_another_sweep_is_refused_in_the_same_folder(done, data, foreign):
    out, asked, _ = done
    table = (out / "sweep.csv").read_text()
    with pytest.raises(RunError, match=r"holds another sweep: settings .*; take another --out, or --restart"):
        sweep(data, out, replace(asked, settings=(*SETTINGS, "train.clip_norm=1")))
    with pytest.raises(RunError, match="holds another sweep: data_fingerprint "):
        sweep(replace(foreign, table=foreign.table.assign(split="val")), out, options("seed=0"))
    assert (out / "sweep.csv").read_text() == table


def test_more_values_are_added_and_no_finished_row_is_lost(done, data, foreign, tmp_path, monkeypatch):
    out = shutil.copytree(done[0], tmp_path / "out")
    asked, first = done[1], done[2].as_json()
    trained, real = [], running.train
    monkeypatch.setattr(running, "train", lambda *words: trained.append(words[3].name) or real(*words))
    rate = "train.stages.0.learning_rate"
    more = replace(asked, over=(f"{rate}=1e-3,1e-4", "seed=1"))
    found = sweep(data, out, more)
    held = ["learning_rate-1e-2+seed-0", "learning_rate-1e-2+seed-1", "learning_rate-1e-3+seed-0"]
    again = ["learning_rate-1e-3+seed-1", "learning_rate-1e-4+seed-1"]
    assert [one.point.name for one in found.outcomes] == [*held, *again] and trained == again
    told = json.loads((out / "sweep.json").read_text())
    before = {one["name"]: one for one in first["points"]}
    assert [one == before[one["name"]] for one in told["points"][:4]] == [True] * 4
    assert told["over"] == {rate: ["1e-2", "1e-3", "1e-4"], "seed": ["0", "1"]}
    assert told["finished"] and told["planned"] == 5 and len(pd.read_csv(out / "sweep.csv")) == 10
    assert list(pd.read_csv(out / "sweep-seeds.csv")["seeds"]) == [2, 2, 2, 2, 1, 1]
    assert (out / "sweep.md").read_text().count("\n| learning") == 10
    with pytest.raises(
        RunError, match=r"another sweep: over train\.stages\.0\.learning_rate, seed, asked for over seed"
    ):
        sweep(data, out, replace(asked, over=("seed=0,1",)))
    with pytest.raises(RunError, match=r"otherwise \(judged_on 'test', asked for 'val'\): learning_rate-1e-2\+s"):
        sweep(data, out, replace(more, split="val"))
    assert json.loads((out / "sweep.json").read_text()) == told
    (out / "sweep.json").write_text("[1]")
    with pytest.raises(RunError, match=r"sweep.json: cannot be read: .*; take another --out, or --restart"):
        sweep(data, out, more)


def test_an_interrupted_second_call_loses_no_finished_row(done, data, tmp_path, monkeypatch):
    out = shutil.copytree(done[0], tmp_path / "out")
    asked, calls, real = done[1], [], running.train

    def interrupted(*words):
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(running, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(data, out, replace(asked, over=("train.stages.0.learning_rate=1e-2", "seed=0,1,2")))
    told = json.loads((out / "sweep.json").read_text())
    assert len(told["points"]) == 4 and told["planned"] == 5 and not told["finished"]


def test_an_interrupted_sweep_goes_on(data, tmp_path, monkeypatch):
    asked, calls = options("seed=0,1"), []

    def interrupted(*words):
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*words)

    real = running.train
    monkeypatch.setattr(running, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(data, tmp_path / "out", asked)
    held = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [one["name"] for one in held["points"]] == ["seed-0"] and not held["finished"]
    before = (tmp_path / "out" / "seed-0" / "ANY" / "weights.safetensors").stat().st_mtime_ns
    found = sweep(data, tmp_path / "out", asked)
    assert len(found.outcomes) == 2 and not found.failed
    assert (tmp_path / "out" / "seed-0" / "ANY" / "weights.safetensors").stat().st_mtime_ns == before


def test_points_that_fail_are_listed_and_the_others_go_on(data, tmp_path, monkeypatch):
    real = running.train

    def spoilt(dataset, view, recipe, out, asked):
        if asked.seed == 1:
            raise TrainingError("the loss is nan")
        if asked.seed == 2:
            raise RuntimeError("out of memory\n  tried to allocate")
        return real(dataset, view, recipe, out, asked)

    monkeypatch.setattr(running, "train", spoilt)
    without = replace(data, table=data.table[data.table["split"] != "val"])
    found = sweep(without, tmp_path / "out", options("seed=1,2,3", "train.keep=best-loss,last", split="test"))
    assert [one.failure.partition(" ")[0] for one in found.outcomes] == ["training:"] * 5 + [""]
    assert found.outcomes[0].failure == "training: the loss is nan"
    assert found.outcomes[2].failure == "training: out of memory tried to allocate"
    assert "train.keep = 'best-loss' needs validation images" in found.outcomes[4].failure
    table = pd.read_csv(tmp_path / "out" / "sweep.csv")
    assert (
        list(table["note"].str.startswith("FAILED: training")[:5]) == [True] * 5 and table["accuracy"][:5].isna().all()
    )
    assert len(table) == 6 and table["accuracy"].notna()[5]
    assert list(pd.read_csv(tmp_path / "out" / "sweep-seeds.csv")["note"].str.extract(r"(\d of \d FAILED)")[0]) == [
        "2 of 3 FAILED"
    ]
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["points"][0]["failure"]


def test_recipes_are_an_axis_too(data, tmp_path):
    common = 'extends = "density/demo"\ntask = "abnormality"\npooled = true\n[input]\nheight = 32\nwidth = 32\n'
    for name, epochs in (("short", 1), ("long", 2)):
        (tmp_path / f"{name}.toml").write_text(f"{common}[train]\nepochs = {epochs}\n")
    texts = f"recipe={tmp_path / 'short.toml'},{tmp_path / 'long.toml'}"
    found = sweep(data, tmp_path / "out", options(texts, "network.dropout=0", recipe="", settings=()))
    assert [one.point.name for one in found.outcomes] == ["short+dropout-0", "long+dropout-0"]
    trained = [json.loads((tmp_path / "out" / one.point.name / "ANY/run.json").read_text()) for one in found.outcomes]
    assert [one["epochs"] for one in trained] == [1, 2]


def test_a_network_a_view_is_trained_for_the_views_that_are_there(data, tmp_path):
    other = data.table.assign(view="MLO_R", image_id="m" + data.table["image_id"])
    both = replace(data, table=pd.concat([data.table, other], ignore_index=True))
    plain = tuple(text for text in SETTINGS if not text.startswith("pooled"))
    found = sweep(both, tmp_path / "out", options("seed=0", settings=plain))
    assert sorted(path.name for path in (tmp_path / "out" / "seed-0").iterdir()) == ["CC_R", "MLO_R", "predictions"]
    assert found.outcomes[0].judged[0].images == 6  # an exam a row, its two views fused
    with pytest.raises(RecipeError, match="pooled, one network for all views"):
        sweep(both, tmp_path / "other", options("seed=0", views=(View.CC_R,)))


def test_a_cross_validated_point_is_judged_out_of_fold(data, foreign, tmp_path):
    asked = options("seed=0", folds=2, threshold="recall=0.9", on=(("mias", foreign),))
    found = sweep(data, tmp_path / "out", asked)
    own, other = found.outcomes[0].judged
    assert (own.on, own.images, own.folder) == ("out-of-fold", 24, "seed-0/predictions")
    assert (other.on, other.images, other.threshold.chosen_on) == ("mias", 10, "out-of-fold")
    assert own.figures["recall"] >= 0.9 and any("these very cases" in note for note in own.notes)
    scores = pd.read_csv(tmp_path / "out/seed-0/predictions/subject.csv")
    truth = dict(zip(data.table["subject_id"], data.table["abnormality"], strict=True))
    area = metrics.roc_auc_score([truth[s] == "abnormal" for s in scores["subject_id"]], scores["abnormal"])
    assert own.figures["auc"] == pytest.approx(area)
    assert found.outcomes[0].seconds > 0
