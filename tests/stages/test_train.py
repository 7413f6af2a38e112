import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import ensemble_mammo
from ensemble_mammo.errors import DatasetError, RecipeError, RunError, TrainingError
from ensemble_mammo.learning.checkpoint import load_run, load_runs
from ensemble_mammo.learning.images import fit, to_input
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.recipe import AugmentRecipe, StageRecipe
from ensemble_mammo.records.recipe_files import recipe_from_toml, recipe_to_toml
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.train import TrainOptions, train
from tests.learning.tiny import tiny_dataset, tiny_recipe, with_train

FILES = {
    "recipe.toml",
    "weights.safetensors",
    "weights.safetensors.sha256",
    "state.safetensors",
    "history.csv",
    "loss_train.txt",
    "acc_train.txt",
    "loss_val.txt",
    "acc_val.txt",
    "run.json",
    "events",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def test_a_leaking_dataset_is_refused_unless_it_is_allowed_and_then_the_run_says_so(tmp_path):
    made = tiny_dataset(tmp_path / "data")
    table = made.table.copy()
    table.loc[12:, "subject_id"] = table["subject_id"].iloc[:4].to_numpy()
    leaking = dataclasses.replace(made, table=table)
    with pytest.raises(DatasetError, match=r"subject s000 stands in train and val; .* --allow-leakage"):
        train(leaking, View.CC_R, tiny_recipe(), tmp_path / "runs", TrainOptions(device="cpu"))
    assert not (tmp_path / "runs").exists()
    done = train(leaking, View.CC_R, tiny_recipe(), tmp_path / "runs", TrainOptions(device="cpu", allow_leakage=True))
    assert done.info["leaks"][0] == "subject s000 stands in train and val" and len(done.info["leaks"]) == 4


def test_the_same_file_in_two_folds_is_a_leak_in_cross_validation(tmp_path):
    made = tiny_dataset(tmp_path / "data")
    table = made.table.assign(split="", source_sha256=[str(i % 15) for i in range(len(made.table))])
    leaking = dataclasses.replace(made, table=table)
    some = TrainOptions(device="cpu", train_subjects=frozenset(table["subject_id"].iloc[:12]))
    with pytest.raises(DatasetError, match="file 0 stands in train and test"):
        train(leaking, View.CC_R, tiny_recipe(), tmp_path / "runs", some)


def rich_recipe():
    """All that could go wrong in a resume: two stages, dropout, AdamW, augmentation, a best epoch kept."""
    recipe = tiny_recipe(
        dropout=0.3,
        epochs=5,
        optimizer="adamw",
        weight_decay=0.01,
        decay="cosine",
        keep="best-accuracy",
        stages=(StageRecipe(5e-3, 2, "top:1"), StageRecipe(1e-3)),
    )
    return dataclasses.replace(recipe, augment=AugmentRecipe(0.1, 0.1, 10.0, brightness=0.05, contrast=0.1))


@pytest.fixture(scope="module")
def uninterrupted(dataset, tmp_path_factory):
    return train(dataset, View.CC_R, rich_recipe(), tmp_path_factory.mktemp("whole"))


def assert_same_run(result, expected):
    columns = [name for name in expected.history if name not in ("seconds", "images_per_second")]
    pd.testing.assert_frame_equal(result.history[columns], expected.history[columns], check_exact=True)
    for name in ("weights.safetensors", "weights.safetensors.sha256", "loss_val.txt"):
        assert (result.folder / name).read_bytes() == (expected.folder / name).read_bytes()
    ours, theirs = (load_file(run.folder / "state.safetensors") for run in (result, expected))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_run_folder_holds_exactly_what_is_documented(uninterrupted, dataset):
    folder = uninterrupted.folder
    assert folder.name == "CC_R"
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name.startswith("events.out.tfevents") for path in (folder / "events").iterdir()] == [True]
    assert recipe_from_toml((folder / "recipe.toml").read_text(), "recipe") == rich_recipe()
    assert len(uninterrupted.history) == 5
    for name, column in (("loss_train", "train_loss"), ("acc_val", "val_accuracy")):
        assert np.array_equal(np.loadtxt(folder / f"{name}.txt"), uninterrupted.history[column])
    info = uninterrupted.info
    assert info["status"] == "finished" and info["epochs"] == 5 and info["device"] == "cpu"
    assert info["images"] == {"train": dict.fromkeys("ABCD", 3), "val": dict.fromkeys("ABCD", 1)}
    assert info["kept_epoch"] == 1 + int(
        uninterrupted.history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).index[0]
    )
    assert info["val_majority"] == 0.25
    assert min(info["wall_seconds"], info["images_per_second"], info["peak_memory_mb"]) > 0
    assert set(info["versions"]) == {"ensemble-mammo", "python", "torch", "timm", "numpy", "safetensors"}


