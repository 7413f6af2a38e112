"""predict, explain and heatmap with their networks on workers; at the end on a cluster of two nodes."""

import json
import pickle
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ensemble_mammo.errors import DatasetError, ExecutionError, RunError
from ensemble_mammo.execution.engine import Engine
from ensemble_mammo.execution.local import Outcome, one_by_one
from ensemble_mammo.learning.checkpoint import CHECKSUM, load_run
from ensemble_mammo.learning.heatmap import HeatmapOptions
from ensemble_mammo.learning.travel import arrived, sent
from ensemble_mammo.lesions.heatmap import LesionMapOptions, heatmap
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.predict import PredictOptions, predict, scored, workers
from tests.conftest import at_once
from tests.lesions.test_heatmap import write_run

ONE = {"device": "cpu", "threads": 1, "workers": 1}
DEADLY = "its worker process died (SIGSEGV; the file is probably damaged)"


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_seconds(files):
    document = json.loads(files.pop("lesions.json"))
    for entry in document["images"]:
        entry.pop("seconds", None)
    return files, document


@pytest.fixture
def elsewhere(monkeypatch):
    """Options of an engine that pickles what goes to its workers and comes back, as Ray does, in this process.

    Workers die of the file whose path ends in `engine.address`.
    """

    def spread(function, items, workers=0, seconds=60.0, engine=None, share=None):
        for item in items:
            sent_there = pickle.loads(pickle.dumps((function, item)))
            if engine is not None and engine.address and engine.address in repr(item):
                yield Outcome(item, None, DEADLY)
            else:
                yield from (pickle.loads(pickle.dumps(one)) for one in one_by_one(sent_there[0], [sent_there[1]]))

    for place in ("stages.predict.workers", "stages.explain.workers", "lesions.heatmap.mapped"):
        monkeypatch.setattr(f"ensemble_mammo.{place}.spread", spread)
    for place in ("stages.predict", "stages.explain", "lesions.heatmap"):
        monkeypatch.setattr(f"ensemble_mammo.{place}.run.running", lambda engine, workers: nullcontext())
    for place in ("archives.dicom", "stages.predict.inputs", "stages.explain.images", "lesions.heatmap.inputs"):
        monkeypatch.setattr(f"ensemble_mammo.{place}.spread", at_once)  # what the local engine starts
    return lambda deadly="": {"engine": Engine("ray", deadly), "device": "cpu", "threads": 1}


def test_predictions_of_workers_are_the_same_files(elsewhere, dataset, runs, exams, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "CHUNK", 2)
    for name, source, options in (
        ("dataset", dataset, PredictOptions(batch_size=3, contrasts=(1.0, 1.5), flips=True)),
        ("one", exams / "PH0004", PredictOptions()),
        ("many", exams, PredictOptions(many=True, batch_size=3)),
    ):
        predict(source, runs, tmp_path / "here" / name, replace(options, **ONE))
        predict(source, runs, tmp_path / "there" / name, replace(options, **elsewhere()))
    here = files_in(tmp_path / "here")
    assert here == files_in(tmp_path / "there") and len(here) > 60


@pytest.mark.parametrize("deadly", [False, True])
def test_a_file_that_cannot_be_read_is_left_out_and_costs_itself_alone(deadly, elsewhere, runs, exams, tmp_path):
    for name in ("PH0001", "PH0002"):
        shutil.copytree(exams / name, tmp_path / "exams" / name)
    spoilt = tmp_path / "exams" / "PH0001" / "CC_L.dcm"
    if not deadly:
        spoilt.write_bytes(spoilt.read_bytes()[:20_000])
    own = elsewhere("PH0001/CC_L.dcm" if deadly else "")
    there = predict(tmp_path / "exams", runs, options=PredictOptions(many=True, **own))
    spoilt.write_bytes(spoilt.read_bytes()[:20_000])
    here = predict(tmp_path / "exams", runs, options=PredictOptions(many=True, **ONE))
    assert [note.split(":")[0] for note in here.notes] == [note.split(":")[0] for note in there.notes]
    assert any(DEADLY in note for note in there.notes) == deadly
    assert here.notes == there.notes or deadly
    for one, other in zip(here.levels(), there.levels(), strict=True):
        assert one.keys == other.keys and (one.scores == other.scores).all()
    assert list(there.views["CC_L"].subject_ids) == ["PH0002"]


def test_a_damaged_image_of_a_dataset_is_the_same_error(elsewhere, dataset, runs, tmp_path):
    copy = Path(shutil.copytree(dataset.root, tmp_path / "copy"))
    broken = copy / dataset.table["file"].iloc[0]
    broken.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=f"{broken}: damaged, or no PNG"):
        predict(replace(dataset, root=copy), runs, options=PredictOptions(**elsewhere()))


