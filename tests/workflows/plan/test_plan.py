"""plan: what is written can be trained with, says why, and is told in one line where it cannot be made."""

import csv
import json
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from statistics import median

import pytest
from PIL import Image

from ensemble_mammo.cli import main
from ensemble_mammo.errors import DatasetError, TrainingError
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.plan import PlanOptions, plan, rules
from ensemble_mammo.workflows.plan import run as module
from ensemble_mammo.workflows.plan.choices import of_the_data, sizes_of
from ensemble_mammo.workflows.plan.fingerprint import read_fingerprint
from ensemble_mammo.workflows.plan.machine import read_memory


@pytest.fixture(scope="module")
def planned(dataset, tmp_path_factory):
    return plan(dataset, tmp_path_factory.mktemp("planned") / "plan.toml", PlanOptions(device="cpu"))


@pytest.fixture
def facts(dataset):
    return read_fingerprint(dataset, TASKS["density"])


def values_of(facts, gpu=False):
    return {one.key: one.value for one in of_the_data(facts, sizes_of(facts), gpu)}


def with_labels(dataset, labels, name="density"):
    return replace(dataset, table=dataset.table.assign(**{name: labels}))


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_the_fingerprint_counts_as_a_plain_reading_of_the_files_does(dataset, facts):
    with (dataset.root / "manifest.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    sizes = [size_of(dataset.root / row["file"]) for row in rows]
    assert facts.learned == facts.images == len(rows)
    assert facts.subjects == len({row["subject_id"] for row in rows})
    assert facts.classes == Counter(row["density"] for row in rows)
    assert facts.class_subjects == Counter({row["subject_id"]: row["density"] for row in rows}.values())
    assert facts.views == Counter(row["view"] for row in rows)
    assert facts.splits == Counter(row["split"] for row in rows)
    assert facts.height == median(height for _, height in sizes)
    assert facts.aspect == pytest.approx(median(width / height for width, height in sizes), abs=1e-4)
    assert sum(facts.machines.values()) == sum(bool(row["manufacturer"] or row["device"]) for row in rows)


def test_the_recipe_is_read_back_with_the_values_and_a_reason_beside_each(planned):
    recipe = load_recipe(planned.recipe)
    assert (recipe.task, recipe.pooled, recipe.input.height % 32) == ("density", True, 0)
    assert recipe.input.height <= planned.facts.height
    assert recipe.train.batch_size * recipe.train.accumulate == rules.images_a_step(planned.facts.learned)
    lines = planned.recipe.read_text().splitlines()
    assert all(" # " in line for line in lines if "=" in line and not line.startswith("#"))
    assert all(one.reason and "\n" not in one.reason for one in planned.choices)
    assert set(tomllib.loads(planned.recipe.read_text())["train"]["stages"][0]) == {
        "trainable",
        "learning_rate",
        "epochs",
    }


def test_the_json_beside_it_holds_what_it_rests_on(planned):
    held = json.loads(planned.recipe.with_suffix(".json").read_text())
    assert held == json.loads(json.dumps(planned.as_json()))
    assert held["choices"]["input.height"]["value"] == load_recipe(planned.recipe).input.height
    assert held["dry_run"]["trials"][0]["images_per_second"] > 0
    assert {"version", "fingerprint", "machine", "folds", "workers", "command"} <= set(held)
    assert sorted(path.name for path in planned.recipe.parent.iterdir()) == ["plan.json", "plan.toml"]


def test_a_network_learns_by_it(planned, dataset, tmp_path):
    recipe = load_recipe(planned.recipe, None, ("train.epochs=1",))
    result = train(dataset, None, recipe, tmp_path / "runs", TrainOptions(device="cpu"))
    assert result.info["status"] == "finished"


def test_a_second_plan_says_the_same_but_for_the_clock(planned, dataset, tmp_path):
    again = plan(dataset, tmp_path / "plan.toml", PlanOptions(device="cpu"))
    timed = {"train.batch_size", "train.precision", "train.cache_gb"}
    assert [one for one in again.choices if one.key not in timed] == [
        one for one in planned.choices if one.key not in timed
    ]


def test_many_images_make_networks_of_views_and_a_flip_belongs_to_pooled_ones(facts):
    few = values_of(facts)
    assert few["pooled"] and few["augment.flip_horizontal"]
    assert "train.mirrored" not in few
    many = values_of(replace(facts, learned=8000, subjects=2000, views=dict.fromkeys(View, 2000), crossvalidated=False))
    assert not many["pooled"] and many["train.mirrored"] and not many["augment.flip_horizontal"]
    turned = values_of(replace(facts, preparation={"orientation": "chest-left"}))
    assert turned["pooled"] and not turned["augment.flip_horizontal"]


def test_classes_in_an_order_get_soft_targets_and_rare_ones_without_an_order_weights(facts):
    assert values_of(facts)["loss.soft_targets"] > 0
    assert values_of(facts)["loss.class_weights"] == "none"
    pathology = replace(facts, task="pathology", classes={"benign": 90, "malignant": 10})
    assert values_of(pathology)["loss.class_weights"] == "balanced"
    assert "loss.soft_targets" not in values_of(pathology)
    even = replace(pathology, classes={"benign": 50, "malignant": 50})
    assert values_of(even)["loss.class_weights"] == "none"


def test_the_best_epoch_is_chosen_only_on_many_validation_images(facts):
    assert values_of(facts)["train.keep"] == "last"
    split = replace(facts, crossvalidated=False, splits={"train": 4000, "val": 400, "test": 400})
    assert values_of(split)["train.keep"] == "best-loss"


def test_labels_of_a_test_split_are_not_looked_at(dataset, monkeypatch):
    monkeypatch.setattr("ensemble_mammo.workflows.plan.fingerprint.CROSSVALIDATED_BELOW", 0)
    before = read_fingerprint(dataset, TASKS["density"])
    held_out = dataset.table["split"] == "test"
    changed = with_labels(dataset, dataset.table["density"].where(~held_out, "A"))
    after = read_fingerprint(changed, TASKS["density"])
    assert not before.crossvalidated
    assert replace(after, data=before.data) == before


def test_collections_of_a_joined_dataset_get_a_last_layer_each(dataset):
    table = dataset.table
    other = table["subject_id"].isin(sorted(set(table["subject_id"]))[:4])
    tissue = table["density"].map({"A": "F", "B": "G", "C": "G", "D": "D"}).where(other, "")
    table = table.assign(collection=["two" if own else "one" for own in other], tissue=tissue)
    table["density"] = table["density"].where(~other, "")
    found = read_fingerprint(replace(dataset, table=table), TASKS["density"])
    assert found.layers == ("density", "tissue")
    assert found.learned == len(table)
    assert sum(count for name, count in found.classes.items() if name.startswith("tissue ")) == other.sum()
    chosen = values_of(found)
    assert chosen["network.layers"] == ["density", "tissue"] and chosen["pooled"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [("", "no image has a label of density"), ("B", "all 32 images to learn from are B")],
)
def test_labels_that_teach_nothing_are_refused_and_nothing_is_written(dataset, tmp_path, labels, said):
    with pytest.raises(DatasetError, match=said):
        plan(with_labels(dataset, labels), tmp_path / "plan.toml", PlanOptions(device="cpu"))
    assert not list(tmp_path.iterdir())


def test_a_device_that_holds_nothing_is_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "dry_run", lambda *_: None)
    with pytest.raises(TrainingError, match="do not hold two images"):
        plan(dataset, tmp_path / "plan.toml", PlanOptions(device="cpu"))
    assert not list(tmp_path.iterdir())