def test_the_kept_network_gives_the_accuracy_that_the_history_says(uninterrupted, dataset):
    run = load_run(uninterrupted.folder, "density")
    rows = dataset.rows(View.CC_R, "val")
    batch = torch.stack([to_input(read_png16(dataset.root / f), run.recipe.input)[0] for f in rows["file"]])
    with torch.inference_mode():
        given = run.network(batch).argmax(1).tolist()
    right = [run.classes[place] == label for place, label in zip(given, rows["density"], strict=True)]
    assert np.mean(right) == uninterrupted.info["val_accuracy"]
    assert run.preparation == dataset.preparation


def test_the_events_hold_curves_images_and_precision_recall(uninterrupted):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(uninterrupted.folder / "events")).Reload()
    tags = events.Tags()
    assert {"train/loss", "val/accuracy", "run/learning_rate"} <= set(tags["scalars"])
    assert tags["images"] and {f"val/{name}" for name in "ABCD"} <= set(tags["tensors"])
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5]


def test_the_same_training_gives_the_same_bits(uninterrupted, dataset, tmp_path):
    result = train(dataset, View.CC_R, rich_recipe(), tmp_path, TrainOptions(workers=2))
    assert_same_run(result, uninterrupted)


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_run_interrupted_in_an_epoch_resumes_to_the_same_bits(uninterrupted, dataset, tmp_path, epoch):
    def interrupt(advance):
        if (advance.epoch, advance.batch) == (epoch, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, View.CC_R, rich_recipe(), tmp_path, TrainOptions(progress=interrupt))
    info = json.loads((tmp_path / "CC_R" / "run.json").read_text())
    assert (info["status"], info["stopped_by"], info["epochs"]) == ("unfinished", "interrupted", epoch - 1)
    with pytest.raises(RunError, match="unfinished"):
        load_run(tmp_path / "CC_R")
    torch.rand(7)  # whatever else went on in between
    assert_same_run(train(dataset, View.CC_R, rich_recipe(), tmp_path), uninterrupted)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import torch
    from ensemble_mammo.learning import checkpoint
    from ensemble_mammo.records.manifest import read_dataset
    from ensemble_mammo.records.recipe_files import load_recipe
    from ensemble_mammo.records.subject import View
    from ensemble_mammo.stages.train import TrainOptions, train

    torch.set_num_threads({threads})
    if {writing}:
        save, saved = checkpoint.save_file, []
        def half(tensors, path, about):
            save(tensors, path, about)
            saved.append(path)
            if len(saved) == 3:
                path.write_bytes(path.read_bytes()[:1000])
                os.kill(os.getpid(), signal.SIGKILL)
        checkpoint.save_file = half
    def told(advance):
        print(advance.epoch, advance.batch, flush=True)
    train(read_dataset(Path({root!r})), View.CC_R, load_recipe({recipe!r}), Path({out!r}), TrainOptions(progress=told))
