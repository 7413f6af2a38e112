"""The scripts that print figures for eval/reference."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EVAL = Path(__file__).parent.parent / "eval"


def report_made(path, accuracy, kappa=0.5, exams=10):
    figures = {"accuracy": accuracy, "kappa": kappa}
    held = {
        "task": "density",
        "counts": {"subject": {"exams": exams, "subjects": exams}},
        "figures": {"subject": {name: {"value": v, "low": None, "high": 0.9} for name, v in figures.items()}},
    }
    path.write_text(json.dumps(held), encoding="utf-8")
    return path


def call(script, *paths):
    return subprocess.run([sys.executable, EVAL / script, *paths], check=False, capture_output=True, text=True)


def test_figures_of_a_report_become_a_row_each(tmp_path):
    done = call("figures.py", report_made(tmp_path / "report.json", 0.75))
    assert done.stdout.splitlines()[:2] == [
        "level,figure,value,low,high,exams,subjects",
        "subject,accuracy,0.750000,,0.900000,10,10",
    ]


def test_seeds_have_mean_spread_and_each_value(tmp_path):
    values = (0.70, 0.78, 0.71)
    paths = [report_made(tmp_path / f"{i}.json", v, None if i else 0.5) for i, v in enumerate(values)]
    accuracy, kappa = csv.DictReader(io.StringIO(call("seeds.py", *paths).stdout))
    assert float(accuracy["mean"]) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(accuracy["sd"]) == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert (accuracy["min"], accuracy["max"], accuracy["seeds"]) == ("0.700000", "0.780000", "3")
    assert [accuracy[f"seed_{n}"] for n in (1, 2, 3)] == ["0.700000", "0.780000", "0.710000"]
    assert (kappa["mean"], kappa["sd"], kappa["seed_1"], kappa["seed_2"]) == ("", "", "0.500000", "")


def test_seeds_on_other_exams_or_one_seed_alone_are_refused(tmp_path):
    one, other = report_made(tmp_path / "a.json", 0.7), report_made(tmp_path / "b.json", 0.7, exams=9)
    done = call("seeds.py", one, other)
    assert done.returncode == 1 and "judge the same exams" in done.stderr and not done.stdout
    assert "two seeds or more" in call("seeds.py", one).stderr
