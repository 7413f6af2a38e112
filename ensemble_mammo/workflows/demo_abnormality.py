"""demo --long: tiles of lesions and of normal tissue, a network for them, thresholds and contrasts, on phantoms."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.lesions.tiles import TileOptions, tiles
from ensemble_mammo.merit.inputs.truth import truth_from_dataset
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.recipe_files import load_recipe
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.predict import PredictOptions, predict
from ensemble_mammo.stages.report import Report, ReportOptions, report
from ensemble_mammo.stages.train import TrainOptions, train

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoAbnormalityOptions:
    """The size of the demonstration."""

    seed: int = 0
    "of tiles and training"
    tile_set: str = "9"
    "which tile set: 6, 8 or 9"
    normal_share: float = 0.5
    "normal tiles of all tiles"
    recipe: str = "abnormality/demo-tiles"
    "what the network is trained by; the size of its input is that of the tiles"
    settings: tuple[str, ...] = ()
    "laid over the recipe, such as train.epochs=1"
    contrasts: tuple[float, ...] = (1.0, 1.5)
    "of the input, which the report sets beside each other"


@dataclass(frozen=True)
class DemoAbnormality:
    """Where the demonstration left its results."""

    report: Report
    "figures of the test subjects' tiles"
    page: Path
    "the report as one page"


def demo_abnormality(dataset: Dataset, out: Path, options: DemoAbnormalityOptions | None = None) -> DemoAbnormality:
    """Cut tiles of prepared films, train on them, predict and report; all under `out`.

    Args:
        dataset: films with lesions and their masks, such as those that `demo_cancer` prepared.
        out: the folder to write to.
        options: how large all is.
    """
    options = options or DemoAbnormalityOptions()
    recipe = load_recipe(options.recipe, None, options.settings)
    _log.info("1 of 4: tiles of %d pixels, set %s -> %s", recipe.input.height, options.tile_set, out / "tiles")
    cutting = TileOptions(
        options.tile_set, recipe.input.height, normal_share=options.normal_share, seed=options.seed, restart=True
    )
    cut = tiles(dataset, out / "tiles", cutting)
    _log.info("2 of 4: train a network that tells tiles with a lesion from normal ones -> %s", out / "runs")
    train(cut, None, recipe, out / "runs", TrainOptions(seed=options.seed, restart=True))
    _log.info("3 of 4: predict the tiles of val and test -> %s", out / "predictions")
    predict(cut, out / "runs", out / "validation", PredictOptions(split="val"))
    predict(cut, out / "runs", out, PredictOptions(split="test", contrasts=options.contrasts))
    _log.info("4 of 4: report, thresholds and contrasts included -> %s", out / "report")
    judged = ReportOptions(dataset=cut, validation=(str(out / "validation" / "predictions"),), studies=False)
    truth = truth_from_dataset(cut, TASKS["abnormality"], "test")
    return DemoAbnormality(report([out / "predictions"], truth, out / "report", judged), out / "report" / "report.html")