"""


@pytest.mark.parametrize("writing", [False, True])
def test_a_killed_run_resumes_to_the_same_bits(uninterrupted, dataset, tmp_path, writing):
    (tmp_path / "rich.toml").write_text(recipe_to_toml(rich_recipe()))
    code = textwrap.dedent(KILLED).format(
        threads=torch.get_num_threads(),
        writing=writing,
        root=str(dataset.root),
        recipe=str(tmp_path / "rich.toml"),
        out=str(tmp_path),
    )
    home = str(Path(ensemble_mammo.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": home}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if line.split() == ["3", "2"]:
                process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    result = train(dataset, View.CC_R, rich_recipe(), tmp_path)
    assert_same_run(result, uninterrupted)
    assert {path.name for path in result.folder.iterdir()} == FILES


def test_a_finished_run_is_taken_as_it_is(uninterrupted, dataset, caplog):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.folder.iterdir()}
    with caplog.at_level(logging.INFO):
        again = train(dataset, View.CC_R, rich_recipe(), uninterrupted.folder.parent)
    assert "finished already" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in uninterrupted.folder.iterdir()}
    assert again.info == uninterrupted.info


def test_another_recipe_seed_or_data_is_refused_and_restart_begins_anew(dataset, tmp_path):
    recipe = tiny_recipe(epochs=1)
    train(dataset, View.CC_R, recipe, tmp_path)
    with pytest.raises(
        RunError, match=r"recipe was batch_size = 4, now batch_size = 6; take another --out, or --restart"
    ):
        train(dataset, View.CC_R, with_train(recipe, batch_size=6), tmp_path)
    with pytest.raises(RunError, match="seed was 0, now 1"):
        train(dataset, View.CC_R, recipe, tmp_path, TrainOptions(seed=1))
    fewer = frozenset(dataset.table["subject_id"][:8])
    with pytest.raises(RunError, match="other images, labels or splits"):
        train(dataset, View.CC_R, recipe, tmp_path, TrainOptions(train_subjects=fewer))
    result = train(dataset, View.CC_R, recipe, tmp_path, TrainOptions(seed=1, restart=True))
    assert result.info["seed"] == 1
    assert {path.name for path in result.folder.iterdir()} == FILES


def test_subjects_given_take_the_place_of_the_splits(dataset, tmp_path):
    subjects = sorted(dataset.table["subject_id"])
    options = TrainOptions(train_subjects=frozenset(subjects[:8]), val_subjects=frozenset(subjects[8:]))
    result = train(dataset, View.CC_R, tiny_recipe(epochs=1), tmp_path, options)
    assert [sum(part.values()) for part in result.info["images"].values()] == [8, 8]
    both = dataclasses.replace(options, val_subjects=frozenset(subjects[7:]))
    with pytest.raises(DatasetError, match=r"subject 's007' .* both in training and in validation"):
        train(dataset, View.CC_R, tiny_recipe(epochs=1), tmp_path, both)


def test_diverging_keeps_the_last_good_state(dataset, tmp_path):
    recipe = tiny_recipe(epochs=3, stages=(StageRecipe(1e-3, 1), StageRecipe(1e30)))
    with pytest.raises(
        TrainingError, match=r"epoch 2, batch \d at learning rate 1e\+30; the state after epoch 1 is kept"
    ):
        train(dataset, View.CC_R, recipe, tmp_path)
    folder = tmp_path / "CC_R"
    assert all(t.isfinite().all() for t in load_file(folder / "state.safetensors").values())
    info = json.loads((folder / "run.json").read_text())
    assert info["status"] == "unfinished" and "learning rate" in info["stopped_by"]


def test_training_without_validation_needs_a_recipe_that_can(dataset, tmp_path):
    options = TrainOptions(train_subjects=frozenset(dataset.table["subject_id"]))
    with pytest.raises(RecipeError, match=r"train\.keep = 'best-accuracy' needs validation images and CC_R has none"):
        train(dataset, View.CC_R, tiny_recipe(keep="best-accuracy"), tmp_path, options)
    result = train(dataset, View.CC_R, tiny_recipe(epochs=1), tmp_path, options)
    assert np.isnan(np.loadtxt(result.folder / "loss_val.txt"))
    assert result.info["val_accuracy"] is None


def test_a_view_without_images_and_a_single_class_are_refused(dataset, tmp_path):
    with pytest.raises(
        DatasetError, match=r"manifest\.csv: no training image of MLO_L with a density label \(0 images"
    ):
        train(dataset, View.MLO_L, tiny_recipe(), tmp_path)
    alike = frozenset(dataset.table["subject_id"][::4])
    with pytest.raises(DatasetError, match="all training images of CC_R are A"):
        train(dataset, View.CC_R, tiny_recipe(), tmp_path, TrainOptions(train_subjects=alike))
    assert not (tmp_path / "CC_R").exists()


def test_what_limits_a_training_is_said(tmp_path, caplog):
    dataset = tiny_dataset(tmp_path / "data", labels={0: "", 3: "C", 7: "C", 11: "C"})
    recipe = dataclasses.replace(tiny_recipe(epochs=1), recommended_images=1000)
    train(dataset, View.CC_R, recipe, tmp_path / "runs")
    assert "1 images without a density label left out" in caplog.text
    assert "no training image of class D" in caplog.text
    assert "11 training images; the recipe's source recommends 1000 or more" in caplog.text


def test_a_damaged_image_is_named(tmp_path):
    dataset = tiny_dataset(tmp_path / "data")
    (dataset.root / "images" / "002.png").write_bytes(b"\x89PNG")
    with pytest.raises(DatasetError, match=r"002\.png: damaged"):
        train(dataset, View.CC_R, tiny_recipe(), tmp_path / "runs")


def test_brightness_that_tells_the_class_is_learned(dataset, tmp_path):
    recipe = tiny_recipe("test_resnet", epochs=12, batch_size=12, optimizer="adamw", stages=(StageRecipe(2e-3),))
    result = train(dataset, View.CC_R, recipe, tmp_path)
    assert result.history["train_loss"].iloc[-1] < result.history["train_loss"].iloc[0] / 2


def test_an_unfinished_run_is_left_alone_where_resuming_is_not_wanted(dataset, tmp_path):
    def interrupt(advance):
        if advance.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, View.CC_R, tiny_recipe(), tmp_path, TrainOptions(progress=interrupt))
    with pytest.raises(RunError, match="unfinished run; let it be resumed"):
        train(dataset, View.CC_R, tiny_recipe(), tmp_path, TrainOptions(resume=False))


def test_threads_sleep_where_they_wait_so_that_busy_machines_stay_quick():
    code = "import os, ensemble_mammo.stages.train; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment["PYTHONPATH"] = str(Path(ensemble_mammo.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PASSIVE"]


@pytest.fixture(scope="module")
def pathology(tmp_path_factory):
    """Images of two views and two classes: dark benign, bright malignant; train, val and test."""
    root = tmp_path_factory.mktemp("pathology")
    made = tiny_dataset(root, train=16, val=8)
    table = made.table.assign(
        view=["CC_R", "MLO_L"] * 12,
        pathology=["malignant" if label in "CD" else "benign" for label in made.table["density"]],
        split=["train"] * 14 + ["val"] * 6 + ["test"] * 4,
    )
    table.to_csv(root / "manifest.csv", index=False)
    return read_dataset(root)


def pooled(task="pathology", **fields):
    recipe = tiny_recipe(network="test_resnet", **fields)
    return dataclasses.replace(recipe, task=task, pooled=True)


def test_a_pooled_recipe_trains_one_network_on_all_views(pathology, tmp_path):
    result = train(pathology, None, pooled(keep="best-auc"), tmp_path / "runs", TrainOptions(device="cpu"))
    assert result.folder == tmp_path / "runs" / "ANY" and result.info["view"] == "ANY"
    assert sum(result.info["images"]["train"].values()) == 14
    assert result.info["val_auc"] == result.history["val_auc"].max()
    run = load_run(result.folder)
    assert run.view is None and run.classes == ("benign", "malignant")
    everywhere = load_runs(tmp_path / "runs")
    assert list(everywhere) == list(View)
    assert len({id(own[0].network) for own in everywhere.values()}) == 1
    again = train(pathology, None, pooled(keep="best-auc"), tmp_path / "runs", TrainOptions(device="cpu"))
    assert again.info == result.info


def test_a_pooled_recipe_and_a_view_do_not_go_together(pathology, tmp_path):
    with pytest.raises(RecipeError, match="pooled, one network for all views; it cannot be trained for CC_R alone"):
        train(pathology, View.CC_R, pooled(), tmp_path)
    with pytest.raises(RecipeError, match="one network a view; name the view, or set pooled"):
        train(pathology, None, tiny_recipe(), tmp_path)


def test_the_best_auc_is_refused_for_more_than_two_classes(pathology, tmp_path):
    with pytest.raises(RecipeError, match="best-auc' is for two classes, task density has 4"):
        train(pathology, None, pooled("density", keep="best-auc"), tmp_path)


def test_the_mean_of_the_training_images_is_computed_and_stored(pathology, tmp_path):
    recipe = pooled(epochs=1)
    recipe = dataclasses.replace(recipe, input=dataclasses.replace(recipe.input, centre="training", std=1 / 255))
    result = train(pathology, None, recipe, tmp_path / "runs", TrainOptions(device="cpu"))
    stored = load_run(result.folder).recipe.input
    rows = pathology.rows(split="train")
    means = [fit(read_png16(pathology.root / file), recipe.input)[0].mean().item() for file in rows["file"]]
    assert stored.mean == pytest.approx(np.mean(means), rel=1e-5) and stored.std == pytest.approx(1 / 255)
    train(pathology, None, recipe, tmp_path / "runs", TrainOptions(device="cpu"))  # the same run, taken as it is


def test_a_run_starts_from_another_and_knows_whom_that_one_learned_from(pathology, tmp_path):
    options = TrainOptions(device="cpu")
    first = train(pathology, None, pooled(epochs=1), tmp_path / "first", options)
    network = dataclasses.replace(pooled().network, pretrained="run", weights_file=str(tmp_path / "first"))
    recipe = dataclasses.replace(pooled(epochs=1, stages=(StageRecipe(1e-12),), frozen_norm=True), network=network)
    second = train(pathology, None, recipe, tmp_path / "second", options)
    before, after = (load_file(run.folder / "weights.safetensors") for run in (first, second))
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in before)
    assert second.info["started_from"]["task"] == "pathology"
    assert second.info["learned_from"] == first.info["learned_from"]
    swapped = pathology.table.assign(split=["test"] * 4 + list(pathology.table["split"][:-4]))
    other = dataclasses.replace(pathology, table=swapped)
    with pytest.raises(DatasetError, match=r"4 subjects of validation or test here, such as s000, are known"):
        train(other, None, recipe, tmp_path / "third", options)
    allowed = dataclasses.replace(options, allow_leakage=True)
    assert "known to the run" in train(other, None, recipe, tmp_path / "third", allowed).info["leaks"][0]


def test_a_start_must_be_one_run(pathology, tmp_path):
    network = dataclasses.replace(pooled().network, pretrained="run", weights_file=str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match="nowhere: no such folder"):
        train(pathology, None, dataclasses.replace(pooled(), network=network), tmp_path / "runs")


def test_a_subject_that_the_start_learned_from_cannot_validate(pathology, tmp_path):
    options = TrainOptions(device="cpu")
    train(pathology, None, pooled(epochs=1), tmp_path / "first", options)
    network = dataclasses.replace(pooled().network, pretrained="run", weights_file=str(tmp_path / "first"))
    recipe = dataclasses.replace(pooled(epochs=1), network=network)
    swapped = pathology.table.assign(split=["val"] * 6 + ["train"] * 14 + ["test"] * 4)
    other = dataclasses.replace(pathology, table=swapped)
    with pytest.raises(DatasetError, match="6 subjects of validation or test here, such as s000, are known"):
        train(other, None, recipe, tmp_path / "second", options)


def test_the_mean_and_what_else_is_otherwise_come_from_the_start(pathology, tmp_path, caplog):
    options = TrainOptions(device="cpu")
    scaled = dataclasses.replace(pooled().input, centre="training", std=1 / 255)
    first = train(pathology, None, dataclasses.replace(pooled(epochs=1), input=scaled), tmp_path / "first", options)
    network = dataclasses.replace(pooled().network, pretrained="run", weights_file=str(tmp_path / "first"))
    larger = dataclasses.replace(scaled, height=48, width=48, std=1.0)
    recipe = dataclasses.replace(pooled(epochs=1), network=network, input=larger)
    other = dataclasses.replace(pathology, preparation=dataclasses.replace(pathology.preparation, trim=0.05))
    with caplog.at_level(logging.WARNING):
        second = train(other, None, recipe, tmp_path / "second", options)
    assert load_run(second.folder).recipe.input.mean == load_run(first.folder).recipe.input.mean
    assert "images prepared otherwise than those of the start: trim 0.05, before 0.0" in caplog.text
    assert "input.std is 1, in the training of the start it was 0.00392157" in caplog.text


@pytest.mark.parametrize(
    ("cut", "match"),
    [
        ("tiles", r"tiles of 64 x 64 pixels, the recipe's input is 32 x 32; cut them with `tiles --size 32`"),
        ("", r"holds tiles, and the recipe learns from mammograms; take another recipe, or the dataset that they were"),
    ],
)
def test_tiles_of_another_size_than_the_input_or_under_another_recipe_are_refused(pathology, tmp_path, cut, match):
    root = tmp_path / "tiles"
    root.mkdir()
    description = json.loads((pathology.root / "dataset.json").read_text()) | {"tiles": {"size_px": 64}}
    (root / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(RecipeError, match=match):
        train(
            dataclasses.replace(pathology, root=root), None, dataclasses.replace(pooled(), cut=cut), tmp_path / "runs"
        )


def test_mammograms_under_a_recipe_of_tiles_are_refused(pathology, tmp_path):
    with pytest.raises(
        RecipeError, match=r"holds mammograms, and the recipe learns from tiles; .* `ensemble-mammo tiles`"
    ):
        train(pathology, None, dataclasses.replace(pooled(), cut="tiles"), tmp_path / "runs")


def test_epochs_are_judged_on_as_many_validation_images_as_the_recipe_says(dataset, tmp_path):
    recipe = tiny_recipe(epochs=1, validation_images=3)
    first = train(dataset, View.CC_R, recipe, tmp_path / "a", TrainOptions(seed=1))
    again = train(dataset, View.CC_R, recipe, tmp_path / "b", TrainOptions(seed=1))
    assert sum(first.info["images"]["val"].values()) == 3
    assert first.info["data_fingerprint"] == again.info["data_fingerprint"]


def test_a_kept_network_that_names_one_class_is_warned_of(tmp_path, caplog):
    data = tiny_dataset(tmp_path / "data", val=6)  # A and B twice, C and D once
    collapsing = tiny_recipe(epochs=1, stages=(StageRecipe(1e-9),))
    done = train(data, View.CC_R, collapsing, tmp_path / "runs", TrainOptions(device="cpu"))
    run = load_run(done.folder, "density")
    rows = data.rows(View.CC_R, "val")
    batch = torch.stack([to_input(read_png16(data.root / f), run.recipe.input)[0] for f in rows["file"]])
    with torch.inference_mode():
        (named,) = set(run.network(batch).argmax(1).tolist())
    right = (rows["density"] == "ABCD"[named]).sum()
    text = (
        f"the kept network names {'ABCD'[named]} for each of the 6 validation images, of which {right} are: it tells "
        "nothing apart"
    )
    assert done.info["warnings"] == [text] and done.info["val_majority"] == 2 / 6
    assert f"WARNING: {done.folder}: {text}" in caplog.messages
