import hashlib

import pytest

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.columns import columns_of
from ensemble_mammo.merit.inputs.sources import predictions_of, read_sources, sources_of, systems_of, truth_from_files
from ensemble_mammo.records.task import TASKS


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("0.7 0.1 0.1 0.1\n")
    return [folder / name for name in names]


def test_names_say_levels_and_arguments_can(tmp_path):
    put(tmp_path, "predictions_mlor.txt", "CC_L.csv", "odd.txt", "right.csv")
    given = [
        tmp_path / "predictions_mlor.txt",
        tmp_path / "CC_L.csv",
        f"cc_r={tmp_path / 'odd.txt'}",
        tmp_path / "right.csv",
    ]
    assert [source.level for source in sources_of(given)] == ["MLO_R", "CC_L", "CC_R", "right"]


def test_a_folder_gives_its_views_and_csv_before_text(tmp_path):
    put(tmp_path, "predictions_ccr.txt", "CC_R.csv", "predictions_mlol.txt", "right.csv", "subject.csv")
    assert [source.path.name for source in sources_of([tmp_path])] == ["CC_R.csv", "predictions_mlol.txt"]


def test_a_source_knows_its_sum_and_rows(tmp_path):
    (path,) = put(tmp_path, "predictions_ccr.txt")
    (source,) = sources_of([path])
    assert source.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    (table,) = source.read(TASKS["density"]).predictions
    assert len(table) == 1


def test_arguments_that_name_nothing_are_refused(tmp_path):
    put(tmp_path, "odd.txt", "CC_R.csv")
    for given, message in [
        ([], "no prediction file given"),
        ([tmp_path / "odd.txt"], "the name says no level"),
        ([f"CCR={tmp_path / 'odd.txt'}"], "level 'CCR' is not one of CC_R"),
        ([f"CC_R={tmp_path / 'none.txt'}"], "none.txt: no such file"),
        ([tmp_path / "MLO_R.csv"], "MLO_R.csv: no such file"),
        ([tmp_path / "CC_R.csv", f"CC_R={tmp_path / 'odd.txt'}"], "level CC_R is given already by"),
    ]:
        with pytest.raises(PredictionError, match=message):
            sources_of(given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match="holds no predictions of a view"):
        sources_of([tmp_path / "empty"])


NYU_IMAGES = "image_index,malignant_pred,malignant_label\n0_L-CC,0.1,0\n0_R-CC,0.8,1\n"
NYU_BREASTS = "index,left_malignant,right_malignant\n0,0.2,0.7\n"


def systems(given):
    return {name: [(s.level, s.path.name) for s in sources] for name, sources in systems_of(given).items()}


def test_several_systems_are_named_and_a_level_is_always_a_level(tmp_path):
    put(tmp_path, "a/CC_R.csv", "a/MLO_R.csv", "predictions_ccr.txt", "MLO_R.csv", "odd.txt", "net.csv")
    found = systems(
        [
            f"A={tmp_path / 'a'}",
            f"B={tmp_path / 'predictions_ccr.txt'}",
            f"B={tmp_path / 'MLO_R.csv'}",
            f"C=mlo_l={tmp_path / 'odd.txt'}",
            f"C={tmp_path / 'net.csv'}",
        ]
    )
    assert found == {
        "A": [("CC_R", "CC_R.csv"), ("MLO_R", "MLO_R.csv")],
        "B": [("CC_R", "predictions_ccr.txt"), ("MLO_R", "MLO_R.csv")],
        "C": [("MLO_L", "odd.txt"), ("", "net.csv")],
    }
    assert systems([f"RIGHT={tmp_path / 'odd.txt'}", tmp_path / "MLO_R.csv"]) == {
        "": [("right", "odd.txt"), ("MLO_R", "MLO_R.csv")]
    }


def test_a_path_with_an_equals_sign_that_exists_is_a_path(tmp_path):
    put(tmp_path, "k=5/CC_R.csv")
    assert systems([tmp_path / "k=5"]) == {"": [("CC_R", "CC_R.csv")]}
    assert systems([f"A={tmp_path / 'k=5'}"]) == {"A": [("CC_R", "CC_R.csv")]}