def test_the_input_is_halved_until_memory_holds_it(dataset, tmp_path, monkeypatch):
    real, sizes = module.dry_run, []

    def small_only(recipe, *others):
        sizes.append(recipe.input.height)
        return real(recipe, *others) if recipe.input.height < 96 else None

    monkeypatch.setattr(module, "dry_run", small_only)
    monkeypatch.setattr(rules, "STRIDE", 16)
    found = plan(dataset, tmp_path / "plan.toml", PlanOptions(device="cpu"))
    assert sizes == [96, 48]
    said = next(one.reason for one in found.choices if one.key == "input.height")
    assert said == "96 rows do not fit into memory"


def test_memory_is_what_the_container_may_have(tmp_path):
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable: 8000000 kB\n")
    assert read_memory(meminfo, cgroup) == pytest.approx((16.384, 8.192))
    cgroup.write_text("max\n")
    assert read_memory(meminfo, cgroup) == pytest.approx((16.384, 8.192))
    cgroup.write_text("4000000000\n")
    assert read_memory(meminfo, cgroup) == (4.0, 4.0)
    total, free = read_memory(tmp_path / "nowhere", tmp_path / "nowhere")
    assert 0 < free < total


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--data", "nowhere"], 1, "nowhere: no such folder"),
        (["--task", "pathology"], 1, "no column 'pathology'"),
        (["--task", "densty"], 2, "did you mean 'density'"),
        (["--device", "tpu"], 1, "device 'tpu' is not one of"),
        (["--out", "plan.txt"], 2, "ends in .toml"),
    ],
)
def test_wrong_use_gives_one_clear_line(dataset, tmp_path, monkeypatch, capsys, words, status, said):
    monkeypatch.chdir(tmp_path)
    given = words if "--data" in words else ["--data", str(dataset.root), *words]
    monkeypatch.setattr(sys, "argv", ["ensemble-mammo", "plan", *given])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_shows_reasons_and_the_training_that_is_suggested(planned, capsys, as_json):
    from ensemble_mammo.console.planned import plan_table

    plan_table(planned, as_json)
    out = capsys.readouterr().out
    if as_json:
        assert json.loads(out)["choices"]["pooled"]["value"] is True
        return
    assert all(one.reason in out for one in planned.choices)
    assert out.splitlines()[-1].startswith(f"ensemble-mammo train --recipe {planned.recipe} --data ")


def test_patches_are_refused(dataset, tmp_path):
    patches = with_labels(dataset, "background", "patch")
    with pytest.raises(DatasetError, match="holds patches, and a plan is for whole mammograms"):
        plan(replace(patches, root=tmp_path), tmp_path / "plan.toml")
