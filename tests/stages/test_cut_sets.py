"""Sets of tiles and patches through train, predict, sweep, explain, heatmap and join: what is new, what is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from ensemble_mammo.errors import DatasetError, RunError
from ensemble_mammo.learning.networks import create_network
from ensemble_mammo.lesions.heatmap import LesionMapOptions, heatmap
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.manifest import read_dataset, write_table
from ensemble_mammo.records.png16 import write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe
from ensemble_mammo.records.tile import TILE_COLUMNS, TileRow
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.train import TrainOptions, train
from ensemble_mammo.workflows.join import join
from ensemble_mammo.workflows.sweep import SweepOptions
from ensemble_mammo.workflows.sweep.run import require_judgeable
from tests.learning.tiny import tiny_recipe
from tests.lesions.test_heatmap import write_run

CPU = TrainOptions(device="cpu")


def write_tiles(root, size=32, centre="100", cut="tiles", subjects="s"):
    """Tiles of six women, the abnormal ones brighter; a plain dataset with cut="" has the same ids and sources."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        abnormal = number // 2 % 2
        file = f"images/{number:02d}.png"
        write_png16(root / file, (rng.random((size, size)) * (25_000 + 25_000 * abnormal)).astype(np.uint16))
        row = TileRow(
            f"t{number}", f"{subjects}{number // 2}", f"t{number}", "CC_R", file, "train" if number < 8 else "val",
            source_sha256=f"sha{number}", pixel_spacing_mm="0.1", crop_height="640", method="crop",
            centre_row=centre, centre_column="50", cover_px="48", size_px=str(size), turned="0",
        )  # fmt: skip
        rows.append(dataclasses.asdict(row) | {"abnormality": "abnormal" if abnormal else "normal"})
    table = pd.DataFrame(rows)
    if cut == "patches":
        table = table.assign(overlap="0.9", patch=["background", "benign-mass"] * 6)
        table = table.drop(columns=["abnormality", "method", "cover_px", "turned"])
    preparation = {"preparation": to_mapping(Preparation(height=size, width=size if cut == "tiles" else 0))}
    if not cut:
        table = table.drop(columns=list(TILE_COLUMNS[TILE_COLUMNS.index("mammogram") :]))
    write_table(root, table, preparation | ({cut: {"size_px": size}} if cut else {}))
    return read_dataset(root)


