"""demo: the whole way on phantom exams that the project makes itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.imaging.phantom import write_phantom_exams
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.division import Division
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.explain import ExplainOptions, explain
from ensemble_mammo.stages.predict import PredictOptions, Scores, predict
from ensemble_mammo.stages.prepare import PrepareOptions, prepare
from ensemble_mammo.stages.report import Report, ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions, train

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoOptions:
    """The size of the demonstration."""

    subjects: int = 120
    "phantom subjects, four views each"
    seed: int = 0
    "of phantoms, division and training"
    recipe: str = "density/demo"
    "what the four networks are trained by"


@dataclass(frozen=True)
class Demo:
    """Where the demonstration left its results."""

    report: Report
    "figures of the test subjects"
    page: Path
    "the report as one page"
    maps: Path
    "the sheet of class activation maps of one subject"
    reader: Path
    "her four views as a page to read"
    scores: Scores
    "that subject's scores"


def demo(out: Path, options: DemoOptions | None = None) -> Demo:
    """Make phantom exams, prepare, train four networks, predict, report and explain; all under `out`."""
    options = options or DemoOptions()
    exams, dataset_folder, runs = out / "exams", out / "dataset", out / "runs"
    _log.info("1 of 6: phantom exams of %d subjects (DICOM) -> %s", options.subjects, exams)
    write_phantom_exams(exams, options.subjects, options.seed)
    _log.info("2 of 6: prepare -> %s", dataset_folder)
    archive = ArchiveOptions(labels=exams / "labels.csv", keep_ids=True)
    # two subjects in three learn; the rest is held out for figures that mean something
    prepared = PrepareOptions(archive, division=Division((0.6, 0.1, 0.3), seed=options.seed), restart=True)
    dataset = prepare("dicom", exams, dataset_folder, prepared)
    _log.info("3 of 6: train a network a view -> %s", runs)
    for view in View:
        train(dataset, view, load_recipe(options.recipe, view), runs, TrainOptions(seed=options.seed, restart=True))
    _log.info("4 of 6: predict the subjects of val and test -> %s", out / "predictions")
    predict(dataset, runs, out / "validation", PredictOptions(split="val"))
    predict(dataset, runs, out, PredictOptions(split="test"))
    _log.info("5 of 6: report (its calibration fitted on the split val) -> %s", out / "report")
    judged = ReportOptions(dataset=dataset, validation=(str(out / "validation" / "predictions"),))
    truth = truth_from_dataset(dataset, TASKS["density"])
    result = report([out / "predictions"], truth, out / "report", judged)
    subject = sorted(dataset.rows(split="test")["subject_id"])[0]
    _log.info("6 of 6: class activation maps of one test subject, from her DICOM files -> %s", out / "maps")
    maps = explain(exams / subject, runs, out / "maps", ExplainOptions(html=True))
    one = predict(exams / subject, runs, None)
    folder = (out / "maps" / maps[0].raw).parent
    return Demo(result, out / "report" / "report.html", folder / "sheet.png", folder / "reader.html", one)
