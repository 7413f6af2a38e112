"""A dataset from what a user points at: a prepared one, or an INFN tree as it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ensemble_mammo.archives.folders import looks_like_folders
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.execution.ranks import require_one
from ensemble_mammo.records.manifest import Dataset, manifest_of, read_dataset, read_description
from ensemble_mammo.records.remote import shown
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.prepare import PrepareOptions, prepare

_log = logging.getLogger(__name__)


def dataset_at(folder: Path, beside: Path, task: str | None) -> Dataset:
    """The dataset in a folder; an INFN tree is prepared with the default Preparation first, and said so.

    Args:
        folder: what the user named.
        beside: where the prepared form of an INFN tree is put, as `<beside>/prepared-<name>`.
        task: whose class folders an INFN tree has; None: density.

    Raises:
        DatasetError: neither a dataset nor an INFN tree, or another tree's prepared form lies there.
    """
    if manifest_of(folder) is not None:
        return read_dataset(folder)
    if not looks_like_folders(folder):
        found = (
            "no such folder" if not folder.is_dir() else "neither a manifest.csv nor a view folder such as CC_R in it"
        )
        raise DatasetError(
            f"{folder}: {found}; make a dataset with `ensemble-mammo prepare KIND PATH --out {folder}`, "
            "or name one with --data"
        )
    prepared = beside / f"prepared-{folder.resolve().name}"
    if manifest_of(prepared) is not None:
        made_from = read_description(prepared).get("archive")
        if made_from != shown(folder.resolve()):
            raise DatasetError(
                f"{prepared}: was made from {made_from}, not from {folder.resolve()}; remove it, or prepare "
                "the tree yourself and name the dataset with --data"
            )
        _log.info("%s is a tree of class folders; its prepared form in %s is used", folder, prepared)
        return read_dataset(prepared)
    require_one(f"{folder} is a tree of class folders, and to prepare it")
    _log.info("%s is a tree of class folders: prepared with the default Preparation into %s", folder, prepared)
    return prepare("folders", folder, prepared, PrepareOptions(ArchiveOptions(task=task or "density")))


def views_at(dataset: Dataset, views: Sequence[View]) -> tuple[View, ...]:
    """Those of the views that the dataset has images of, the others named in the log; all of them where it has none."""
    found = tuple(view for view in views if len(dataset.rows(view)))
    if found and len(found) < len(views):
        _log.warning("%s: no image of %s", dataset.root, ", ".join(view for view in views if view not in found))
    return found or tuple(views)