def recipe_of(cut="tiles", **fields):
    return dataclasses.replace(tiny_recipe("test_resnet", epochs=1), task="abnormality", pooled=True, cut=cut, **fields)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same women as tiles, as patches and as mammograms."""
    root = tmp_path_factory.mktemp("sets")
    return {name or "films": write_tiles(root / (name or "films"), cut=name) for name in ("tiles", "patches", "")}


@pytest.fixture(scope="module")
def runs(sets, tmp_path_factory):
    """A network of tiles and one of mammograms, and one of tiles that has weights of another source."""
    out = tmp_path_factory.mktemp("runs")
    train(sets["tiles"], None, recipe_of(), out / "tiles", CPU)
    train(sets["films"], None, recipe_of(""), out / "films", CPU)
    network = NetworkRecipe("test_resnet", "file", str(out / "start.safetensors"))
    with torch.random.fork_rng():
        start = create_network(dataclasses.replace(network, pretrained="none", weights_file=""), 2)
    save_file(start.state_dict(), out / "start.safetensors")
    train(
        sets["tiles"], None, recipe_of(network=network, input=InputRecipe(48, 48, mean=0.5, std=0.5)), out / "any", CPU
    )
    return out


def test_tiles_cut_anew_are_not_taken_for_those_that_a_run_learned_from(tmp_path):
    first = write_tiles(tmp_path / "tiles")
    train(first, None, recipe_of(), tmp_path / "runs", CPU)
    again = write_tiles(tmp_path / "tiles", centre="104")
    assert again.fingerprint() != first.fingerprint()
    with pytest.raises(RunError, match="other images, labels or splits"):
        train(again, None, recipe_of(), tmp_path / "runs", CPU)
    assert write_tiles(tmp_path / "tiles").fingerprint() == first.fingerprint()
    assert train(first, None, recipe_of(), tmp_path / "runs", CPU).info["epochs"] == 1


@pytest.mark.parametrize(
    ("cut", "column"),
    [("tiles", name) for name in ("method", "centre_row", "centre_column", "cover_px", "size_px", "turned")]
    + [("patches", name) for name in ("centre_row", "centre_column", "size_px", "overlap")],
)
def test_every_column_of_a_place_is_in_the_fingerprint(sets, cut, column):
    one = sets[cut]
    moved = dataclasses.replace(one, table=one.table.assign(**{column: "7"}))
    assert moved.fingerprint() != one.fingerprint()


def test_the_fingerprint_of_mammograms_takes_no_column_of_their_own(sets):
    one = sets["films"]
    assert dataclasses.replace(one, table=one.table.assign(method="x", overlap="y")).fingerprint() == one.fingerprint()


@pytest.mark.parametrize(
    ("data", "models", "text"),
    [
        (
            "films",
            "tiles",
            "holds mammograms, and the networks look at tiles; `{}` wants a set that `ensemble-mammo tiles",
        ),
        ("patches", "tiles", "holds patches, and the networks look at tiles; `{}` wants a set"),
        ("tiles", "films", "a set of tiles, and the networks look at whole mammograms; give the dataset of mammograms"),
        ("patches", "films", "a set of patches, and the networks look at whole mammograms"),
    ],
)
def test_networks_refuse_what_they_do_not_look_at(sets, runs, tmp_path, data, models, text):
    with pytest.raises(DatasetError, match=text.format("predict")):
        predict(sets[data], runs / models, tmp_path / "out")
    with pytest.raises(DatasetError, match=text.format("explain")):
        explain(sets[data], runs / models, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_of_tiles_refuse_a_folder_of_mammograms(sets, runs, tmp_path):
    match = (
        "the networks look at tiles, not at whole mammograms; prepare the folder, cut it with `ensemble-mammo tiles`"
    )
    for stage in (predict, explain):
        with pytest.raises(DatasetError, match=match):
            stage(sets["films"].root, runs / "tiles", tmp_path / "out")


@pytest.mark.parametrize("cut", ["tiles", "patches"])
def test_a_heatmap_looks_at_no_cut_set_and_with_no_network_of_tiles(sets, runs, tmp_path, cut):
    run = write_run(tmp_path / "patch", sets[cut].preparation)
    options = LesionMapOptions(device="cpu")
    with pytest.raises(DatasetError, match=f"a set of {cut}, and the networks look at whole mammograms; give the"):
        heatmap(sets[cut], run, tmp_path / "out", options)
    with pytest.raises(RunError, match="trained for the task 'abnormality', and a heatmap takes a patch classifier"):
        heatmap(sets["films"], runs / "tiles", tmp_path / "out", options)


def test_an_explained_tile_has_no_ruler_and_a_mammogram_has_one(sets, runs, tmp_path):
    for name, known in (("tiles", False), ("films", True)):
        out = tmp_path / name
        explain(sets[name], runs / name, out, ExplainOptions(split="val", device="cpu", html=True))
        page = next(path for path in out.rglob("reader.html")).read_text()
        assert ('"mm": null' in page or '"mm":null' in page) is not known


def test_tiles_of_another_size_are_to_be_cut_again(sets, runs, tmp_path):
    larger = write_tiles(tmp_path / "larger", 40)
    match = r"\(height 40, in training 32; width 40, in training 32\); cut it with `ensemble-mammo tiles --size 32`$"
    with pytest.raises(DatasetError, match=match):
        predict(larger, runs / "tiles", options=PredictOptions(device="cpu"))
    both = dataclasses.replace(larger, preparation=dataclasses.replace(larger.preparation, trim=0.05))
    with pytest.raises(DatasetError, match="prepare it again with the options of the training data"):
        predict(both, runs / "tiles", options=PredictOptions(device="cpu"))


def test_a_network_whose_input_resizes_is_judged_on_tiles_of_any_size(runs, sets, tmp_path):
    larger = write_tiles(tmp_path / "larger", 40, subjects="other")
    scores = predict(larger, runs / "any", options=PredictOptions(device="cpu"))
    assert len(next(iter(scores.views.values())).scores) == 12
    assert len(explain(larger, runs / "any", tmp_path / "maps", ExplainOptions(split="val", device="cpu"))) == 4
    asked = SweepOptions((), on=(("other", larger),), on_split="")
    require_judgeable(sets["tiles"], scores.task, asked, any_size=True)
    with pytest.raises(DatasetError, match="cut it with `ensemble-mammo tiles --size 32`"):
        require_judgeable(sets["tiles"], scores.task, asked)
    films = SweepOptions((), on=(("films", sets["films"]),), on_split="")
    with pytest.raises(DatasetError, match="holds mammograms, and networks that learn from tiles are judged on tiles"):
        require_judgeable(sets["tiles"], scores.task, films, any_size=True)


@pytest.mark.parametrize("cut", ["tiles", "patches"])
def test_cut_sets_are_not_joined(sets, tmp_path, cut):
    plan = tmp_path / "plan.csv"
    plan.write_text(f"collection,dataset\na,{sets['films'].root}\nb,{sets[cut].root}\n")
    with pytest.raises(DatasetError, match=rf"plan\.csv: b holds {cut}; datasets of mammograms are joined: join those"):
        join(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()
