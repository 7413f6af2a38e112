"""demo --long: lesion patches, whole-image classifier and heatmaps, on phantoms in the shape of CBIS-DDSM."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.imaging.phantom_cbis import FEWEST, write_phantom_cbis
from ensemble_mammo.learning.checkpoint import load_run
from ensemble_mammo.learning.heatmap import HeatmapOptions
from ensemble_mammo.learning.scores import scores_of
from ensemble_mammo.lesions.heatmap import LesionMapOptions, heatmap
from ensemble_mammo.lesions.patches import PatchOptions, patches
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import read_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import ANY
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from ensemble_mammo.stages.report import Report, ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions, train

_log = logging.getLogger(__name__)
_STEPS = 9


@dataclass(frozen=True)
class DemoCancerOptions:
    """The size of the demonstration."""

    subjects: int = 120
    "phantom subjects, two films each"
    seed: int = 0
    "of phantoms, patches and training"
    height_px: int = 448
    "rows of the prepared images"
    patch_set: str = "S10"
    "which patch set"
    patch_recipe: str = "cancer/demo-patch"
    "what the patch classifier is trained by; the size of its input is that of the patches"
    whole_recipe: str = "cancer/demo-whole"
    "what the whole-image classifier is trained by, from the patch classifier on"
    patch_settings: tuple[str, ...] = ()
    "laid over the patch recipe, such as train.epochs=1"
    whole_settings: tuple[str, ...] = ()
    "laid over the other one"

    def __post_init__(self) -> None:
        """Refuse too few subjects."""
        if self.subjects < FEWEST:
            raise ValueError(f"{self.subjects} subjects, expected {FEWEST} or more")


@dataclass(frozen=True)
class DemoCancer:
    """Where the demonstration left its results."""

    patch_accuracy: float
    "share of the test subjects' patches whose class is right"
    patch_majority: float
    "the same, were all of them called by the most frequent class"
    lines: tuple[str, ...]
    "what the heatmaps come to"
    report: Report
    "figures of the test subjects"
    page: Path
    "the report as one page"
    heatmap: Path
    "the heatmap over a film, with its boxes: the film whose map has the highest value"
    reader: Path
    "the films of one test subject as a page to read, with boxes"


def demo_cancer(out: Path, options: DemoCancerOptions | None = None) -> DemoCancer:
    """Make films with lesions, prepare, cut patches, train twice, map, predict, report, explain; all under `out`."""
    options = options or DemoCancerOptions()
    dataset = _dataset(out, options)
    accuracy, majority = _patch_run(dataset, out, options)
    run = out / "patch-runs" / ANY
    _say(5, "heatmaps of the test films -> %s", out / "heatmaps")
    maps = heatmap(
        dataset, run, out / "heatmaps", LesionMapOptions(split="test", sweep=HeatmapOptions(mode="dense"), compare=4)
    )
    _say(6, "train a whole-image classifier from it -> %s", out / "runs")
    start = ("network.pretrained='run'", f"network.weights_file={json.dumps(str(run))}")
    recipe = load_recipe(options.whole_recipe, None, (*options.whole_settings, *start))
    train(dataset, None, recipe, out / "runs", TrainOptions(seed=options.seed, restart=True))
    _say(7, "predict the subjects of val and test -> %s", out / "predictions")
    predict(dataset, out / "runs", out / "validation", PredictOptions(split="val"))
    predict(dataset, out / "runs", out, PredictOptions(split="test"))
    _say(8, "report, lesions found included -> %s", out / "report")
    judged = ReportOptions(
        dataset=dataset, validation=(str(out / "validation" / "predictions"),), heatmaps=out / "heatmaps"
    )
    result = report([out / "predictions"], truth_from_dataset(dataset, TASKS["pathology"]), out / "report", judged)
    best = max(maps.images, key=lambda image: image["maximum"])
    _say(9, "class activation maps of one test subject -> %s", out / "maps")
    one = replace(dataset, table=dataset.table[dataset.table["subject_id"] == best["subject_id"]])
    explained = explain(one, out / "runs", out / "maps", ExplainOptions(html=True, boxes=out / "heatmaps/boxes.json"))
    reader = (out / "maps" / explained[0].raw).parent / "reader.html"
    drawn = out / "heatmaps" / best["overlay"]
    return DemoCancer(accuracy, majority, tuple(maps.lines()), result, out / "report" / "report.html", drawn, reader)


def _dataset(out: Path, options: DemoCancerOptions) -> Dataset:
    """The phantom films, prepared."""
    _say(1, "phantom films of %d subjects, as CBIS-DDSM has them (DICOM) -> %s", options.subjects, out / "archive")
    height = round(options.height_px * 8 / 7)  # the prepared breast fills the height of the film nearly
    write_phantom_cbis(out / "archive", options.subjects, options.seed, height, quirks=False)
    _say(2, "prepare -> %s", out / "dataset")
    prepared = PrepareOptions(ArchiveOptions(task="pathology"), Preparation(height=options.height_px), restart=True)
    return prepare("cbis-ddsm", out / "archive", out / "dataset", prepared)


def _patch_run(dataset: Dataset, out: Path, options: DemoCancerOptions) -> tuple[float, float]:
    """Cut patches and train on them; the accuracy on those of the test split, and that of the majority class."""
    recipe = load_recipe(options.patch_recipe, None, options.patch_settings)
    _say(3, "patches of %d pixels, set %s -> %s", recipe.input.height, options.patch_set, out / "patches")
    drawn = PatchOptions(
        set=options.patch_set,
        size_px=recipe.input.height,
        image_height_px=options.height_px,
        seed=options.seed,
        restart=True,
    )
    cut = patches(dataset, out / "patches", drawn)
    _say(4, "train a patch classifier -> %s", out / "patch-runs")
    train(cut, None, recipe, out / "patch-runs", TrainOptions(seed=options.seed, restart=True))
    run = load_run(out / "patch-runs" / ANY)
    tested = cut.rows(split="test")
    truth = np.array([run.classes.index(label) for label in tested["patch"]])
    called = []
    for first in range(0, len(tested), 64):
        pixels = [read_png16(cut.root / name) for name in tested["file"].iloc[first : first + 64]]
        called.append(scores_of([run], pixels).argmax(axis=1))
    majority = float(np.bincount(truth).max() / len(truth))
    return float((np.concatenate(called) == truth).mean()), majority


def _say(step: int, text: str, *values: object) -> None:
    _log.info("%d of %d: " + text, step, _STEPS, *values)
