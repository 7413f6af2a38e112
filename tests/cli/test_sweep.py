"""`ensemble-mammo sweep` as a user calls it."""

import json
import re
import sys

import pytest

from ensemble_mammo.cli import main
from tests.workflows.test_sweep import SETTINGS, tiles

SET = [word for text in SETTINGS for word in ("--set", text)]


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command line: (exit status, standard output, standard error)."""

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["ensemble-mammo", "sweep", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "250")
        monkeypatch.setenv("TERMINAL_WIDTH", "250")
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return called


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiles(tmp_path_factory.mktemp("data") / "own").root


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return tiles(tmp_path_factory.mktemp("foreign") / "mias", splits=("",), images=8, seed=3).root


def test_a_sweep_prints_its_table_or_its_document(call, data, foreign, tmp_path):
    words = ["--recipe", "density/demo", "--data", data, *SET, "--over", "input.contrast=1.5", "--over", "seed=0,1"]
    words += ["--on", f"mias={foreign}", "--threshold", "recall=0.9", "--device", "cpu", "--out", tmp_path / "out"]
    status, out, _ = call(*words)
    assert status == 0
    assert len(re.findall(r"│ contrast-1\.5\+seed-[01] +│ +(?:val|mias) │", out)) == 4
    assert (
        "most frequent" in out
        and "threshold: val, recall 0.9" in out
        and "mean ± standard deviation over seeds" in out
        and "sweep.md" in out
    )
    assert "contrast-1.5+seed-0 on val: " in out and "chosen on these very cases" in " ".join(out.split())
    status, out, _ = call(*words, "--json")
    told = json.loads(out)
    assert status == 0 and told == json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert told["over"] == {"input.contrast": ["1.5"], "seed": ["0", "1"]} and len(told["seeds"]) == 2


def test_a_failed_point_ends_with_status_1_after_the_table(call, data, tmp_path):
    words = ["--recipe", "density/demo", "--data", data, *SET, "--device", "cpu", "--out", tmp_path / "out"]
    status, out, err = call(*words, "--over", "network.name=test_resnet,test_resnet_of_nobody")
    assert status == 1 and "name-test_resnet " in out and "error:" not in err
    assert "name-test_resnet_of_nobody: FAILED: training: " in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--over", "loss.positive_weigt=1"], 1, "did you mean 'loss.positive_weight'?"),
        (["--over", "los.positive_weight=1"], 1, "unknown key 'los'; did you mean 'loss'?"),
        ([], 1, "give at least one --over"),
        (["--over", "seed=0", "--threshold", "recall=2"], 2, "expected a score between 0 and 1 such as 0.3"),
        (["--over", "seed=0", "--split", "train"], 2, "split is 'train', expected one of val, test"),
        (["--over", "seed=0", "--on", "mias"], 2, "--on mias: expected NAME=DATASET"),
        (["--over", "seed=0", "--on", "mias=nowhere"], 1, "nowhere: no such folder"),
        (["--over", "seed=0", "--folds", "1"], 2, "folds is 1, expected 0 or at least 2"),
    ],
)
def test_wrong_words_end_before_anything_is_trained(call, data, tmp_path, words, status, text):
    own = ["--recipe", "density/demo", "--data", data, *SET, "--out", tmp_path / "out"]
    found, out, err = call(*own, *words)
    assert (found, out) == (status, "") and not (tmp_path / "out").exists()
    assert text in " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split())
