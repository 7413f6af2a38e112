"""Classification of mammograms: one network a projection, fused by subject. Not a medical device; for research.

The whole surface for notebooks and scripts::

    from ensemble_mammo import View, load_recipe, predict, prepare, report, train, truth_from_dataset

    dataset = prepare("dicom", Path("exams"), Path("dataset"), PrepareOptions(ArchiveOptions(labels=...)))
    for view in View:
        train(dataset, view, load_recipe("finetune", view), Path("runs"))
    scores = predict(dataset, Path("runs"), options=PredictOptions(split="test"))
    figures = report(scores.levels()[:4], truth_from_dataset(dataset, scores.task))
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

# Threads of torch's OpenMP that wait by spinning take the cores from whoever else works on them: on two busy cores
# a step took 300 times as long. It must be said before torch is loaded; a setting of the user's own stands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from ensemble_mammo.archives.options import ArchiveOptions
    from ensemble_mammo.errors import EnsembleMammoError
    from ensemble_mammo.imaging.phantom import write_phantom_exams
    from ensemble_mammo.imaging.prepared import prepare_file, prepare_pixels
    from ensemble_mammo.imaging.read import Limits, read_mammogram
    from ensemble_mammo.learning.cam import activation_map, activation_maps
    from ensemble_mammo.learning.checkpoint import load_run, runs_in
    from ensemble_mammo.learning.scores import scores_of
    from ensemble_mammo.lesions.heatmap import LesionMapOptions, heatmap
    from ensemble_mammo.lesions.patches import PatchOptions, patches
    from ensemble_mammo.lesions.tiles import TileOptions, tiles
    from ensemble_mammo.merit.figures import figures_of
    from ensemble_mammo.merit.fusion import Fusion, fuse
    from ensemble_mammo.merit.inputs.columns import columns_of
    from ensemble_mammo.merit.inputs.peers import write_peers
    from ensemble_mammo.merit.inputs.sources import truth_from_files
    from ensemble_mammo.merit.inputs.truth import (
        truth_from_counts,
        truth_from_csv,
        truth_from_dataset,
        truth_from_folders,
    )
    from ensemble_mammo.records.division import Division
    from ensemble_mammo.records.manifest import Dataset, read_dataset
    from ensemble_mammo.records.predictions import Predictions, read_predictions
    from ensemble_mammo.records.preparation import Preparation
    from ensemble_mammo.records.recipe import Recipe
    from ensemble_mammo.records.recipe_files import load_recipe
    from ensemble_mammo.records.subject import View
    from ensemble_mammo.records.task import task_named
    from ensemble_mammo.stages.audit import AuditOptions, audit
    from ensemble_mammo.stages.explain import ExplainOptions, explain
    from ensemble_mammo.stages.predict import PredictOptions, predict
    from ensemble_mammo.stages.prepare import PrepareOptions, prepare
    from ensemble_mammo.stages.report import ReportOptions, report
    from ensemble_mammo.stages.train import TrainOptions, train
    from ensemble_mammo.workflows.control import ControlOptions, control
    from ensemble_mammo.workflows.crossval import CrossvalOptions, crossval
    from ensemble_mammo.workflows.reproduce import ReproduceOptions, reproduce
    from ensemble_mammo.workflows.sweep import SweepOptions, sweep

_HOME = {
    "archives.options": ["ArchiveOptions"],
    "errors": ["EnsembleMammoError"],
    "imaging.phantom": ["write_phantom_exams"],
    "imaging.prepared": ["prepare_file", "prepare_pixels"],
    "imaging.read": ["Limits", "read_mammogram"],
    "learning.cam": ["activation_map", "activation_maps"],
    "learning.checkpoint": ["load_run", "runs_in"],
    "learning.scores": ["scores_of"],
    "lesions.heatmap": ["heatmap", "LesionMapOptions"],
    "lesions.patches": ["PatchOptions", "patches"],
    "lesions.tiles": ["TileOptions", "tiles"],
    "merit.figures": ["figures_of"],
    "merit.fusion": ["Fusion", "fuse"],
    "merit.inputs.columns": ["columns_of"],
    "merit.inputs.peers": ["write_peers"],
    "merit.inputs.sources": ["truth_from_files"],
    "merit.inputs.truth": ["truth_from_counts", "truth_from_csv", "truth_from_dataset", "truth_from_folders"],
    "records.division": ["Division"],
    "records.manifest": ["Dataset", "read_dataset"],
    "records.predictions": ["Predictions", "read_predictions"],
    "records.preparation": ["Preparation"],
    "records.recipe": ["Recipe"],
    "records.recipe_files": ["load_recipe"],
    "records.subject": ["View"],
    "records.task": ["task_named"],
    "stages.audit": ["audit", "AuditOptions"],
    "stages.explain": ["ExplainOptions", "explain"],
    "stages.predict": ["PredictOptions", "predict"],
    "stages.prepare": ["PrepareOptions", "prepare"],
    "stages.report": ["ReportOptions", "report"],
    "stages.train": ["TrainOptions", "train"],
    "workflows.control": ["control", "ControlOptions"],
    "workflows.crossval": ["CrossvalOptions", "crossval"],
    "workflows.reproduce": ["ReproduceOptions", "reproduce"],
    "workflows.sweep": ["SweepOptions", "sweep"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: RUF022 - sorted without regard to case
    "activation_map",
    "activation_maps",
    "ArchiveOptions",
    "audit",
    "AuditOptions",
    "columns_of",
    "control",
    "ControlOptions",
    "crossval",
    "CrossvalOptions",
    "Dataset",
    "Division",
    "EnsembleMammoError",
    "explain",
    "ExplainOptions",
    "figures_of",
    "fuse",
    "Fusion",
    "heatmap",
    "LesionMapOptions",
    "Limits",
    "load_recipe",
    "load_run",
    "patches",
    "PatchOptions",
    "predict",
    "Predictions",
    "PredictOptions",
    "Preparation",
    "prepare",
    "prepare_file",
    "prepare_pixels",
    "PrepareOptions",
    "read_dataset",
    "read_mammogram",
    "read_predictions",
    "Recipe",
    "report",
    "ReportOptions",
    "reproduce",
    "ReproduceOptions",
    "runs_in",
    "scores_of",
    "sweep",
    "SweepOptions",
    "task_named",
    "TileOptions",
    "tiles",
    "train",
    "TrainOptions",
    "truth_from_counts",
    "truth_from_csv",
    "truth_from_dataset",
    "truth_from_files",
    "truth_from_folders",
    "View",
    "write_peers",
    "write_phantom_exams",
]


def __getattr__(name: str) -> Any:
    """Import a name of the surface when it is first asked for: `import ensemble_mammo` stays quick."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """The surface."""
    return [*__all__, "__version__"]
