"""The command line as a new user meets it: exit statuses, one clear line, nothing left half-written."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import ensemble_mammo
from ensemble_mammo.cli import app, main
from ensemble_mammo.errors import DatasetError

VERBS = (
    "prepare",
    "audit",
    "patches",
    "tiles",
    "train",
    "predict",
    "fuse",
    "heatmap",
    "report",
    "explain",
    "sweep",
    "plan",
    "reproduce",
    "demo",
)


@pytest.fixture
def call(monkeypatch, capsys, in_process):
    """Call the command line: (exit status, standard output, standard error)."""
    logger = logging.getLogger("ensemble_mammo")
    before = logger.level

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["ensemble-mammo", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    yield called
    logger.setLevel(before)


@pytest.fixture
def fails(call):
    """Call what must fail with status 1 and one line; its text."""

    def called(*words):
        status, out, err = call(*words)
        lines = [line for line in err.splitlines() if line.strip()]
        assert status == 1, (status, out, err)
        assert lines[-1].startswith("error: ") and sum(line.startswith("error: ") for line in lines) == 1
        assert "Traceback" not in err and out == ""
        return lines[-1].removeprefix("error: ")

    return called


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def python(*words, **environment):
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment,
        cwd=Path(__file__).parents[1],
        check=False,
    )


# ---- help, version, completion


def test_the_verbs_are_the_documented_ones():
    assert [command.callback.__name__ for command in app.registered_commands] == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_each_of_its_options(verb):
    result = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    parameters = get_command(app).commands[verb].params
    assert all(parameter.help for parameter in parameters if parameter.name != "help")
    assert all(max(parameter.opts, key=len) in result.output for parameter in parameters if parameter.name == "out")


def test_help_loads_neither_torch_nor_pandas_nor_pydicom():
    code = """
