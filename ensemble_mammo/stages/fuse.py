"""fuse: prediction files of views become those of the breasts and the subject."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble_mammo.merit.fusion import Fused, Fusion, fuse
from ensemble_mammo.merit.inputs.sources import predictions_of, read_sources, sources_of
from ensemble_mammo.records.predictions import write_predictions
from ensemble_mammo.records.task import Task


def fuse_files(
    paths: Path | Sequence[str | Path], task: Task, fusion: Fusion | None = None, out: Path | None = None
) -> Fused:
    """Fuse prediction files of views; write right.csv, left.csv and subject.csv, as far as views were given.

    Args:
        paths: the folder of the views' files, or the files themselves (names or `CC_R=path` say the view).
        task: says the classes and how breasts become the subject.
        fusion: the rule; the mean unless given.
        out: the folder to write to; nothing is written without one.

    Raises:
        PredictionError: a file is damaged, or the files do not fit each other.
        OutputError: the folder cannot be written.
    """
    sources = sources_of([paths] if isinstance(paths, (str, Path)) else paths)
    fused = fuse(predictions_of(read_sources(sources, task)), task, fusion)
    if out is not None:
        for level, predictions in fused.levels.items():
            write_predictions(out / f"{level}.csv", predictions)
    return fused
