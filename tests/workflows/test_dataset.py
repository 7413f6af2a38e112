import shutil

import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.workflows.dataset import dataset_at

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def tree(dataset, tmp_path):
    """An INFN tree of class folders."""
    return shutil.copytree(dataset.root / "folders" / "density", tmp_path / "tree")


def test_a_prepared_dataset_is_read_as_it_is(dataset, tmp_path):
    assert dataset_at(dataset.root, tmp_path, "density").fingerprint() == dataset.fingerprint()
    assert list(tmp_path.iterdir()) == []


def test_a_tree_of_class_folders_is_prepared_once_beside_the_runs_and_said_so(tree, tmp_path, caplog, monkeypatch):
    small = Preparation(height=64)
    monkeypatch.setattr("ensemble_mammo.stages.prepare.options.Preparation", lambda: small)
    caplog.set_level("INFO")
    made = dataset_at(tree, tmp_path / "runs", None)
    assert made.root == tmp_path / "runs" / "prepared-tree" and len(made.table) == 32
    assert "prepared with the default Preparation into" in caplog.text
    stamp = (made.root / "manifest.csv").stat().st_mtime_ns
    assert dataset_at(tree, tmp_path / "runs", None).fingerprint() == made.fingerprint()
    assert (made.root / "manifest.csv").stat().st_mtime_ns == stamp
    other = shutil.copytree(tree, tmp_path / "elsewhere" / "tree")
    with pytest.raises(DatasetError, match=r"prepared-tree: was made from .*/tree, not from .*elsewhere/tree"):
        dataset_at(other, tmp_path / "runs", None)


@pytest.mark.parametrize(("name", "match"), [("nowhere", "nowhere: no such folder"), ("", "neither a manifest.csv")])
def test_anything_else_is_refused_with_what_to_do(tmp_path, name, match):
    with pytest.raises(DatasetError, match=f"{match}.*ensemble-mammo prepare KIND PATH"):
        dataset_at(tmp_path / name, tmp_path, None)
