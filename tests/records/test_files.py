import os
import stat

import pytest

from ensemble_mammo.errors import OutputError, RunError
from ensemble_mammo.records import files
from ensemble_mammo.records.files import alone_in, write_bytes, write_text, written_beside


def test_a_file_is_written_whole_with_its_folders(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "grün\n")
    write_bytes(tmp_path / "a" / "c.bin", b"\0\1")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "grün\n"
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\0\1"
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"b.txt", "c.bin"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyError), written_beside(path) as beside:
        beside.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_output_error_that_names_the_file(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written: No space left"), written_beside(path):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match=r"a/b\.txt: cannot be written"):
        write_text(tmp_path / "a" / "b.txt", "x")


def test_a_target_that_is_a_folder_is_an_output_error(tmp_path):
    (tmp_path / "a" / "inner").mkdir(parents=True)
    with pytest.raises(OutputError, match="a: cannot be written"):
        write_text(tmp_path / "a", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_gets_the_rights_that_the_user_gives_to_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_second_process_in_a_run_folder_is_refused_until_the_first_has_ended(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(files, "_PATIENCE_SECONDS", 0.3)
    run = tmp_path / "CC_R"
    with alone_in(run):
        with pytest.raises(RunError, match=r"CC_R: another process trains here; wait until it ends"), alone_in(run):
            pass
        assert "another process trains here; waiting" in caplog.text
    with alone_in(run):
        pass
    assert list(run.iterdir()) == []
