"""The section on maps: do they point at lesions, do scores hang on what they show, do they show what was learnt."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.intervals import Interval
from ensemble_mammo.merit.sections import Picture, Section, Table
from ensemble_mammo.records.tables import read_text_table
from ensemble_mammo.stages.report.study import Study
from ensemble_mammo.stages.report.wording import figure, number

_FORMAT = 1
_PICTURES = 2
"pictures of the best maps, and as many of the worst"
_HEIGHT = 420
"rows of a picture"
_OVERLAP = {
    "pointing": "Points at a lesion",
    "pointing_random": "A random point would",
    "energy_inside": "Energy in lesions",
    "energy_gain": "Gain over an even map",
    "iou_best": "Best IoU",
    "iou_mean": "Mean IoU",
    "coverage": "Lesion covered",
}
_BREAST = {"energy_breast": "Energy in the breast"}
_FAITHFUL = {
    "deletion": "Deletion",
    "deletion_random": "Deletion, random",
    "deletion_gain": "Deletion gain",
    "insertion": "Insertion",
    "insertion_random": "Insertion, random",
    "insertion_gain": "Insertion gain",
}


def section(study: Study) -> Section | None:
    """What `explain --measure` measured; None where the report was not given its folder.

    Raises:
        PredictionError: the folder holds no measures, or damaged ones.
    """
    folder = study.options.maps
    if folder is None:
        return None
    found = _read(folder)
    try:
        return Section(
            "maps",
            "Do the maps show what matters?",
            _lead(found),
            _tables(found),
            pictures=_pictures(folder, study.options.hide_ids),
            notes=(*_other_subjects(folder, study), *found["notes"]),
            method=_method(found),
        )
    except (KeyError, TypeError) as error:
        raise PredictionError(f"{folder / 'measures.json'}: {error} missing or damaged; {_AGAIN}") from error


def _other_subjects(folder: Path, study: Study) -> tuple[str, ...]:
    """A note where the maps are of subjects who are not judged here."""
    try:
        subjects = set(pd.read_csv(folder / "measures.csv", dtype=str, usecols=["subject_id"])["subject_id"])
    except (OSError, ValueError) as error:
        raise PredictionError(f"{folder / 'measures.csv'}: cannot be read: {error}; {_AGAIN}") from error
    others = subjects - set(study.top.rows.subject_ids)
    if not others:
        return ()
    return (f"{len(others)} of the {len(subjects)} subjects whose maps were measured are not among those judged here",)


_AGAIN = "make it with: ensemble-mammo explain --data dataset --models runs --measure"


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "measures.json"
    if not path.is_file():
        raise PredictionError(f"{folder}: holds no measures.json, so its maps were not measured; {_AGAIN}")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = found.get("format")
    except (ValueError, AttributeError) as error:
        raise PredictionError(f"{path}: not a JSON object: {error}; {_AGAIN}") from error
    if known != _FORMAT:
        raise PredictionError(f"{path}: its format is {known!r}, expected {_FORMAT}; {_AGAIN}")
    return found


def _lead(found: Mapping[str, Any]) -> str:
    """The answer in at most three sentences."""
    said = []
    pointing = found["pointing"]
    if pointing["images"]:
        said.append(
            f"Maps point at a lesion in {pointing['hits']:.0f} of {pointing['images']} images; random points would in "
            f"{pointing['expected_at_random']:.1f}."
        )
    else:
        said.append(f"No lesion masks were there to compare the maps of {found['images']} images with.")
    gain = _cell(found["means"]["all"]["deletion_gain"])
    if math.isfinite(gain.value):
        verdict = "lowers the score more" if gain.low > 0 else "does not clearly lower the score more"
        verdict = "lowers the score less" if gain.high < 0 else verdict
        said.append(f"Removing what they mark {verdict} than removing random parts (difference {figure(gain, 3)}).")
    last = found["sanity"].get("all layers")
    if last and last["spearman"]["value"] is not None:
        rank = last["spearman"]["value"]
        verdict = "change" if abs(rank) < 0.5 else "hardly change"
        said.append(f"They {verdict} when the networks' weights are shuffled (rank correlation {number(rank)}).")
    return " ".join(said)


def _tables(found: Mapping[str, Any]) -> tuple[Table, ...]:
    tables = []
    means = found["means"]
    if found["images_with_lesion"]:
        caption = (
            f"Means over images with a lesion's mask, 95 % intervals over subjects. Tolerance of pointing "
            f"{found['settings']['tolerance_px']:g} pixels of the prepared image."
        )
        tables.append(_by_view("maps-lesions", "Maps and lesions", means, _OVERLAP, "pointing", caption))
    caption = "Areas under curves of the class's score, 0 to 1. Gains above 0: better than random."
    if found["images_with_slow_measures"]:
        title = "What the scores hang on"
        tables.append(_by_view("maps-faithfulness", title, means, _FAITHFUL, "deletion", caption))
    title = "Maps and breast"
    tables.append(_by_view("maps-breast", title, means, _BREAST, "energy_breast", "Share of the map's sum, 0 to 1."))
    if found["sanity"]:
        rows = [
            [step, own["spearman"]["images"], _cell(own["spearman"]), _cell(own["ssim"])]
            for step, own in found["sanity"].items()
        ]
        columns = {
            "shuffled": "Shuffled",
            "images": "Images",
            "spearman": "Rank correlation",
            "ssim": "Structural similarity",
        }
        caption = "Likeness to the trained network's map. It should fall towards 0; undefined: the other map is even."
        tables.append(Table("maps-sanity", "Maps of networks with shuffled weights", columns, rows, caption))
    return tuple(tables)


def _by_view(
    name: str, title: str, means: Mapping[str, Any], measures: Mapping[str, str], counted: str, caption: str
) -> Table:
    columns = {"view": "View", "images": "Images", **measures}
    rows = [
        ["all views" if view == "all" else view, own[counted]["images"], *(_cell(own[key]) for key in measures)]
        for view, own in means.items()
    ]
    return Table(name, title, columns, rows, caption)


def _cell(one: Mapping[str, Any]) -> Interval:
    return Interval(*(math.nan if one[name] is None else float(one[name]) for name in ("value", "low", "high")))


def _pictures(folder: Path, hide_ids: bool) -> tuple[Picture, ...]:
    """The maps with most and with least of their energy in lesions, lesions outlined."""
    if not (folder / "measures.csv").is_file():
        return ()
    table = read_text_table(folder / "measures.csv")
    table = table.assign(energy=pd.to_numeric(table["energy_inside"], errors="coerce"))
    table = table[table["energy"].notna()].sort_values("energy", ascending=False, kind="stable")
    worst = table.tail(min(_PICTURES, max(0, len(table) - _PICTURES)))
    made = []
    for said, own in (("most", table.head(_PICTURES)), ("least", worst)):
        for row in own.to_dict("records"):
            raw = folder / row["map"]
            path = raw.with_name(f"{raw.stem}_lesion.png")
            if not path.is_file():
                continue
            who = "" if hide_ids else f"{row['subject_id']} {row['exam_id']} "
            caption = f"{row['energy']:.0%} of the map in the outlined lesions, among the {said}; class {row['class']}"
            made.append(Picture(f"{who}{row['view']}", _small(path), caption))
    return tuple(made)


def _small(path: Path) -> bytes:
    """A picture as a small JPEG."""
    with Image.open(path) as image:
        shown = image.convert("RGB")
    shown.thumbnail((_HEIGHT, _HEIGHT), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    shown.save(held, format="JPEG", quality=85)
    return held.getvalue()


def _method(found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    text = (
        f"Method {settings['method']}, class: {settings['class']}; {found['images']} images of {found['subjects']} "
        f"subjects, {found['images_with_lesion']} with a lesion's mask. "
    )
    if found["images_with_slow_measures"]:
        text += (
            f"Deletion, insertion and shuffling on {found['images_with_slow_measures']} images: {settings['steps']} "
            f"steps, {settings['random_orders']} random orders of the same squares within the breast, deleted pixels "
            f"replaced by {'the blurred image' if settings['deletion_fill'] == 'blur' else 'black'}. "
        )
    text += f"Intervals: {settings['resamples']} resamples of subjects, seed {settings['seed']}. "
    return text + " ".join(f"{name}: {meaning}." for name, meaning in found["definitions"].items())
