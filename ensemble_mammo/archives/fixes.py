"""Decisions of an audit (`fixes.csv`), applied to what an archive lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ensemble_mammo.archives.tables import read_table, refuse
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.archive import ArchiveImage, Listing
from ensemble_mammo.records.splits import SPLITS

_ALLOWED: Mapping[str, tuple[str, ...]] = {"row": ("left out", "kept"), "turn": ("yes", "no"), "split": ("", *SPLITS)}


def with_fixes(listing: Listing, path: Path) -> Listing:
    """Apply fixes.csv: images left out with their reason, turned, or put into another split.

    Args:
        listing: what the archive lists.
        path: columns file (relative to the archive), column (row, turn, split), after, reason.

    Raises:
        DatasetError: columns missing, unknown words, or no file of it in the archive, with lines.
    """
    table = read_table(path, ["file", "column", "after", "reason"], advice="give the fixes.csv that audit --fix wrote")
    problems = [
        f"line {line}: {column} {after!r} is no decision; expected row left out, turn yes or no, or split and its name"
        for line, (column, after) in enumerate(zip(table["column"], table["after"], strict=True), start=2)
        if after not in _ALLOWED.get(column, ())
    ]
    refuse(path, problems)
    known = {image.source for image in listing.images} | {source for source, _ in listing.left_out}
    if len(table) and not known & set(table["file"]):
        raise DatasetError(f"{path}: names none of the archive's files; it is of another archive or folder")
    fixes: dict[str, dict[str, tuple[str, str]]] = {}
    for file, column, after, reason in table[["file", "column", "after", "reason"]].itertuples(index=False):
        fixes.setdefault(file, {})[column] = (after, reason)
    images: list[ArchiveImage] = []
    left_out = list(listing.left_out)
    for image in listing.images:
        own = fixes.get(image.source, {})
        if own.get("row", ("", ""))[0] == "left out":
            left_out.append((image.source, own["row"][1]))
            continue
        turned = own["turn"][0] == "yes" if "turn" in own else image.turned
        images.append(replace(image, turned=turned, split=own["split"][0] if "split" in own else image.split))
    note = f"{len(table)} decisions of {path.name} applied"
    return replace(listing, images=tuple(images), left_out=tuple(left_out), notes=(*listing.notes, note))
