import json
import os

import numpy as np
import pytest

from ensemble_mammo.errors import DatasetError, OutputError
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import ImageRow, read_dataset, read_description, write_dataset
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.workflows.join import JoinOptions, join

HEAD = "collection,task,class,to_task,to_class\n"


def part(root, labels, preparation=None, lesions=True, **columns):
    """A dataset of one CC_R image a label; splits go round; the first image has a lesion."""
    rows = []
    for number, split in zip(range(len(next(iter(labels.values())))), ("train", "val", "test") * 9, strict=False):
        file = f"images/CC_R/i{number}.png"
        write_png16(root / file, np.full((4, 4), number, np.uint16))
        own = {name: values[number] for name, values in columns.items()}
        rows.append(
            ImageRow(
                f"i{number}",
                f"S{number}",
                "1",
                "CC_R",
                file,
                split,
                str(number % 2),
                **({"source_sha256": f"{root.name}{number}"} | own),
            )
        )
    if lesions:
        write_mask(root / "masks/CC_R/i0_1.png", np.full((4, 4), 255, np.uint8))
        write_lesions(root, [LesionRow("i0_1", "i0", "S0", "CC_R", "1", "mass", mask="masks/CC_R/i0_1.png")])
    write_dataset(root, rows, labels, {"preparation": preparation or {"height": 64}})
    return root


@pytest.fixture
def plan(tmp_path):
    part(tmp_path / "mias", {"tissue": list("FGD"), "pathology": ["benign", "", "malignant"]})
    part(tmp_path / "own", {"density": list("ABCD")}, lesions=False)
    (tmp_path / "plan.csv").write_text("collection,dataset\nmias,mias\nours,own\n")
    return tmp_path / "plan.csv"


def write_map(plan, text):
    path = plan.with_name("map.csv")
    path.write_text(HEAD + text)
    return path


def test_ids_get_the_collections_name_and_all_columns_are_there(plan, tmp_path):
    dataset = join(plan, tmp_path / "out")
    table = dataset.table
    assert list(table["image_id"]) == ["mias-i0", "mias-i1", "mias-i2", "ours-i0", "ours-i1", "ours-i2", "ours-i3"]
    assert list(table["subject_id"])[::3] == ["mias-S0", "ours-S0", "ours-S3"]
    assert list(table["collection"]) == ["mias"] * 3 + ["ours"] * 4
    assert list(table["tissue"]) == ["F", "G", "D", "", "", "", ""]
    assert list(table["density"]) == ["", "", "", "A", "B", "C", "D"]
    assert list(table["split"]) == ["train", "val", "test", "train", "val", "test", "train"]
    assert list(table["fold"]) == ["0", "1", "0", "0", "1", "0", "1"]
    lesion = dataset.lesions().iloc[0]
    assert (lesion["lesion_id"], lesion["image_id"], lesion["subject_id"]) == ("mias-i0_1", "mias-i0", "mias-S0")
    assert (dataset.root / lesion["mask"]).is_file()


def test_exactly_these_files_are_written_and_images_are_the_same_inodes(plan, tmp_path):
    out = join(plan, tmp_path / "out").root
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("folders/")} == {
        "manifest.csv", "dataset.json", "lesions.csv", "masks/CC_R/mias-i0_1.png",
        *(f"images/CC_R/mias-i{n}.png" for n in range(3)), *(f"images/CC_R/ours-i{n}.png" for n in range(4)),
    }  # fmt: skip
    assert sum(name.startswith("folders/density/") for name in names) == 4
    assert (out / "images/CC_R/ours-i3.png").samefile(tmp_path / "own/images/CC_R/i3.png")
    assert not list(tmp_path.glob(".*"))


def test_images_are_copied_where_links_cannot_be_made(plan, tmp_path, monkeypatch):
    def refused(*_):
        raise OSError("another device")

    monkeypatch.setattr(os, "link", refused)
    out = join(plan, tmp_path / "out").root
    one, other = out / "images/CC_R/ours-i3.png", tmp_path / "own/images/CC_R/i3.png"
    assert one.read_bytes() == other.read_bytes() and not one.samefile(other)


