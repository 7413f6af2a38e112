"""What a network looks at: whole mammograms, tiles or patches; images of another kind are refused."""

from __future__ import annotations

from pathlib import Path

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.learning.checkpoint import LoadedRun
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.task import PATCH, PATCHES


def looked_at(run: LoadedRun) -> str:
    """What its network wants mammograms cut into: patches, tiles, or nothing."""
    return PATCHES if run.recipe.task == PATCH else run.recipe.learns_from


def require_looked_at(source: Dataset | Path, run: LoadedRun, command: str) -> None:
    """Refuse patches and tiles under a network of whole mammograms, and mammograms under one of those.

    Args:
        source: a dataset, or a folder of mammograms as they came.
        run: the network.
        command: what is called, for the error text.

    Raises:
        DatasetError: the one or the other.
    """
    wanted = looked_at(run)
    if isinstance(source, Dataset):
        _require_cut(source, wanted, command)
    elif wanted:
        raise DatasetError(
            f"{source}: the networks look at {wanted}, not at whole mammograms; prepare the folder, cut "
            f"it with `ensemble-mammo {wanted}`, and give that with --data"
        )


def refuse_cut(dataset: Dataset) -> None:
    """Refuse a set of patches or tiles where whole mammograms are looked at.

    Raises:
        DatasetError: it is one.
    """
    if cut := dataset.cut()[0]:
        raise DatasetError(
            f"{dataset.root}: a set of {cut}, and the networks look at whole mammograms; give the dataset of mammograms"
        )


def _require_cut(dataset: Dataset, wanted: str, command: str) -> None:
    cut = dataset.cut()[0]
    if cut == wanted:
        return
    if not wanted:
        refuse_cut(dataset)
    way = "`ensemble-mammo heatmap` moves them over mammograms, " if wanted == PATCHES else ""
    raise DatasetError(
        f"{dataset.root}: holds {cut or 'mammograms'}, and the networks look at {wanted}; {way}`{command}` wants a set "
        f"that `ensemble-mammo {wanted}` made"
    )
