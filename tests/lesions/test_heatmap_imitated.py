import shutil
from dataclasses import replace

import numpy as np
import pytest

from ensemble_mammo.errors import RunError
from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.learning.heatmap import HeatmapOptions, deviation, heatmap_of
from ensemble_mammo.lesions.heatmap import LesionMapOptions, heatmap
from ensemble_mammo.records.png16 import read_png16
from tests.learning.imitated import mammograms, patch_run

DENSE = LesionMapOptions(split="val", sweep=HeatmapOptions(mode="dense", stride_px=32), device="cpu")
EXACT = replace(DENSE, sweep=replace(DENSE.sweep, mode="exact"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return mammograms(tmp_path_factory.mktemp("data"))


@pytest.fixture
def runs(tmp_path):
    """A patch run and one that imitates it, whose weights are others."""
    patches = patch_run(tmp_path / "patches" / "ANY")
    return patches, patch_run(tmp_path / "quick" / "ANY", imitates=patches)


def maps_of(document, out):
    return [np.load(out / entry["raw"]) for entry in document["images"]]


def test_dense_maps_are_of_its_own_weights_and_exact_ones_of_the_run_imitated(dataset, runs, tmp_path):
    patches, quick = runs
    found = {}
    for name, models, options in (
        ("own", quick, DENSE),
        ("of the run imitated", patches, DENSE),
        ("exact", quick, EXACT),
        ("exact of the run imitated", patches, EXACT),
    ):
        done = heatmap(dataset, models, tmp_path / name, options)
        found[name] = maps_of(done.document, tmp_path / name)
        notes = [note for note in done.document["notes"] if "imitates" in note]
        said = f"{quick} imitates {patches} in single passes"
        wanted = {"own": [said], "exact": [f"{said}; the maps are of the run imitated"]}
        assert notes == wanted.get(name, [])
    for own, other in zip(found["own"], found["of the run imitated"], strict=True):
        assert np.abs(own - other).max() > 1e-3
    for own, other in zip(found["exact"], found["exact of the run imitated"], strict=True):
        np.testing.assert_array_equal(own, other)


def test_it_is_compared_with_the_exact_maps_of_the_run_imitated(dataset, runs, tmp_path):
    patches, quick = runs
    done = heatmap(dataset, quick, tmp_path / "out", replace(DENSE, compare=1))
    assert (
        f"{quick} imitates {patches} in single passes; the exact maps compared with are of the run imitated"
        in (done.document["notes"])
    )
    (entry,) = [entry for entry in done.images if "deviation" in entry]
    pixels = read_png16(dataset.root / dataset.table.set_index("image_id").loc[entry["image_id"], "file"])
    dense = heatmap_of([load_run(quick)], pixels, pixels > 0, DENSE.sweep)
    exact = heatmap_of([load_run(patches)], pixels, pixels > 0, EXACT.sweep)
    assert entry["deviation"]["correlation"] == pytest.approx(deviation(dense, exact).correlation, abs=1e-6)


@pytest.mark.parametrize("options", [EXACT, replace(DENSE, compare=1)])
def test_exact_maps_need_the_run_imitated_as_it_was(options, dataset, runs, tmp_path):
    patches, quick = runs
    shutil.rmtree(patches)
    with pytest.raises(
        RunError, match=r"exact maps are those of the run it imitates, .*no such run folder.*mode dense"
    ):
        heatmap(dataset, quick, tmp_path / "out", options)
    patch_run(patches, mean=0.3)
    with pytest.raises(RunError, match="was trained anew since; put it there again, or take mode dense"):
        heatmap(dataset, quick, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_dense_maps_do_not_need_the_run_imitated(dataset, runs, tmp_path):
    patches, quick = runs
    shutil.rmtree(patches)
    assert len(heatmap(dataset, quick, tmp_path / "out", DENSE).images) == 3
