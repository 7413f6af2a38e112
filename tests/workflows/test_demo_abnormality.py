"""The tiles' part of the long demonstration, in small."""

import json

import pandas as pd
import pytest

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.imaging.phantom_cbis import write_phantom_cbis
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from ensemble_mammo.workflows.demo_abnormality import DemoAbnormalityOptions, demo_abnormality
from tests.conftest import at_once, without_workers

SMALL = DemoAbnormalityOptions(settings=("train.epochs=1",))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder that the demonstration wrote, and what it gave; the films are prepared as those of demo_cancer."""
    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        patch.setattr("ensemble_mammo.archives.cbis_ddsm.spread", at_once)
        write_phantom_cbis(root / "archive", 12, 0, 183, quirks=False)
        prepared = PrepareOptions(ArchiveOptions(task="pathology"), Preparation(height=160))
        dataset = prepare("cbis-ddsm", root / "archive", root / "dataset", prepared)
        return root / "out", demo_abnormality(dataset, root / "out", SMALL)


@pytest.mark.slow
def test_every_step_leaves_its_folder(done):
    out, found = done
    assert sorted(path.name for path in out.iterdir()) == ["predictions", "report", "runs", "tiles", "validation"]
    assert found.page == out / "report" / "report.html" and found.page.is_file()
    assert {section.name for section in found.report.sections} >= {"two-classes", "contrast"}
    assert set(pd.read_csv(out / "report" / "tables" / "contrast.csv")["contrast"]) == {1.0, 1.5}


@pytest.mark.slow
def test_the_report_is_of_the_tiles_of_subjects_not_learned_from(done):
    out, _ = done
    cut = read_dataset(out / "tiles")
    tested = cut.rows(split="test")
    assert not set(tested["subject_id"]) & set(cut.rows(split="train")["subject_id"])
    assert tested["abnormality"].value_counts(normalize=True).eq(0.5).all()
    told = json.loads((out / "report" / "report.json").read_text())
    assert told["task"] == "abnormality" and told["counts"]["subject"]["subjects"] == tested["subject_id"].nunique()
    assert set(pd.read_csv(out / "predictions" / "subject.csv")["exam_id"]) == set(tested["exam_id"])


def test_the_recipe_is_of_square_tiles():
    recipe = load_recipe(DemoAbnormalityOptions().recipe)
    assert recipe.cut == "tiles" and recipe.pooled and recipe.task == "abnormality"
    assert recipe.input.height == recipe.input.width
