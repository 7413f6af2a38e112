"""What grows with the manifest alone, at any number of rows: no image is read or written.

python eval/scale/simulate.py [IMAGES] [FOLDER]

A manifest is made up (four images an exam, two exams a subject) and written as CSV and as Parquet; then each step runs
in a process of its own, and its seconds and the most memory that the process took are printed as a table.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble_mammo.execution.engine import spread
from ensemble_mammo.merit.fusion import fuse
from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.leaks import leaks_of
from ensemble_mammo.records.manifest import COLUMNS, Dataset, read_dataset, write_table
from ensemble_mammo.records.predictions import Predictions, read_predictions, write_predictions
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.splits import SPLITS, deal
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS

TASK = TASKS["density"]
VIEWS = tuple(view.value for view in View)
EXAMS_A_SUBJECT = 2
MAKERS = ("Hologic", "Siemens", "GE", "Fuji", "Philips")


def made_up(images: int) -> pd.DataFrame:
    """A manifest of so many images."""
    rng = np.random.default_rng(0)
    number = np.arange(images)
    exam = number // len(VIEWS)
    subject = exam // EXAMS_A_SUBJECT
    table = pd.DataFrame({name: pd.Series("", index=number, dtype="str") for name in COLUMNS})
    table["subject_id"] = pd.Series("S", index=number) + pd.Series(subject).astype("str")
    table["exam_id"] = pd.Series(exam % EXAMS_A_SUBJECT + 1).astype("str")
    table["view"] = np.array(VIEWS)[number % len(VIEWS)]
    table["image_id"] = table["subject_id"] + "_" + table["exam_id"] + "_" + table["view"]
    table["file"] = "images/" + table["view"] + "/" + table["image_id"] + ".png"
    table["source"] = "archive/" + table["image_id"] + ".dcm"
    digest = rng.bytes(32 * images).hex()
    table["source_sha256"] = pd.Series([digest[64 * i : 64 * i + 64] for i in range(images)], dtype="str")
    table["manufacturer"] = np.array(MAKERS)[subject % len(MAKERS)]
    table["pixel_spacing_mm"] = "0.07"
    chances = rng.choice(len(TASK.classes), subject[-1] + 1, p=(0.1, 0.4, 0.4, 0.1))
    table[TASK.name] = np.array(TASK.classes)[chances[subject]]
    return table


def dealt(dataset: Dataset) -> pd.DataFrame:
    """The manifest with splits and folds, as `prepare` deals them: by subject, stratified by class."""
    labels = dataset.subject_labels(TASK)
    splits = {s: SPLITS[part] for s, part in deal(labels, (0.8, 0.1, 0.1), 0).items()}
    folds = {s: str(part) for s, part in deal(labels, [0.2] * 5, 0).items()}
    subjects = dataset.table["subject_id"]
    return dataset.table.assign(split=subjects.map(splits), fold=subjects.map(folds))


def write_csv(folder: Path, images: int) -> None:
    write_table(folder / "csv", made_up(images), {"preparation": to_mapping(Preparation())})


def write_parquet(folder: Path, images: int) -> None:
    write_table(folder / "parquet", made_up(images), {"preparation": to_mapping(Preparation())}, parquet=True)


def read_csv(folder: Path, images: int) -> None:
    assert len(read_dataset(folder / "csv").table) == images


def read_parquet(folder: Path, images: int) -> None:
    assert len(read_dataset(folder / "parquet").table) == images


def split(folder: Path, _: int) -> None:
    table = dealt(read_dataset(folder / "parquet"))
    write_table(folder / "parquet", table, {"preparation": to_mapping(Preparation())}, parquet=True)


def leaks(folder: Path, _: int) -> None:
    assert leaks_of(read_dataset(folder / "parquet").table) == []


def rows_of_a_view(folder: Path, _: int) -> None:
    assert len(read_dataset(folder / "parquet").rows(View.CC_R, "train", TASK))


def fingerprint(folder: Path, _: int) -> None:
    read_dataset(folder / "parquet").fingerprint()


def join_predictions(folder: Path, images: int) -> None:
    """Scores of the four views, joined by subject and exam and fused to breasts and subjects."""
    rng = np.random.default_rng(1)
    table = read_dataset(folder / "parquet").table
    given = []
    for view in View:
        own = table[table["view"] == view.value]
        scores = rng.dirichlet(np.ones(len(TASK.classes)), len(own))
        subjects, exams = tuple(own["subject_id"]), tuple(own["exam_id"])
        given.append(
            Predictions(view.value, TASK.classes, scores, subjects, exams, (view.value,) * len(own), (1,) * len(own))
        )
    subject = fuse(given, TASK).levels["subject"]
    assert len(subject) == images // len(View)
    write_predictions(folder / "subject.csv", subject)


def read_joined(folder: Path, images: int) -> None:
    assert len(read_predictions(folder / "subject.csv", "subject", TASK.classes)) == images // len(View)


def schedule(_: Path, images: int) -> None:
    """As many items that do nothing, given to workers and taken back in order."""
    for place, outcome in enumerate(spread(abs, range(images))):
        assert outcome.value == place


STEPS: tuple[tuple[str, Callable[[Path, int], None]], ...] = (
    ("make the rows, write manifest.csv", write_csv),
    ("make the rows, write manifest.parquet", write_parquet),
    ("read and check manifest.csv", read_csv),
    ("read and check manifest.parquet", read_parquet),
    ("… deal splits and folds, write", split),
    ("… look for leaks", leaks),
    ("… training rows of one view", rows_of_a_view),
    ("… fingerprint", fingerprint),
    ("… join and fuse four views' scores, write", join_predictions),
    ("read the subjects' scores", read_joined),
    ("schedule so many empty items", schedule),
)


def measured(step: Callable[[Path, int], None], folder: Path, images: int, told: Path) -> None:
    before = time.perf_counter()
    step(folder, images)
    seconds, peak = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    told.write_text(json.dumps([seconds, peak]))


def main(images: int, folder: Path) -> None:
    print(f"{images:,} images\n\n| step | seconds | peak memory, GB |\n|---|---|---|")
    told = folder / "told.json"
    for name, step in STEPS:
        process = multiprocessing.get_context("spawn").Process(target=measured, args=(step, folder, images, told))
        process.start()
        process.join()
        if process.exitcode:
            print(f"| {name} | ended with exit status {process.exitcode} | |", flush=True)
            continue
        seconds, peak = json.loads(told.read_text())
        print(f"| {name} | {seconds:.1f} | {peak:.2f} |", flush=True)
    for path in (folder / "csv" / "manifest.csv", folder / "parquet" / "manifest.parquet"):
        print(f"\n{path.name}: {path.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if len(sys.argv) > 2:
        Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
        main(count, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(count, Path(name))