def test_misspelt_levels_and_mixed_systems_are_refused_with_the_nearest_name(tmp_path):
    put(tmp_path, "x.txt", "CC_R.csv", "MLO_R.csv")
    x, cc, mlo = (tmp_path / name for name in ("x.txt", "CC_R.csv", "MLO_R.csv"))
    for given, message in [
        ([f"CCR={x}"], r"level 'CCR' is not one of CC_R.*; did you mean CC_R=…\?"),
        ([f"r={x}"], r"level 'r' is not one of .*; did you mean right=…\?"),
        ([f"rigth={x}"], r"the name says no level .* as rigth=LEVEL=.*; did you mean right=…\?"),
        ([f"subjct={cc}", mlo], r"name all systems \(A=… B=…\) or none; did you mean subject=…\?"),
        ([f"A={cc}", mlo], "MLO_R.csv has no system's name, A=… has"),
        ([f"A=CCL={x}"], r"level 'CCL' is not one of .*; did you mean CC_L=…\?"),
        ([f"A={cc}", f"A=CC_R={x}"], "level CC_R of A is given already by"),
        ([f"A={tmp_path / 'none.txt'}"], "none.txt: no such file"),
        ([f"={x}"], "level '' is not one of"),
    ]:
        with pytest.raises(PredictionError, match=message):
            systems_of(given)
    with pytest.raises(PredictionError, match="A=…: level 'A' is not one of"):
        sources_of([f"A={cc}"])


def text_file(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def levels(reading):
    return [p.level for p in reading.predictions]


def test_the_header_says_what_a_csv_is(tmp_path):
    task = TASKS["pathology"]
    images = text_file(tmp_path / "net.csv", NYU_IMAGES)
    breasts = text_file(tmp_path / "other.csv", NYU_BREASTS)
    third = text_file(tmp_path / "third.csv", "who,side,p\na,L,0.3\n")
    ours = text_file(tmp_path / "CC_R.csv", "subject_id,benign,malignant\na,0.4,0.6\n")
    named = columns_of("subject=who,side=side,score=p")
    read = {path.stem: s.read(task, named) for path in (images, breasts, third, ours) for s in sources_of([path])}
    assert {stem: levels(one) for stem, one in read.items()} == {
        "net": ["CC_R", "CC_L"],
        "other": ["right", "left"],
        "third": ["left"],
        "CC_R": ["CC_R"],
    }
    assert read["net"].labels == {("CC_L", "0", "1"): 0, ("CC_R", "0", "1"): 1}


def test_a_told_level_takes_its_rows_alone(tmp_path):
    images = text_file(tmp_path / "net.csv", NYU_IMAGES)
    (source,) = sources_of([f"CC_L={images}"])
    found = source.read(TASKS["pathology"])
    assert levels(found) == ["CC_L"]
    assert found.notes == ("CC_L: rows of CC_R in its file were passed over, as told",)
    (source,) = sources_of([f"MLO_L={images}"])
    with pytest.raises(PredictionError, match="given as MLO_L, but its rows are of CC_R, CC_L"):
        source.read(TASKS["pathology"])


def test_tables_that_are_of_no_known_kind_are_refused_with_what_was_found(tmp_path):
    task = TASKS["pathology"]
    third = text_file(tmp_path / "third.csv", "who,p\na,0.3\n")
    ours = text_file(tmp_path / "scores.csv", "subject_id,benign,malignant\na,0.4,0.6\n")
    with pytest.raises(PredictionError, match=r"line 1: found who, p; expected subject_id .* with --columns"):
        sources_of([third])[0].read(task)
    with pytest.raises(PredictionError, match="column id missing; found who, p; expected the columns named"):
        sources_of([third])[0].read(task, columns_of("subject=id,score=p"))
    with pytest.raises(PredictionError, match=r"scores.csv: the name says no level .* LEVEL="):
        sources_of([ours])[0].read(task)


def test_a_folder_of_peers_tables_gives_both(tmp_path):
    text_file(tmp_path / "image_level.csv", NYU_IMAGES)
    text_file(tmp_path / "breast_level.csv", NYU_BREASTS)
    found = read_sources(sources_of([tmp_path]), TASKS["pathology"])
    assert [p.level for p in predictions_of(found)] == ["CC_R", "CC_L", "right", "left"]
    again = sources_of([tmp_path, f"right={tmp_path / 'breast_level.csv'}"])
    with pytest.raises(PredictionError, match=r"level right is given already by .*breast_level\.csv"):
        read_sources(again, TASKS["pathology"])


def test_the_files_of_any_system_may_hold_the_true_classes(tmp_path):
    images = text_file(tmp_path / "net.csv", NYU_IMAGES)
    other = text_file(tmp_path / "other.csv", NYU_BREASTS)
    truth = truth_from_files([f"A={images}", f"B={other}"], TASKS["pathology"])
    assert truth.labels["right", "0", "1"] == 1
    assert truth.labels["left", "0", "1"] == 0
    wrong = text_file(tmp_path / "wrong.csv", NYU_IMAGES.replace("0.8,1", "0.8,0"))
    with pytest.raises(PredictionError, match="contradict each other: CC_R of '0' is malignant in one, benign in an"):
        truth_from_files([f"A={images}", f"B={wrong}"], TASKS["pathology"])
