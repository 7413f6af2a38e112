"""What the measures of all maps come to: measures.csv, and measures.json with means and intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble_mammo.merit.intervals import Interval, with_width
from ensemble_mammo.merit.localisation import mean_over_images
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.subject import View

FORMAT = 1
"""Of measures.json."""

DEFINITIONS = {
    "pointing": "1 where the highest point of the map lies in a lesion or within the tolerance of one, else 0 "
    "(Zhang et al., IJCV 126, 1084, 2018)",
    "pointing_random": "the chance that a point drawn at random from the breast does",
    "energy_inside": "share of the map's sum that lies in the lesions (Wang et al., CVPR Workshops 2020)",
    "energy_gain": "energy_inside over the lesions' share of the breast's area; 1 is what an even map has",
    "iou_best": "highest intersection over union with the lesions, over thresholds 0.1 to 0.9 of the map's highest",
    "iou_mean": "mean of it over these thresholds",
    "coverage": "share of the lesions' area where the map has half of its highest value or more",
    "energy_breast": "share of the map's sum that lies in the breast",
    "deletion": "area under the class's score while the highest of the map is removed first; low is good "
    "(Petsiuk et al., BMVC 2018)",
    "deletion_random": "the same in random order, mean of several",
    "deletion_gain": "deletion_random - deletion; above 0: the map finds what the score hangs on",
    "insertion": "area under the class's score while the highest of the map is brought back first; high is good",
    "insertion_random": "the same in random order, mean of several",
    "insertion_gain": "insertion - insertion_random; above 0: the map finds what the score hangs on",
    "spearman": "rank correlation of the map with that of the network whose weights were shuffled; near 0 is good "
    "(Adebayo et al., NeurIPS 2018)",
    "ssim": "structural similarity of the two, the whole map as one window (Wang et al., IEEE TIP 13, 600, 2004)",
}
"""Measure -> what it is."""

MEASURES = tuple(name for name in DEFINITIONS if name not in ("spearman", "ssim"))

_LESIONS_MATTER = frozenset({"pathology", "birads", "abnormality", "abnormality5"})
"tasks whose evidence lies in lesions"
_LIKE = 0.5
"a rank correlation from which on a map counts as hardly changed"


def write_measures(
    out: Path, rows: Sequence[Mapping[str, Any]], likeness: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """Write the row of each image, and the summary.

    Args:
        out: the folder of the maps.
        rows: a row an image, as measures.csv has them.
        likeness: of each image with slow measures and each step of the shuffling, spearman and ssim.
        about: method, task, class, seed, resamples and other settings.
    """
    table = pd.DataFrame(list(rows))
    write_text(out / "measures.csv", table.to_csv(index=False, lineterminator="\n"))
    summary = _summary(table, pd.DataFrame(list(likeness)), about)
    write_text(out / "measures.json", json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _summary(table: pd.DataFrame, likeness: pd.DataFrame, about: Mapping[str, Any]) -> dict[str, Any]:
    table = table.assign(
        deletion_gain=table["deletion_random"] - table["deletion"],
        insertion_gain=table["insertion"] - table["insertion_random"],
    )
    views = {view.value: table[table["view"] == view.value] for view in View}
    parts = {"all": table} | {view: own for view, own in views.items() if len(own)}
    pointed = table[table["pointing"].notna()]
    sanity = {
        str(step): _means(own, ("spearman", "ssim"), about)
        for step, own in (likeness.groupby("shuffled", sort=False) if len(likeness) else ())
    }
    return {
        "format": FORMAT,
        "settings": dict(about),
        "images": len(table),
        "subjects": int(table["subject_id"].nunique()),
        "images_with_lesion": int((table["mask"] == "lesion").sum()),
        "images_with_slow_measures": int(likeness[["subject_id", "exam_id", "view"]].shape[0] / max(1, len(sanity)))
        if len(likeness)
        else 0,
        "pointing": {
            "hits": float(pointed["pointing"].sum()),
            "images": len(pointed),
            "expected_at_random": float(pointed["pointing_random"].sum()),
        },
        "means": {name: _means(own, MEASURES, about) for name, own in parts.items()},
        "sanity": sanity,
        "notes": _notes(table, sanity, about),
        "definitions": DEFINITIONS,
    }


def _means(table: pd.DataFrame, names: Sequence[str], about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each measure's mean over images with its interval over subjects, and of how many images it is."""
    columns = {name: table[name].to_numpy(dtype=np.float64) for name in names}
    means = mean_over_images(table["subject_id"].tolist(), columns, about["resamples"], about["seed"])
    means = {name: with_width(one, None) for name, one in means.items()}  # one image has no interval
    return {name: _plain(one) | {"images": int(np.isfinite(columns[name]).sum())} for name, one in means.items()}


def _plain(one: Interval) -> dict[str, float | None]:
    values = {"value": one.value, "low": one.low, "high": one.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _notes(table: pd.DataFrame, sanity: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    notes = list(about.get("remarks", ()))
    lesions = int((table["mask"] == "lesion").sum())
    if not lesions:
        notes.append("no image has a lesion with a mask: how maps lie over lesions could not be measured")
    elif about["task"] not in _LESIONS_MATTER:
        notes.append(
            f"the networks tell {about['task']}, which is not a matter of lesions: maps need not point at them"
        )
    notes += [
        f"{text} (images: {count})"
        for text, count in table["note"].str.split("; ").explode().value_counts().items()
        if text
    ]
    outside = table["energy_breast"] < 0.5
    if outside.any():
        notes.append(f"more than half of the map lies outside the breast (images: {int(outside.sum())})")
    last = sanity.get("all layers", {}).get("spearman", {}).get("value")
    if last is not None and last > _LIKE:
        notes.append(
            f"with all weights shuffled the maps stay alike (rank correlation {last:.2f}): they show the image more "
            "than what the networks learnt"
        )
    if about["classless"]:
        notes.append(f"{about['method']} gives the same map whatever class is asked for")
    return list(dict.fromkeys(notes))