def test_classes_are_mapped_within_a_task_and_into_another(plan, tmp_path):
    text = "mias,tissue,F,density,A\nmias,tissue,D,density,c\nours,density,A,,B\nours,density,B,,A\nours,density,D,,\n"
    labels = write_map(plan, text)
    table = join(plan, tmp_path / "out", JoinOptions(labels)).table
    assert list(table["density"]) == ["A", "", "C", "B", "A", "C", ""]
    assert list(table["tissue"]) == ["F", "G", "D", "", "", "", ""]
    mapped = read_description(tmp_path / "out")["labels"]
    assert mapped[0] == {
        "line": 2, "collection": "mias", "task": "tissue", "label": "F", "to_task": "density", "to_label": "A",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("other,tissue,F,,G", r"map\.csv line 2: collection 'other' is not one of mias, ours"),
        ("mias,tisue,F,,G", "line 2: task 'tisue' is not one of .*; did you mean 'tissue'"),
        ("mias,tissue,X,,G", "line 2: label 'X' is not one of F, G, D"),
        ("mias,tissue,F,,X", "line 2: label 'X' is not one of F, G, D"),
        ("mias,tissue,F,density,F", r"line 2: label 'F' is not one of A, B, C, D"),
        ("mias,tissue,F,density,", "line 2: to_class is empty, so nothing goes to density"),
        ("mias,density,A,,B", r"line 2: mias has no labels of density \(it has those of tissue, pathology\)"),
        ("mias,tissue,F,,G\nmias,tissue,F,,D", "line 3: tissue F of mias stands in line 2 already"),
        ("mias,tissue,F,pathology,malignant", "line 2: image 'i0' of mias has pathology benign already"),
    ],
)
def test_a_map_that_cannot_be_right_is_refused_with_its_line(plan, tmp_path, row, match):
    with pytest.raises(DatasetError, match=match):
        join(plan, tmp_path / "out", JoinOptions(write_map(plan, row + "\n")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,dataset\na,mias\n", r"plan\.csv line 1: column collection missing"),
        ("collection,dataset\na,mias\n", "names 1 datasets, expected two or more"),
        ("collection,dataset\na,mias\nb,nowhere\n", "line 3: .*nowhere: no such folder"),
        ("collection,dataset\na,mias\nb,\n", "line 3: dataset is empty"),
        ("collection,dataset\na,mias\na,own\n", "line 3: collection 'a' stands in an earlier row"),
        ("collection,dataset\na,mias\nb,mias\n", "line 3: dataset 'mias' stands in line 2 already"),
        ("collection,dataset\na/b,mias\n,own\n", "line 2: collection 'a/b' cannot stand before ids.*; line 3: coll"),
        ("collection,dataset\na,mias\na-b,own\n", "line 3: collection 'a-b' and 'a': ids could clash"),
    ],
)
def test_a_plan_that_cannot_be_right_is_refused_with_its_line(plan, tmp_path, text, match):
    plan.write_text(text)
    with pytest.raises(DatasetError, match=match):
        join(plan, tmp_path / "out")


def test_parts_prepared_differently_are_refused_with_the_fields(plan, tmp_path):
    part(tmp_path / "tall", {"density": ["A"]}, {"height": 96, "trim": 0.1})
    plan.write_text("collection,dataset\nmias,mias\nours,own\ntall,tall\n")
    with pytest.raises(DatasetError, match=r"prepared differently \(tall: height 96, in mias 64\)"):
        join(plan, tmp_path / "out")


def test_files_read_in_other_ways_are_joined_with_a_note(plan, tmp_path, caplog):
    part(tmp_path / "film", {"density": ["B", "C"]}, {"height": 64, "trim": 0.1, "source_aspect": 0.6})
    text = plan.read_text(encoding="utf-8")
    plan.write_text(f"{text.rstrip()}\nfilm,film\n", encoding="utf-8")
    joined = join(plan, tmp_path / "joined")
    assert joined.preparation.trim == 0
    assert "film: source_aspect 0.6, film: trim 0.1" in caplog.text


