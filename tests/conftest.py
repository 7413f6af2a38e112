"""What many tests need: phantom exams, a dataset prepared from them, and four tiny trained networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ensemble_mammo.errors import EnsembleMammoError
from ensemble_mammo.execution.local import Outcome

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
DENSITIES = "ABCDABCD"
"""Of the subjects PH0001 to PH0008; PH0004 and PH0008 come from a device that writes MONOCHROME1."""

TINY = ("input.height=64", "input.width=48", "train.epochs=1", "train.batch_size=4")


def at_once(
    function: Callable[[Any], Any], items: Sequence[Any], workers: int = 0, seconds: float = 60.0, *_: Any
) -> Iterator[Outcome[Any, Any]]:
    """What `spread` gives, in this process: tests that are not about workers need not wait for their start."""
    for item in items:
        try:
            outcome = Outcome(item, function(item))
        except EnsembleMammoError as error:
            outcome = Outcome(item, None, str(error))
        yield outcome


def without_workers(patch: pytest.MonkeyPatch) -> None:
    stages = ("audit.run", "explain.images", "predict.inputs", "prepare.run")
    for place in (
        "archives.dicom",
        "lesions.patches.run",
        "lesions.tiles.run",
        *(f"stages.{stage}" for stage in stages),
    ):
        patch.setattr(f"ensemble_mammo.{place}.spread", at_once)


@pytest.fixture(scope="session", autouse=True)
def one_by_one() -> Iterator[None]:
    """Several trainings of one call run in this process, unless a test says how many at once: starts are slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ensemble_mammo.workflows.spreading.room", lambda share, gpus: 1)
        patch.setattr(
            "ensemble_mammo.workflows.spreading.stays_here", lambda spreading, at_once, trainings: at_once == 1
        )
        yield


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    without_workers(monkeypatch)


@pytest.fixture(scope="session")
def exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<subject>/<VIEW>.dcm` of eight phantom subjects, and labels.csv (patient_id, density)."""
    from ensemble_mammo.imaging.phantom import write_phantom_exams

    folder = tmp_path_factory.mktemp("phantoms") / "exams"
    write_phantom_exams(folder, len(DENSITIES), height=128, densities=DENSITIES)
    return folder


@pytest.fixture
def subject(exams: Path, tmp_path: Path) -> Path:
    """A copy of one subject's folder, to be spoilt."""
    return Path(shutil.copytree(exams / "PH0001", tmp_path / "PH0001"))


@pytest.fixture(scope="session")
def dataset(exams: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The phantom exams, prepared; ids kept."""
    from ensemble_mammo.archives.options import ArchiveOptions
    from ensemble_mammo.records.division import Division
    from ensemble_mammo.records.preparation import Preparation
    from ensemble_mammo.stages.prepare import PrepareOptions, prepare

    archive = ArchiveOptions(labels=exams / "labels.csv", keep_ids=True)
    options = PrepareOptions(archive, Preparation(height=96), division=Division((0.5, 0.25, 0.25)))
    with pytest.MonkeyPatch.context() as patch:
        without_workers(patch)
        return prepare("dicom", exams, tmp_path_factory.mktemp("prepared") / "dataset", options)


@pytest.fixture(scope="session")
def runs(dataset: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four runs, one a view, hardly trained."""
    from ensemble_mammo.records.recipe_files import load_recipe
    from ensemble_mammo.records.subject import View
    from ensemble_mammo.stages.train import TrainOptions, train

    folder = tmp_path_factory.mktemp("trained") / "runs"
    for view in View:
        train(dataset, view, load_recipe("density/demo", view, TINY), folder, TrainOptions(device="cpu"))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real mammograms; tests that want it are skipped where it is not."""
    if not REAL.is_dir():
        pytest.skip(f"the real mammograms are not here ({REAL})")
    return REAL
