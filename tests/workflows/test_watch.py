"""Trainings in other processes, watched by what they write."""

import logging
import math
import time

from ensemble_mammo.console import trainings_table
from ensemble_mammo.workflows.watch import Progress, at_work, watched

HISTORY = """epoch,val_loss,val_accuracy,val_auc,seconds,images_per_second
1,1.25,0.25,nan,4,10
2,0.75,0.5,nan,6,12
"""


def rows(root, *names):
    return [Progress(name, root / name, 5) for name in names]


def test_a_training_waits_is_at_work_and_ends(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with watched(rows(tmp_path, "a", "b", "c"), None) as watch:
        with at_work(tmp_path / "a"):
            watch.look()
            assert [row.state for row in watch.rows.values()] == ["training", "waiting", "waiting"]
            (tmp_path / "a/history.csv").write_text(HISTORY)
            watch.look()
            row = watch.rows["a"]
            assert (row.epoch, row.val_loss, row.val_accuracy, row.images_per_second) == (2, 0.75, 0.5, 12)
            assert row.seconds_left == 3 * (4 + 6) / 2 and math.isnan(row.val_auc) and row.where
        watch.ended("a", "")
        watch.ended("b", "out of memory")
        watch.ended("c", "", before=True)
        watch.look()
        assert [row.state for row in watch.rows.values()] == ["finished", "failed", "finished"]
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("a: training (") and said[1:] == [
        "a: finished, 2 epochs, val 0.7500 / 0.500, 12.0 images/s",
        "b: failed: out of memory",
    ]


def test_marks_of_a_killed_process_do_not_stay(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.training").write_text("elsewhere 1\n")
    with watched(rows(tmp_path, "a"), None) as watch:
        watch.look()
        assert watch.rows["a"].state == "waiting"
    assert not (tmp_path / "a").exists()


def test_a_half_written_history_changes_nothing(tmp_path):
    with at_work(tmp_path / "a"), watched([], None):
        pass
    with watched(rows(tmp_path, "a"), None) as watch, at_work(tmp_path / "a"):
        (tmp_path / "a/history.csv").write_text("epoch,val_loss\n1,0.")
        watch.look()
        assert watch.rows["a"].epoch == 0 and watch.rows["a"].state == "training"


def test_progress_is_shown_by_itself_and_hidden_on_demand(tmp_path):
    shown = []
    with watched(rows(tmp_path, "a"), shown.append) as watch:
        until = time.monotonic() + 10
        while not shown and time.monotonic() < until:
            time.sleep(0.05)
        watch.hide(True)
        count = len(shown)
        watch.look()
        assert shown[0][0].name == "a" and len(shown) == count and shown[-1] == []


def test_a_long_table_shows_those_at_work_and_counts_the_others(tmp_path):
    many = [
        Progress(
            f"t{n}", tmp_path, 9, "training" if n < 3 else "failed" if n == 3 else "waiting", reason="nan" * (n == 3)
        )
        for n in range(40)
    ]
    table = trainings_table(many)
    assert table.title == "trainings: 3 training, 1 failed, 36 waiting" and table.caption == "and 36 more"
    assert table.row_count == 4
    assert list(table.columns[2].cells) == ["training", "training", "training", "failed: nan"]
    assert trainings_table(many[:10]).row_count == 10