def test_splits_and_folds_are_dealt_anew_only_where_asked_for_each_collection_in_its_share(plan, tmp_path):
    part(tmp_path / "a", {"density": list("AABB") * 5})
    part(tmp_path / "b", {"density": list("CCDD") * 5})
    plan.write_text("collection,dataset\na,a\nb,b\n")
    before = join(plan, tmp_path / "out").table
    dealt = join(plan, tmp_path / "anew", JoinOptions(division=Division((0.5, 0.25, 0.25), 0, 3))).table
    assert list(dealt["fold"]) == list(before["fold"]) and list(dealt["split"]) != list(before["split"])
    counts = dealt.groupby(["collection", "split"]).size()
    assert set(counts["a"]) == set(counts["b"]) == {5, 10} and counts["a", "train"] == 10
    folded = join(plan, tmp_path / "folds", JoinOptions(division=Division(None, 5))).table
    assert list(folded["split"]) == list(before["split"]) and set(folded["fold"]) == set("01234")
    with pytest.raises(DatasetError, match=r"none of its datasets has labels of tissue \(found density\)"):
        join(plan, tmp_path / "other", JoinOptions(task="tissue", division=Division(None, 5)))


def test_one_source_in_two_collections_is_said(plan, tmp_path, caplog):
    part(tmp_path / "again", {"density": list("ABC")}, source_sha256=["mias1", "x", "mias0"])
    plan.write_text("collection,dataset\nmias,mias\nagain,again\n")
    dataset = join(plan, tmp_path / "out")
    note = read_description(dataset.root)["notes"][0]
    assert note.startswith("2 source files stand in several collections, such as mias-i0 and again-i2, as different")
    assert "2 of them in different splits" in note and note in caplog.text


def test_what_was_joined_is_written_down(plan, tmp_path):
    dataset = join(plan, tmp_path / "out", JoinOptions(division=Division(None, 0, 7)))
    said = json.loads((dataset.root / "dataset.json").read_text())
    assert said["kind"] == "join" and said["archive"] == str(plan) and said["split"] == "as in the parts"
    assert said["parts"][0] == {
        "collection": "mias", "dataset": str(tmp_path / "mias"), "images": 3,
        "fingerprint": read_dataset(tmp_path / "mias").fingerprint(),
    }  # fmt: skip
    assert said["counts"]["images"] == 7 and said["counts"]["collections"] == {"mias": 3, "ours": 4}
    assert said["counts"]["lesions"] == 1 and said["preparation"]["height"] == 64


def test_a_joined_dataset_can_be_joined_again(plan, tmp_path):
    join(plan, tmp_path / "both")
    part(tmp_path / "third", {"density": ["A"]})
    (tmp_path / "more.csv").write_text("collection,dataset\nold,both\nnew,third\n")
    table = join(tmp_path / "more.csv", tmp_path / "all").table
    assert set(table["collection"]) == {"old-mias", "old-ours", "new"}
    assert table["image_id"].iloc[0] == "old-mias-i0"


def test_nothing_that_is_there_is_written_over_unless_told(plan, tmp_path):
    out = tmp_path / "out"
    join(plan, out)
    (out / "runs").mkdir()
    with pytest.raises(OutputError, match="holds a dataset already"):
        join(plan, out)
    plan.write_text("collection,dataset\nx,mias\ny,own\n")
    assert set(join(plan, out, JoinOptions(restart=True)).table["collection"]) == {"x", "y"}
    assert (out / "runs").is_dir() and not list((out / "images").rglob("mias-*"))
    (tmp_path / "pictures" / "images").mkdir(parents=True)
    with pytest.raises(OutputError, match="holds images, but no dataset"):
        join(plan, tmp_path / "pictures", JoinOptions(restart=True))
    with pytest.raises(OutputError, match="lie in one another"):
        join(plan, tmp_path / "own" / "out")
    with pytest.raises(OutputError, match="lie in one another"):
        join(plan, tmp_path, JoinOptions(restart=True))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, expected a folder"):
        join(plan, tmp_path / "file")


def test_a_missing_image_leaves_nothing_behind(plan, tmp_path):
    (tmp_path / "own/images/CC_R/i3.png").unlink()
    with pytest.raises(DatasetError, match=r"i3\.png: missing; prepare that dataset again"):
        join(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_the_command_line_joins_and_refuses_options_on_pixels(plan, tmp_path):
    from typer.testing import CliRunner

    from ensemble_mammo.cli import app

    labels = write_map(plan, "mias,tissue,F,density,A\n")
    words = ["prepare", "join", str(plan), "--out", str(tmp_path / "out"), "--labels", str(labels)]
    refused = CliRunner().invoke(app, [*words, "--height", "64"])
    assert refused.exit_code == 2 and "joined images are prepared already" in " ".join(refused.output.split())
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["counts"]["images"] == 7