import sys
from typer.testing import CliRunner
from ensemble_mammo.cli import app
for words in ([], *[[verb] for verb in sys.argv[1:]]):
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0, words
heavy = {"torch", "timm", "pandas", "pydicom", "numpy", "scipy", "sklearn", "matplotlib", "PIL"} & set(sys.modules)
assert not heavy, heavy
"""
    result = python("-c", code, *VERBS)
    assert result.returncode == 0, result.stderr


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"ensemble-mammo {ensemble_mammo.__version__}\n")


def test_shell_completion_is_there():
    result = python(
        "-c",
        "from ensemble_mammo.cli import app; app(prog_name='ensemble-mammo')",
        _ENSEMBLE_MAMMO_COMPLETE="complete_bash",
        COMP_WORDS="ensemble-mammo pre",
        COMP_CWORD="1",
    )
    assert result.stdout.split() == ["prepare", "predict"], result.stderr
    result = CliRunner().invoke(app, ["--help"])
    assert "--install-completion" in result.output


def test_a_call_without_a_verb_shows_the_help_and_is_a_usage_error():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2 and "prepare" in result.output


# ---- exit statuses and the one line


def test_a_real_process_ends_with_status_1_and_one_line(tmp_path):
    code = "from ensemble_mammo.cli import main; main()"
    result = python("-c", code, "prepare", "dicom", str(tmp_path / "nowhere"))
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(f"error: {tmp_path}/nowhere: no such folder") and result.stderr.count("\n") == 1


def test_words_in_brackets_survive_and_several_lines_become_one(monkeypatch, fails):
    def broken(*_):
        raise DatasetError("recipe.toml: [train] has no [bold]epochs[/bold]\n  give [red]")

    monkeypatch.setattr("ensemble_mammo.records.recipe_files.load_recipe", broken)
    assert fails("train") == "recipe.toml: [train] has no [bold]epochs[/bold] give [red]"


def test_words_in_brackets_survive_in_tables(capsys):
    from ensemble_mammo.console.terminal import print_notes, print_table

    print_table("the [train] table", ["[view]"], [["[CC_R]"]])
    print_notes(["see [train]"])
    out = " ".join(capsys.readouterr().out.split())
    assert all(word in out for word in ("the [train] table", "[view]", "[CC_R]", "note: see [train]"))


def test_an_interrupted_call_ends_with_status_130_and_says_how_to_go_on(monkeypatch, call):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ensemble_mammo.records.recipe_files.load_recipe", interrupted)
    status, _, err = call("train")
    assert status == 130 and err.splitlines()[-1] == "interrupted; the same command goes on from here"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "--view", "CCR"], "--view CCR: expected one of CC_R, CC_L, MLO_R, MLO_L or all"),
        (["trian"], "No such command 'trian'"),
        (["train", "--epochs", "3"], "No such option: --epochs"),
        (["prepare", "dicom"], "Missing argument 'path'"),
        (["prepare", "dicom", "x", "--split", "80:20:10:5"], "--split 80:20:10:5: expected train:val:test"),
        (["prepare", "dicom", "x", "--split", "80:20:10"], "that add up to 100"),
        (["audit", "x", "--fix"], "--fix writes a corrected manifest: give it a folder with --out"),
        (["prepare", "dicom", "x", "--split=-8:-1:-1"], "expected train:val:test"),
        (["prepare", "dicom", "x", "--split", "nan:1:1"], "expected train:val:test"),
        (["prepare", "dicom", "x", "--pectoral", "cut"], "pectoral is 'cut', expected one of keep, black"),
        (["prepare", "dicom", "x", "--height", "3"], "height is 3, expected 0, or 32 to 16384 pixels"),
        (["prepare", "dicom", "x", "--max-pixels", "0"], "pixels is 0, expected a number above 0"),
        (["prepare", "dicom", "x", "--task", "densty"], "did you mean 'density'?"),
        (["prepare", "dicom", "x", "--folds", "1"], "folds is 1, expected 0 or at least 2"),
        (["predict", "--subject-dir", "a", "--data", "b"], "give one of --subject-dir, --subjects and --data"),
        (["predict", "--weight", "CC_R"], "expected a view and a number, such as CC_R=2"),
        (["explain", "--method", "gradcam"], "method 'gradcam' is not one of grad-cam"),
        (["audit"], "Missing argument 'path'"),
        (["audit", "x", "--task", "densty"], "did you mean 'density'?"),
        (
            ["report", "x.csv", "--true-counts", "A=1", "--labels", "y"],
            "give the true classes by one of --true-counts, --labels and --data",
        ),
    ],
)
def test_wrong_usage_ends_with_status_2_and_says_what_was_expected(call, monkeypatch, words, text):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert text.lower() in " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split()).lower(), err


# ---- the wrong inputs of a new user


def test_an_empty_folder(fails, runs, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = tmp_path / "empty"
    assert fails("prepare", "dicom", empty, "--out", tmp_path / "out") == (
        f"{empty}: the folder is empty; expected DICOM files or images"
    )
    assert "none of the view folders CC_R" in fails("prepare", "folders", empty, "--out", tmp_path / "out")
    assert "neither index.csv nor INbreast.csv" in fails("prepare", "inbreast", empty, "--out", tmp_path / "out")
    assert "the folder is empty" in fails("predict", "--subject-dir", empty, "--models", runs)
    assert "the folder is empty" in fails("predict", "--subjects", empty, "--models", runs)
    assert "the folder is empty" in fails(
        "explain", "--subject-dir", empty, "--models", runs, "--out", tmp_path / "out"
    )
    assert "no run in it" in fails("predict", "--subject-dir", empty, "--models", empty)
    assert files(tmp_path) == []


def wrong_file(kind, folder, exams):
    folder.mkdir(parents=True)
    if kind == "text":
        (folder / "R_CC.dcm").write_text("This is a text file that somebody called R_CC.dcm.\n" * 9)
    elif kind == "truncated":
        (folder / "R_CC.dcm").write_bytes((exams / "PH0001" / "CC_R.dcm").read_bytes()[:9000])
    elif kind == "header only":
        (folder / "R_CC.dcm").write_bytes((exams / "PH0001" / "CC_R.dcm").read_bytes()[:200])
    else:
        Image.radial_gradient("L").convert("RGB").quantize(16).convert("RGB").rotate(9, fillcolor=(200, 30, 90)).save(
            folder / "R_CC.jpg"
        )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text", "holds text, expected DICOM, PNG, TIFF, PGM, JPEG or WebP"),
        ("truncated", "cannot be decoded"),
        ("header only", "R_CC.dcm"),
        ("colour photo", "is in colour, expected grey"),
    ],
)
def test_a_file_that_is_no_mammogram(fails, runs, exams, tmp_path, kind, text):
    wrong_file(kind, tmp_path / "in" / "somebody", exams)
    before = files(tmp_path)
    assert text in fails("prepare", "dicom", tmp_path / "in", "--out", tmp_path / "out", "--keep-ids")
    subject = tmp_path / "in" / "somebody"
    assert text in fails("predict", "--subject-dir", subject, "--models", runs, "--out", tmp_path / "out")
    line = fails("explain", "--subject-dir", subject, "--models", runs, "--out", tmp_path / "out")
    assert text in line or "no image could be read" in line
    assert files(tmp_path) == before


def test_an_audit_of_nothing_and_of_what_cannot_be_probed(fails, exams, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert fails("audit", nowhere, "--out", tmp_path / "a") == f"{nowhere}: no such folder"
    assert "prepare it first" in fails("audit", exams, "--shortcuts", "--out", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_missing_class_folder(fails, dataset, tmp_path):
    tree = shutil.copytree(dataset.root / "folders" / "density", tmp_path / "tree")
    for folder in list((tree / "CC_R").rglob("D")):
        shutil.rmtree(folder)
    assert f"{tree / 'CC_R'}: class folder D missing (found A, B, C)" in fails(
        "prepare", "folders", tree, "--out", tmp_path / "out"
    )
    assert "class folder D missing" in fails("train", "--data", tree, "--out", tmp_path / "runs")
    assert not (tmp_path / "out").exists() and files(tmp_path / "runs") == []


def test_a_run_folder_of_another_task(fails, exams, runs, tmp_path):
    line = fails("predict", "--subject-dir", exams / "PH0001", "--models", runs, "--task", "pathology")
    assert line == f"{runs / 'CC_R'}: trained for the task 'density', expected 'pathology'; name other runs"


def test_a_recipe_with_a_misspelt_key(fails, tmp_path):
    (tmp_path / "own.toml").write_text('extends = "density/demo"\n[train]\nepoch = 3\n')
    line = fails("train", "--recipe", tmp_path / "own.toml", "--out", tmp_path / "runs")
    assert line == f"{tmp_path / 'own.toml'}: unknown key 'train.epoch'; did you mean 'train.epochs'?"
    assert "did you mean 'train.epochs'?" in fails("train", "--set", "train.epoch=3", "--out", tmp_path / "runs")
    assert "recipe 'finetun' is neither" in fails("train", "--recipe", "finetun", "--out", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_data_that_is_nowhere(fails, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for verb in (["train"], ["predict", "--models", runs], ["explain", "--models", runs]):
        line = fails(*verb, "--data", tmp_path / "nowhere")
        assert line.startswith(f"{tmp_path / 'nowhere'}: no such folder; make a dataset with `ensemble-mammo prepare")
        assert fails(*verb).startswith("dataset: no such folder; make a dataset")
    assert "no such folder" in fails("prepare", "dicom", tmp_path / "nowhere")
    assert "no such folder; train first" in fails("predict", "--subject-dir", tmp_path)
    assert files(tmp_path) == []


def test_an_archive_of_an_unknown_kind_and_a_target_that_is_a_file(fails, exams, tmp_path):
    assert "archive kind 'nifti' is not one of folders, dicom, inbreast" in fails("prepare", "nifti", exams)
    (tmp_path / "out").write_text("mine")
    assert "out: is a file, expected a folder" in fails("prepare", "dicom", exams, "--out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


# ---- what the verbs print


def test_prepare_prints_what_the_dataset_holds(call, exams, tmp_path, monkeypatch):
    one = shutil.copytree(exams / "PH0001", tmp_path / "in" / "PH0001").parent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    words = ["prepare", "dicom", one, "--labels", exams / "labels.csv", "--height", "64", "--split", "1:0:0"]
    status, out, _ = call(*words, "--out", tmp_path / "out")
    assert status == 0 and "CC_R" in out and f"dataset: {tmp_path / 'out'}" in out
    assert (tmp_path / "out.key").is_file()
    monkeypatch.chdir(tmp_path / "here")
    status, out, _ = call(*words, "--out", ".", "--json")
    assert status == 0 and json.loads(out)["counts"]["images"] == 4
    assert (tmp_path / "here.key").is_file()


def test_audit_prints_what_it_found_and_ends_with_status_1_on_an_error(call, dataset, exams, tmp_path):
    status, out, _ = call("audit", dataset.root, "--out", tmp_path / "clean")
    assert status == 0 and "contact sheet" in out and (tmp_path / "clean" / "audit.html").is_file()
    spoilt = shutil.copytree(exams / "PH0001", tmp_path / "in" / "PH0001")
    (spoilt / "CC_L.dcm").write_bytes((spoilt / "CC_L.dcm").read_bytes()[:5000])
    status, out, err = call("audit", tmp_path / "in", "--out", tmp_path / "audit")
    assert status == 1 and "unreadable" in out and "error:" not in err
    status, out, _ = call("audit", tmp_path / "in", "--out", tmp_path / "audit", "--json")
    assert status == 1 and json.loads(out)["counts"][0]["code"] == "unreadable"
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["failed"] is True


def test_a_report_says_what_the_audit_beside_it_found(call, dataset, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("predict", "--data", dataset.root, "--models", runs, "--out", ".")
    words = ["report", "predictions", "--data", dataset.root, "--resamples", "40"]
    assert "shortcut" not in call(*words)[1]
    call("audit", dataset.root)
    found = json.loads(Path("audit/audit.json").read_text())
    finding = {"target": "density", "probe": "outside", "value": 0.9, "low": 0.8, "high": 1.0, "whole": 0.9}
    found["shortcuts"] = [finding | {"severity": "warning", "advice": "prepare with --outside black"}]
    Path("audit/audit.json").write_text(json.dumps(found))
    status, out, _ = call(*words)
    assert status == 0 and "density can be told from outside with AUC 0.90" in " ".join(out.split())
    assert "prepare with --outside black" in Path("report/report.html").read_text()


def test_predict_prints_a_table_of_every_level_and_marks_the_missing_view(call, subject, runs, tmp_path):
    (subject / "MLO_L.dcm").unlink()
    status, out, _ = call("predict", "--subject-dir", subject, "--models", runs)
    assert status == 0
    for level in ("CC_R", "CC_L", "MLO_R", "right", "left", "subject"):
        assert re.search(rf"│ {level} +│ +[ABCD] │", out), out
    assert re.search(r"left .*CC_L \(MISSING MLO_L\)", out) and re.search(r"subject .*\(MISSING MLO_L\)", out)
    assert "note: no scores of MLO_L: the views present were fused" in out


def test_predict_prints_json_alone_when_asked(call, exams, runs):
    status, out, _ = call("predict", "--subject-dir", exams / "PH0001", "--models", runs, "--json")
    assert status == 0 and list(json.loads(out)["levels"])[-1] == "subject"


def test_a_subject_folder_called_dataset_is_a_subject(call, subject, runs, monkeypatch):
    monkeypatch.chdir(subject.parent)
    subject.rename("dataset")
    status, out, _ = call("predict", "--subject-dir", "dataset", "--models", runs)
    assert status == 0 and "subject" in out


def test_explain_says_where_its_maps_are(call, exams, runs, tmp_path):
    words = ["explain", "--subject-dir", exams / "PH0001", "--models", runs, "--out", tmp_path / "maps"]
    status, out, _ = call(*words)
    assert status == 0 and f"4 maps under {tmp_path / 'maps'}" in out
    status, out, _ = call(*words, "--json")
    assert status == 0 and len(json.loads(out)["maps"]) == 4


def test_quiet_says_warnings_alone_and_verbose_says_more(call, dataset, tmp_path):
    levels = {}
    for words in ([], ["--quiet"], ["--verbose"]):
        status, _, _ = call(*words, "fuse", "nowhere.csv", "--out", tmp_path)
        assert status == 1
        levels[" ".join(words)] = logging.getLogger("ensemble_mammo").level
    assert levels == {"": logging.INFO, "--quiet": logging.WARNING, "--verbose": logging.DEBUG}
