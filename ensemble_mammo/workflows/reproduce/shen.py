"""Lesion patches and whole images after Shen et al.: divisions, numbers of patches, and the published tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ensemble_mammo.archives.cbis_tables import MAMMOGRAM, overlapping_patients, read_cases
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.records.splits import SPLITS, deal
from ensemble_mammo.workflows.reproduce.result import COLUMNS, Reproduction, compared, facts_of, result_rows

PATCHES_A_LESION = {"S": 2, "S10": 20}
"""S: the lesion's centre and one of background; S10: ten around the lesion and ten of background."""

_DIVISIONS = {
    "pooled 85:15, then 90:10": "patients of both parts pooled; 15 % test, then 10 % of the rest for validation",
    "official, 20 % validation": "the release's training and test; 20 % of the training patients for validation",
}


def shen(tables: Path | None, obtained: Mapping[str, Path], seed: int = 0) -> Reproduction:
    """Set the published counts and results beside ours.

    Args:
        tables: folder of CBIS-DDSM's four case description tables; None: divisions and patches are left out.
        obtained: id of a published result -> report.json of a run of ours.
        seed: of the divisions.

    Raises:
        DatasetError: the folder holds no such table.
        PredictionError: an unknown id, or a file that is no report.
    """
    facts = facts_of("shen")
    made: list[Table] = []
    notes: list[str] = []
    if tables is None:
        notes.append("no tables of CBIS-DDSM given: divisions and numbers of patches are left out")
    else:
        cases = read_cases(tables)
        made += [_counts(cases, facts["counts"]), _divisions(cases, seed)]
        torn = overlapping_patients(cases)
        if torn:
            notes.append(
                f"{len(torn)} patients stand in both training and test of the release: kept in test alone here"
            )
        if len(names := sorted(cases["table"].unique())) < 4:
            notes.append(f"{len(names)} of the four tables were found ({', '.join(names)}): counts are of these alone")
    made.append(Table("results", "Results", COLUMNS, result_rows(facts["results"], obtained)))
    return Reproduction("shen", facts["title"], facts["source"], tuple(made), tuple(notes))


def _counts(cases: pd.DataFrame, published: list[dict[str, object]]) -> Table:
    ours = {
        "images": len(cases.drop_duplicates([*MAMMOGRAM, "abnormality"])),
        "mammograms": len(cases.drop_duplicates([*MAMMOGRAM])),
        "patients": cases["patient_id"].nunique(),
    }
    rows: list[list[Cell]] = []
    for one in published:
        value = float(str(one["published"])) if "published" in one else None
        found = float(ours[str(one["id"])])
        rows.append(compared(str(one["what"]), value, found, "" if value == found else str(one.get("why", ""))))
    return Table("counts", "Data", COLUMNS, rows)


def _divisions(cases: pd.DataFrame, seed: int) -> Table:
    """Patients, images and lesions of each split, and how many patches the sets would hold."""
    rows: list[list[Cell]] = []
    for name, meaning in _DIVISIONS.items():
        split_of = _pooled(cases, seed) if name.startswith("pooled") else _official(cases, seed)
        own = cases.assign(own=cases["patient_id"].map(split_of))
        for split in SPLITS:
            part = own[own["own"] == split]
            lesions = len(part)
            counts: list[Cell] = [part["patient_id"].nunique(), len(part.drop_duplicates([*MAMMOGRAM])), lesions]
            malignant = float((part["pathology"] == "MALIGNANT").mean()) if lesions else None
            rows.append([name, split, *counts, malignant, *(n * lesions for n in PATCHES_A_LESION.values()), meaning])
    columns = {
        "division": "division",
        "split": "split",
        "patients": "patients",
        "images": "images",
        "lesions": "lesions",
        "malignant": "share malignant",
        **{name.lower(): f"patches {name}" for name in PATCHES_A_LESION},
        "meaning": "how",
    }
    caption = (
        "By patient, stratified by pathology. Patches as the sets are described, two (S) or twenty (S10) a lesion, if "
        "none is refused for want of room or overlap; the published numbers of patches are not stated."
    )
    return Table("divisions", "Divisions and patches", columns, rows, caption)


def _labels(cases: pd.DataFrame) -> dict[str, str]:
    malignant = cases.assign(own=cases["pathology"] == "MALIGNANT").groupby("patient_id")["own"].any()
    return {str(patient): "malignant" if own else "benign" for patient, own in malignant.items()}


def _pooled(cases: pd.DataFrame, seed: int) -> dict[str, str]:
    parts = deal(_labels(cases), (0.85 * 0.9, 0.85 * 0.1, 0.15), seed)
    return {patient: SPLITS[part] for patient, part in parts.items()}


def _official(cases: pd.DataFrame, seed: int) -> dict[str, str]:
    test = set(cases.loc[cases["split"] == "test", "patient_id"])
    learning = {patient: label for patient, label in _labels(cases).items() if patient not in test}
    parts = deal(learning, (0.8, 0.2), seed)
    return dict.fromkeys(test, "test") | {patient: SPLITS[part] for patient, part in parts.items()}
