"""One network for several collections, and networks of one view that start from it, fold by fold."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError, PredictionError, RunError, WeightsError
from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.records.manifest import MANIFEST, read_dataset
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval
from tests.learning.tiny import tiny_dataset

SIZE = ("train.epochs=1", "input.height=32", "input.width=32")
JOINT = (*SIZE, "pooled=true", "network.layers=['density', 'tissue']", "loss.balance=0.5", "loss.soft_targets=0.1")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Two datasets of two folds, `a` with densities and `b` with tissues, and `ab`, the two joined."""
    root = tmp_path_factory.mktemp("joint")
    single = {}
    for name in "ab":
        dataset = tiny_dataset(root / name, 16, 0)
        table = dataset.table.assign(fold=[str(number // 4 % 2) for number in range(16)])
        table["subject_id"] = name + table["subject_id"]
        if name == "b":
            table["tissue"] = table.pop("density").map({"A": "F", "B": "G", "C": "D", "D": "D"})
        table.to_csv(root / name / MANIFEST, index=False)
        single[name] = table.assign(collection=name, file=f"../{name}/" + table["file"])
        for column in ("image_id", "subject_id"):
            single[name][column] = f"{name}-" + table[column]
    (root / "ab").mkdir()
    (root / "ab" / "dataset.json").write_text((root / "a" / "dataset.json").read_text())
    for name in "ab":
        (root / "ab" / name).symlink_to(root / name)
        single[name]["file"] = f"{name}/" + read_dataset(root / name).table["file"]
    pd.concat(single.values()).fillna("").to_csv(root / "ab" / MANIFEST, index=False)
    return root


@pytest.fixture(scope="module")
def joint(parts):
    """The joint network of two folds."""
    options = CrossvalOptions(2, "density/demo", JOINT, train=TrainOptions(device="cpu"))
    crossval(read_dataset(parts / "ab"), parts / "joint-cv", options)
    return parts / "joint-cv"


def started(parts, joint, name, *settings, folds=2, views=(View.CC_R,)):
    start = ("network.pretrained='run'", f"network.weights_file={str(joint)!r}")
    own = CrossvalOptions(folds, "density/demo", (*SIZE, *start, *settings), views, TrainOptions(device="cpu"))
    return crossval(read_dataset(parts / name), parts / f"cv-{name}-{len(settings)}", own)


def test_each_collection_gets_a_last_layer_by_the_task_it_has(joint):
    info = json.loads((joint / "fold-0/ANY/run.json").read_text())
    assert info["images"]["train"] == {
        "a:A": 2, "a:B": 2, "a:C": 2, "a:D": 2, "b:F": 2, "b:G": 2, "b:D": 4,
    }  # fmt: skip
    recipe = load_run(joint / "fold-0/ANY").recipe
    assert recipe.network.layers == ("a:density", "b:tissue")
    table = pd.read_csv(joint / "predictions/CC_R.csv")
    assert len(table) == 32, "those without a density are predicted too"


def test_an_image_is_judged_by_the_layer_of_its_collection(parts, joint):
    run = joint / "fold-0"
    subjects = frozenset({"a-as004"})
    own = predict(read_dataset(parts / "ab"), run, options=PredictOptions(subjects=subjects))
    alone = read_dataset(parts / "a")
    asked = predict(alone, run, options=PredictOptions(subjects=frozenset({"as004"}), layer="a"))
    assert own.views[View.CC_R].scores == pytest.approx(asked.views[View.CC_R].scores)
    assert any("last layer for each of a" in note for note in own.notes)


def test_a_layer_that_is_not_there_is_refused(parts, joint):
    with pytest.raises(PredictionError, match=r"no last layer of 'c'; it has a"):
        predict(read_dataset(parts / "a"), joint / "fold-0", options=PredictOptions(layer="c"))


def test_each_fold_starts_from_the_run_that_never_saw_its_subjects(parts, joint):
    started(parts, joint, "a")
    for fold in "01":
        sums = (joint / f"fold-{fold}/ANY/weights.safetensors.sha256").read_text().split()[0]
        info = json.loads((parts / f"cv-a-0/fold-{fold}/CC_R/run.json").read_text())
        assert info["started_from"]["weights_sha256"] == sums


def test_another_task_begins_with_its_own_layer(parts, joint):
    start = {"pretrained": "run", "weights_file": str(joint / "fold-0/ANY")}
    settings = [*SIZE, "task='tissue'", *(f"network.{key}={value!r}" for key, value in start.items())]
    recipe = load_recipe("density/demo", View.CC_R, [*settings, "train.stages.0.learning_rate=1e-12"])
    held = frozenset(f"bs{n:03d}" for n in range(16) if n // 4 % 2)
    done = train(read_dataset(parts / "b"), View.CC_R, recipe, parts / "b-run", TrainOptions(train_subjects=held))
    from safetensors.torch import load_file

    ours = load_file(done.folder / "weights.safetensors")["fc.weight"]
    theirs = load_file(joint / "fold-0/ANY/weights.safetensors")["fc.weight"]
    assert ours == pytest.approx(theirs[4:7], abs=1e-4)


def test_subjects_whom_the_joint_network_knows_are_refused_although_their_ids_changed(parts, joint):
    recipe = load_recipe(
        "density/demo",
        View.CC_R,
        [*SIZE, "network.pretrained='run'", f"network.weights_file={str(joint / 'fold-0/ANY')!r}"],
    )
    wrong = frozenset(f"as{n:03d}" for n in range(16) if n // 4 % 2 == 0)
    with pytest.raises(DatasetError, match="8 subjects of validation or test here, such as as004, are known"):
        train(read_dataset(parts / "a"), View.CC_R, recipe, parts / "leak", TrainOptions(train_subjects=wrong))


def test_a_subject_who_lacks_the_view_is_not_taken_for_held_out(parts, joint):
    dataset = read_dataset(parts / "a")
    learned = frozenset(f"as{n:03d}" for n in range(16) if n // 4 % 2)
    table = dataset.table.assign(view=["CC_L" if one == "as004" else "CC_R" for one in dataset.table["subject_id"]])
    start = f"network.weights_file={str(joint / 'fold-0/ANY')!r}"
    recipe = load_recipe("density/demo", View.CC_R, [*SIZE, "network.pretrained='run'", start])
    options = TrainOptions(train_subjects=learned)
    done = train(replace(dataset, table=table), View.CC_R, recipe, parts / "lacking", options)
    assert sum(done.info["images"]["train"].values()) == 7


def test_a_network_of_one_collection_knows_its_subjects_in_the_joined_dataset(parts, joint):
    recipe = load_recipe("density/demo", View.CC_R, SIZE)
    learned = frozenset(f"as{n:03d}" for n in range(12))
    run = train(read_dataset(parts / "a"), View.CC_R, recipe, parts / "of-a", TrainOptions(train_subjects=learned))
    whole = read_dataset(parts / "ab")
    assert predict(whole, run.folder).seen == 12
    start = ("network.pretrained='run'", f"network.weights_file={str(run.folder)!r}")
    other = TrainOptions(train_subjects=frozenset(whole.table["subject_id"]) - {"a-as003"})
    with pytest.raises(DatasetError, match="1 subjects of validation or test here, such as a-as003, are known"):
        train(whole, None, load_recipe("density/demo", None, (*JOINT, *start)), parts / "of-ab", other)


def test_named_layers_that_a_dataset_lacks_are_refused(parts):
    recipe = load_recipe("density/demo", None, (*JOINT, "network.layers=['a:density', 'c:density', 'b:birads']"))
    with pytest.raises(DatasetError, match=r"last layers of c:density, b:birads, which are not here \(found a, b"):
        train(read_dataset(parts / "ab"), None, recipe, parts / "none", TrainOptions())


def test_a_start_layer_of_a_run_with_one_is_refused(parts):
    recipe = load_recipe("density/demo", View.CC_R, SIZE)
    run = train(read_dataset(parts / "b"), View.CC_R, replace(recipe, task="tissue"), parts / "one", TrainOptions())
    start = ("network.pretrained='run'", f"network.weights_file={str(run.folder)!r}", "network.start_layer='a'")
    with pytest.raises(WeightsError, match="start_layer is 'a', the run has but one last layer"):
        train(read_dataset(parts / "a"), View.CC_R, load_recipe("density/demo", View.CC_R, (*SIZE, *start)),
              parts / "two", TrainOptions())  # fmt: skip


def test_a_start_of_other_folds_is_refused(parts, joint):
    with pytest.raises(RunError, match="a start of 2 folds, here are 3; give --folds 2"):
        started(parts, joint, "a", folds=3)


def test_a_start_layer_that_is_not_there_is_refused(parts, joint):
    with pytest.raises(WeightsError, match="no last layer of 'c' with 4 classes among a:density, b:tissue"):
        started(parts, joint, "a", "network.start_layer='c'")


def test_a_dataset_without_collections_is_refused(parts):
    recipe = load_recipe("density/demo", None, JOINT)
    with pytest.raises(DatasetError, match="no collections, and the recipe wants a last layer for each; join"):
        train(read_dataset(parts / "a"), None, recipe, parts / "none", TrainOptions())
