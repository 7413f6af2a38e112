"""The long demonstration from films to the page, in small."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ensemble_mammo.learning.checkpoint import load_run, load_runs
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import ANY, View
from ensemble_mammo.records.task import PATCH_CLASSES
from ensemble_mammo.workflows.demo_cancer import DemoCancerOptions, demo_cancer
from tests.conftest import at_once, without_workers

SMALL = DemoCancerOptions(
    subjects=12,
    height_px=160,
    patch_set="S",
    patch_settings=("input.height=32", "input.width=32", "train.epochs=1"),
    whole_settings=("input.height=160", "input.width=128", "train.epochs=1"),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder that the demonstration wrote, and what it gave."""
    out = tmp_path_factory.mktemp("demo") / "cancer"
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        for place in ("archives.cbis_ddsm", "lesions.patches.run", "lesions.heatmap.inputs"):
            patch.setattr(f"ensemble_mammo.{place}.spread", at_once)
        return out, demo_cancer(out, SMALL)


@pytest.mark.slow
def test_every_step_leaves_its_folder(done):
    out, found = done
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        "archive", "dataset", "heatmaps", "maps", "patch-runs", "patches", "predictions", "report", "runs",
        "validation",
    ]  # fmt: skip
    assert found.page == out / "report" / "report.html" and found.page.is_file() and found.reader.is_file()
    with Image.open(found.heatmap) as picture:
        assert picture.mode == "RGB"
    assert 0 <= found.patch_accuracy <= 1 and 0.2 <= found.patch_majority <= 0.6


@pytest.mark.slow
def test_the_whole_image_network_starts_from_the_patch_network(done):
    out, _ = done
    patch_run, (whole, *_) = load_run(out / "patch-runs" / ANY), load_runs(out / "runs")[View.CC_R]
    assert patch_run.classes == PATCH_CLASSES and whole.task.name == "pathology"
    told = json.loads((out / "runs" / ANY / "run.json").read_text())["started_from"]
    assert told["task"] == "patch" and told["network"] == "test_resnet"
    assert whole.recipe.network.backbone == "test_resnet"


@pytest.mark.slow
def test_no_subject_of_the_test_split_is_learned_from(done):
    out, found = done
    dataset, cut = read_dataset(out / "dataset"), read_dataset(out / "patches")
    tested = set(dataset.rows(split="test")["subject_id"])
    assert len(tested) == 4 and set(cut.rows(split="test")["subject_id"]) == tested
    assert not tested & set(cut.rows(split="train")["subject_id"])
    counts = json.loads((out / "report" / "report.json").read_text())["counts"]
    assert counts["subject"]["subjects"] == len(tested)
    assert {section.name for section in found.report.sections} >= {"two-classes", "lesions-found"}


@pytest.mark.slow
def test_every_test_film_has_its_map(done):
    out, _ = done
    told = json.loads((out / "heatmaps" / "lesions.json").read_text())
    films = read_dataset(out / "dataset").rows(split="test")
    assert {image["image_id"] for image in told["images"]} == set(films["image_id"])
    assert told["mode"] == "dense" and told["compared"]["images"] == 4
    first = told["images"][0]
    values = np.load(out / "heatmaps" / first["raw"])
    assert values.shape == (first["height"], first["width"]) and 0 <= values.min() <= values.max() <= 1


def test_the_recipes_fit_each_other():
    patch, whole = load_recipe("cancer/demo-patch"), load_recipe("cancer/demo-whole")
    assert patch.pooled and whole.pooled and (patch.task, whole.task) == ("patch", "pathology")
    assert whole.input.height == DemoCancerOptions().height_px
    assert whole.network.backbone == patch.network.name
    assert (patch.input.mean, patch.input.std) == (whole.input.mean, whole.input.std)
    assert patch.input.height == patch.input.width and patch.input.height % 32 == 0


def test_too_few_subjects():
    with pytest.raises(ValueError, match="7 subjects, expected 8 or more"):
        DemoCancerOptions(subjects=7)