def test_workers_that_die_of_a_prepared_image_end_the_command(elsewhere, dataset, runs):
    options = PredictOptions(**elsewhere(Path(dataset.table["file"].iloc[0]).name))
    with pytest.raises(ExecutionError, match="predict: its worker process died"):
        predict(dataset, runs, options=options)


def test_maps_of_workers_are_the_same_files(elsewhere, dataset, runs, exams, tmp_path):
    for name, source, options in (
        ("dataset", dataset, ExplainOptions(split="val", html=True, measure=True, measure_images=1, resamples=20)),
        ("one", exams / "PH0004", ExplainOptions(method="class-map")),
    ):
        explain(source, runs, tmp_path / "here" / name, replace(options, **ONE))
        explain(source, runs, tmp_path / "there" / name, replace(options, **elsewhere()))
    here = files_in(tmp_path / "here")
    assert here == files_in(tmp_path / "there") and {"dataset/measures.csv", "one/maps.json"} <= set(here)


def test_heatmaps_of_workers_are_the_same_files(elsewhere, dataset, exams, tmp_path):
    run = write_run(tmp_path / "run", dataset.preparation)
    for name, source, split in (("dataset", dataset, "val"), ("one", exams / "PH0001", "")):
        options = LesionMapOptions(split=split, sweep=HeatmapOptions(stride_px=16))
        heatmap(source, run, tmp_path / "here" / name, replace(options, **ONE))
        heatmap(source, run, tmp_path / "there" / name, replace(options, **elsewhere()))
        here, there = (without_seconds(files_in(tmp_path / who / name)) for who in ("here", "there"))
        assert here == there and len(here[0]) > 5


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each; the second may be gone."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # names of sockets must be short
    Path(folder, "ray").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.second = made.add_node(num_cpus=1)
        yield made
        ray.shutdown()
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_node_that_dies_half_way_costs_a_retry(cluster, dataset, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "CHUNK", 1)
    options, told = PredictOptions(batch_size=2), []

    @contextmanager
    def counting(total, what):
        def advance(steps, note):
            told.append(steps)
            if len(told) == 5:
                cluster.remove_node(cluster.second, allow_graceful=False)

        yield advance

    predict(dataset, runs, tmp_path / "here", replace(options, **ONE))
    monkeypatch.setattr(scored, "counting", counting)
    on_ray = replace(options, device="cpu", threads=1, engine=Engine("ray", cluster.address))
    predict(dataset, runs, tmp_path / "there", on_ray)
    assert sum(told) == len(dataset.table) and len(told) == 16
    assert files_in(tmp_path / "here") == files_in(tmp_path / "there")


@pytest.mark.slow
def test_maps_and_heatmaps_of_a_cluster_are_the_same_files(cluster, dataset, runs, tmp_path):
    on_ray = {"device": "cpu", "threads": 1, "workers": 1, "engine": Engine("ray", cluster.address)}
    for name, own in (("here", ONE), ("there", on_ray)):
        explain(dataset, runs, tmp_path / name / "maps", ExplainOptions(split="val", **own))
    assert files_in(tmp_path / "here") == files_in(tmp_path / "there")
    run = write_run(tmp_path / "run", dataset.preparation)
    sweep = HeatmapOptions(stride_px=16)
    for name, own in (("here", ONE), ("there", on_ray)):
        heatmap(dataset, run, tmp_path / name / "heat", LesionMapOptions(split="val", sweep=sweep, **own))
    here, there = (without_seconds(files_in(tmp_path / name / "heat")) for name in ("here", "there"))
    assert here == there


def test_a_run_travels_without_its_weights_and_marks(runs):
    run = load_run(runs / "CC_R")
    travelling = sent(run, "cpu")
    assert len(pickle.dumps(travelling)) < 20_000
    there = arrived(pickle.loads(pickle.dumps(travelling)))
    assert replace(there, network=run.network) == replace(run, info={})
    image = torch.rand(1, 1, *run.recipe.input.size)
    assert torch.equal(run.network(image), there.network(image))
    assert arrived(travelling).network is there.network  # read once


def test_other_weights_on_a_worker_are_refused(runs, tmp_path):
    shutil.copytree(runs / "CC_R", tmp_path / "CC_R")
    travelling = sent(load_run(tmp_path / "CC_R"), "cpu")
    shutil.rmtree(tmp_path / "CC_R")
    shutil.copytree(runs / "CC_L", tmp_path / "CC_R")
    found, _ = (tmp_path / "CC_R" / CHECKSUM).read_text().split()
    with pytest.raises(RunError, match=f"CC_R: other weights there than when the work began .SHA-256 {found[:12]}"):
        arrived(travelling)
