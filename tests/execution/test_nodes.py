"""A Ray cluster of two nodes, one of which dies: every verb gives the files that one machine gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.execution.engine import LOCAL, Engine, running, spread
from ensemble_mammo.lesions.patches import PatchOptions, patches
from ensemble_mammo.lesions.tiles import TileOptions, tiles
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.stages.audit import AuditOptions, audit
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from tests.conftest import without_workers
from tests.execution.ray_nodes import doomed_node, head_node, tried
from tests.lesions.made import HEIGHT, MadeLesion, write_made

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with head_node() as cluster, running(Engine("ray", cluster.address)):
        yield cluster


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def options_of(exams: Path, engine: Engine) -> PrepareOptions:
    archive = ArchiveOptions(labels=exams / "labels.csv", keep_ids=True, engine=engine)
    return PrepareOptions(archive, Preparation(height=96), division=Division((0.5, 0.25, 0.25)), engine=engine)


@pytest.fixture(scope="module")
def prepared(exams: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What this machine makes of the phantom exams, one of which cannot be read."""
    spoilt = exams / "PH0003" / "CC_L.dcm"
    whole = spoilt.read_bytes()
    spoilt.write_bytes(whole[: len(whole) // 2])
    out = tmp_path_factory.mktemp("local") / "dataset"
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        prepare("dicom", exams, out, options_of(exams, LOCAL))
    yield files(out)
    spoilt.write_bytes(whole)


def test_the_other_verbs_give_the_same_files(cluster, exams, tmp_path, monkeypatch):
    engine = Engine("ray", cluster.address)
    lesions = {f"image{n}": [MadeLesion((60 + n, 30), 9, "mass", "malignant")] for n in range(5)}
    source = write_made(tmp_path / "source", lesions)
    verbs: dict[str, Callable[[Path, Engine], Any]] = {
        "patches": lambda out, engine: patches(source, out, PatchOptions("S", 32, HEIGHT, engine=engine)),
        "tiles": lambda out, engine: tiles(source, out, TileOptions(size_px=32, normal_share=0, engine=engine)),
        "audit": lambda out, engine: audit(exams, out, AuditOptions(engine=engine)),
    }
    for name, verb in verbs.items():
        verb(tmp_path / "ray" / name, engine)
        with monkeypatch.context() as patch:
            without_workers(patch)
            verb(tmp_path / "local" / name, LOCAL)
    assert files(tmp_path / "ray") == files(tmp_path / "local")
    assert {path.parts[0] for path in map(Path, files(tmp_path / "ray"))} == set(verbs)


def test_an_interrupted_prepare_is_gone_on_with(cluster, exams, prepared, tmp_path, monkeypatch):
    options = options_of(exams, Engine("ray", cluster.address))
    out = tmp_path / "dataset"

    def stopping(outcomes, total, what):
        for number, outcome in enumerate(outcomes):
            if number == 12:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("ensemble_mammo.stages.prepare.run.track", stopping)
        prepare("dicom", exams, out, options)
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert 11 <= len(made) < 31 and not (out / "manifest.csv").exists()
    without_workers(monkeypatch)
    prepare("dicom", exams, out, replace(options, engine=LOCAL))
    kept = sum(path.stat().st_mtime_ns == then for path, then in made.items())
    assert files(out) == prepared and kept >= 11


def test_a_node_that_dies_costs_at_most_a_second_try_of_what_it_was_at(cluster, tmp_path):
    with doomed_node(cluster, lambda: len(list(tmp_path.iterdir())) >= 8):
        work = partial(tried, folder=tmp_path)
        outcomes = list(spread(work, range(20), engine=Engine("ray", cluster.address)))
    assert [(o.item, o.value, o.error) for o in outcomes] == [(n, n, "") for n in range(20)]
    tries = [path.name.partition(".")[0] for path in tmp_path.iterdir()]
    assert set(tries) == {str(n) for n in range(20)} and 20 <= len(tries) <= 22


def test_a_node_that_dies_takes_no_image_along(cluster, exams, prepared, tmp_path):
    out, missing = tmp_path / "dataset", []

    def begun() -> bool:
        missing.append(31 - len(list(out.glob("images/*/*.png"))))
        return missing[-1] < 31

    with doomed_node(cluster, begun):
        prepare("dicom", exams, out, options_of(exams, Engine("ray", cluster.address)))
    assert 0 < missing[-1] < 31
    assert files(out) == prepared
    assert len(read_dataset(out).table) == 31 and b"PH0003/CC_L.dcm" in prepared["dataset.json"]
