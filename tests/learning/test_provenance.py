import json

from ensemble_mammo.learning.checkpoint import file_sha256, load_runs
from ensemble_mammo.learning.provenance import provenance
from ensemble_mammo.records.subject import View


def test_each_run_says_what_it_is_and_nothing_of_where_it_lies(runs, dataset):
    found = provenance(load_runs(runs))
    assert list(found) == [view.value for view in View]
    for view, (one,) in found.items():
        info = json.loads((runs / view / "run.json").read_text())
        assert one["weights_sha256"] == file_sha256(runs / view / "weights.safetensors")
        for name in ("network", "seed", "epochs", "kept_epoch", "data_fingerprint", "versions"):
            assert one[name] == info[name]
        assert one["images"] == info["images"] and set(one["images"]) == {"train", "val"}
        assert one["fold"] is None and one["input"] == "64 x 48"
    text = json.dumps(found)
    assert str(runs) not in text and str(dataset.root) not in text


def test_folds_are_named(runs, tmp_path):
    import shutil

    for fold in ("fold-0", "fold-1"):
        shutil.copytree(runs / "CC_R", tmp_path / fold / "CC_R")
    (tmp_path / "fold-1" / "CC_R" / "run.json").unlink()
    first, second = provenance(load_runs(tmp_path))["CC_R"]
    assert (first["fold"], second["fold"]) == ("fold-0", "fold-1")
    assert first["recipe_sha256"] == second["recipe_sha256"]
    assert second["seed"] is None and second["versions"] is None
