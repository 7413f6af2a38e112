"""What `heatmap` writes of each image, and the tables of all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.overlay import draw_boxes, overlay
from ensemble_mammo.imaging.prepared import resized
from ensemble_mammo.lesions.heatmap.found import Found
from ensemble_mammo.lesions.heatmap.inputs import Look
from ensemble_mammo.records.files import write_text, written_beside

LESIONS = "lesions.json"
FEATURES = "features.csv"
BOXES = "boxes.json"
OVERLAY_ROWS = 2048
"""A picture of a map has so many rows at most; the map itself has the original's."""
_IDS = ("subject_id", "exam_id", "view", "image_id")


def write_map(out: Path, look: Look, found: Found) -> dict[str, Any]:
    """Write the map of one image and a picture of it.

    Returns:
        Its entry in lesions.json; undefined figures are nan yet.
    """
    wanted = look.wanted
    raw, drawn = f"{wanted.stem}.npy", f"{wanted.stem}_overlay.png"
    with written_beside(out / raw) as beside:
        np.save(beside, found.map_)
    with written_beside(out / drawn) as beside:
        Image.fromarray(_picture(look, found)).save(beside, format="PNG", compress_level=1)
    return {
        "subject_id": wanted.key[0],
        "exam_id": wanted.key[1],
        "view": wanted.view.value,
        "image_id": wanted.image_id,
        "height": found.map_.shape[0],
        "width": found.map_.shape[1],
        "raw": raw,
        "overlay": drawn,
        "boxes": [box.as_json() for box in found.boxes],
        "maximum": found.maximum,
        "scores": found.scores,
        **found.facts,
    }


def _picture(look: Look, found: Found) -> np.ndarray:
    """The map over the image, with the boxes and their scores."""
    height, width = found.map_.shape
    rows = min(height, OVERLAY_ROWS)
    columns = max(1, round(width * rows / height))
    original, map_ = look.original, found.map_
    if rows < height:
        original, map_ = resized(original, rows, columns), resized(map_, rows, columns)
    down, across = rows / height, columns / width
    drawn = [
        Box(round(b.top * down), round(b.left * across), round(b.height * down), round(b.width * across))
        for b in found.boxes
    ]
    return draw_boxes(overlay(original, map_), drawn, [f"{box.score:.2f}" for box in found.boxes])


def write_lesions(out: Path, document: Mapping[str, Any]) -> None:
    """Write lesions.json; what is undefined is null there."""
    write_text(out / LESIONS, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_features(out: Path, entries: Sequence[Mapping[str, Any]], labels: pd.DataFrame | None) -> None:
    """Write features.csv: ids, the dataset's labels, then the region features.

    Args:
        out: the folder.
        entries: of each image: ids and `features`.
        labels: a row an image with image_id and a column a task; None for files as they came.
    """
    table = pd.DataFrame([{name: entry[name] for name in _IDS} | entry["features"] for entry in entries])
    known = pd.DataFrame() if labels is None else labels.set_index("image_id")
    for place, name in enumerate(known.columns):
        table.insert(len(_IDS) + place, name, known[name].reindex(table["image_id"]).to_numpy())
    write_text(out / FEATURES, table.to_csv(index=False, lineterminator="\n"))


def write_boxes(out: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write boxes.json, which reader pages show: of the first image of each exam's view, as they do."""
    first: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for entry in entries:
        first.setdefault((entry["subject_id"], entry["exam_id"], entry["view"]), entry)
    boxes = [
        {name: entry[name] for name in ("subject_id", "exam_id", "view", "height", "width")}
        | {
            "x0": box["left"],
            "y0": box["top"],
            "x1": box["left"] + box["width"],
            "y1": box["top"] + box["height"],
            "score": box["score"],
            "label": box["class"],
        }
        for entry in first.values()
        for box in entry["boxes"]
    ]
    write_text(out / BOXES, json.dumps(boxes, indent=2, ensure_ascii=False) + "\n")


def defined(value: Any) -> Any:
    """The value with null for every number that is undefined, however deep."""
    if isinstance(value, Mapping):
        return {name: defined(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [defined(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
