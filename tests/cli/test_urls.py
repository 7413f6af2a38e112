"""The command line with folders of a store, beside the same commands with folders of this machine."""

import json
import sys
from pathlib import Path

import pytest

from ensemble_mammo.cli import main
from ensemble_mammo.imaging.phantom import write_phantom_exams
from ensemble_mammo.records.remote import mirror
from tests.s3 import BUCKET, local_tree, remote_tree, server

OWN_TIME = ("history.csv", "state.safetensors", "run.json")
"""Of a run: files that hold seconds."""
TINY = [
    word
    for text in ("input.height=64", "input.width=48", "train.epochs=2", "train.batch_size=4")
    for word in ("--set", text)
]


@pytest.fixture
def bucket(monkeypatch):
    with server(monkeypatch) as files:
        yield files


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, in_process):
    """Call the command line on a machine: (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")

    def called(machine, *words):
        monkeypatch.setenv("ENSEMBLE_MAMMO_CACHE", str(tmp_path / machine))
        monkeypatch.setattr(sys, "argv", ["ensemble-mammo", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        assert mirror.mirrored() == ()
        return end.value.code or 0, out, err

    return called


def prepare(call, machine, source, out):
    words = ["--labels", f"{source}/labels.csv", "--height", 96, "--split", "50:25:25", "--keep-ids", "--workers", 2]
    return call(machine, "prepare", "dicom", source, "--out", out, *words)


def train(call, machine, data, out):
    words = ["--view", "CC_R", "--recipe", "density/demo", "--device", "cpu", *TINY]
    return call(machine, "train", "--data", data, "--out", out, *words)


def judge(call, machine, root, own):
    """Predict and report from and to folders under a root."""
    predicted = call(machine, "predict", "--models", f"{root}runs", "--data", f"{root}set", "--out", f"{root}{own}")
    words = ["--data", f"{root}set", "--resamples", 50, "--no-studies", "--out", f"{root}report"]
    return predicted, call(machine, "report", f"{root}{own}/predictions", *words)


@pytest.mark.slow
def test_each_stage_from_a_store_to_a_store_writes_what_it_writes_here(bucket, call, tmp_path, monkeypatch, caplog):
    write_phantom_exams(Path("exams"), 6, height=128, densities="ABABAB")
    bucket.put("exams/", f"{BUCKET}/exams/", recursive=True)
    url = f"s3://{BUCKET}/"

    assert prepare(call, "none", "exams", "set")[0] == 0
    status, out, _ = prepare(call, "one", f"{url}exams", f"{url}set")
    assert status == 0 and f"dataset: {url}set" in out
    here, there = local_tree(Path("set")), remote_tree(bucket, "set")
    assert json.loads(there["dataset.json"])["archive"] == f"{url}exams"
    assert {**there, "dataset.json": 0} == {**here, "dataset.json": 0}
    assert remote_tree(bucket, "exams") == local_tree(Path("exams"))
    status, _, err = prepare(call, "one", f"{url}exams", f"{url}set")
    assert status == 1 and f"error: {url}set: holds a dataset already" in err and str(tmp_path) not in err

    assert train(call, "none", "set", "runs")[0] == 0
    with monkeypatch.context() as patch:  # the machine dies with the first epoch on disk: nothing more is sent
        from ensemble_mammo.learning import record

        def killed(*words):
            patch.setattr(sys.modules["ensemble_mammo.cli.app"], "settle", lambda *words, **more: mirror.end())
            raise KeyboardInterrupt

        patch.setattr(record, "write_history", killed)
        assert train(call, "two", f"{url}set", f"{url}runs")[0] == 130
    assert "CC_R/state.safetensors" in remote_tree(bucket, "runs")
    assert "CC_R/weights.safetensors" not in remote_tree(bucket, "runs")
    assert train(call, "three", f"{url}set", f"{url}runs")[0] == 0
    assert f"{url}runs/CC_R: resumed after epoch 1" in caplog.text
    here, there = local_tree(Path("runs/CC_R")), remote_tree(bucket, "runs/CC_R")
    same = [name for name in here if name not in OWN_TIME and not name.startswith("events/")]
    assert len(same) >= 7 and {name: there[name] for name in same} == {name: here[name] for name in same}
    assert sorted(set(there) - set(same)) == sorted(
        [*OWN_TIME, *(name for name in there if name.startswith("events/"))]
    )

    local, remote_ = judge(call, "none", "", "scores"), judge(call, "four", url, "scores")
    assert [(status, err) for status, _, err in (*local, *remote_)] == [(0, "")] * 4
    here, there = local_tree(Path("scores")), remote_tree(bucket, "scores")
    assert {**there, "predictions/predictions.json": 0} == {**here, "predictions/predictions.json": 0}
    here, there = (
        json.loads(tree["report.json"]) for tree in (local_tree(Path("report")), remote_tree(bucket, "report"))
    )
    assert (
        here["figures"] == there["figures"]
        and remote_tree(bucket, "report").keys() == local_tree(Path("report")).keys()
    )
    caches = [str(tmp_path / name).encode() for name in ("one", "two", "three", "four")]
    for name in bucket.find(BUCKET):
        assert not any(cache in bucket.cat_file(name) for cache in caches), name


def test_wrong_urls_end_with_one_line(bucket, call, tmp_path):
    for url, text in (
        ("s3://nobodys/set", "s3://nobodys/set: not there"),
        (f"s3://{BUCKET}/nothing", f"s3://{BUCKET}/nothing: nothing lies there"),
        ("s3://me:secret@there/set", "a URL with a password is not taken"),
        ("nothing://there/set", "protocol nothing:// is not known"),
    ):
        status, out, err = train(call, "one", url, tmp_path / "runs")
        assert status == 1 and out == "" and "secret" not in err
        assert err.startswith("error: ") and text in err and len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_words_that_are_wrong_are_said_before_anything_is_brought(bucket, call, tmp_path):
    status, _, _ = call("one", "train", "--data", "s3://nobodys/set", "--seed", "none")
    assert status == 2


def test_a_file_url_is_a_path(call, exams, tmp_path):
    status, out, _ = prepare(call, "one", f"file://{exams}", f"file://{tmp_path}/set")
    assert status == 0 and f"dataset: {tmp_path}/set" in out and (tmp_path / "set" / "manifest.csv").is_file()
    assert not (tmp_path / "one").exists()
