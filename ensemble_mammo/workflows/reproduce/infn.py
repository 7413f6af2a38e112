"""The published prediction files of the INFN density ensemble: figures of merit at all seven levels."""

from __future__ import annotations

from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.inputs.truth import truth_from_counts
from ensemble_mammo.merit.sections import Cell, Table
from ensemble_mammo.records.predictions import plain_file
from ensemble_mammo.records.subject import View, views_of
from ensemble_mammo.records.task import TASKS
from ensemble_mammo.stages.report import ReportOptions, report
from ensemble_mammo.workflows.reproduce.result import COLUMNS, Reproduction, compared, facts_of

_FIGURES = ("accuracy", "recall", "precision")


def infn(folder: Path) -> Reproduction:
    """Judge the prediction files in a folder and set each figure beside the published one.

    Args:
        folder: holds `predictions_ccr.txt`, `_ccl`, `_mlor`, `_mlol`, or some of them.

    Raises:
        PredictionError: none of the files is there, or they have other rows than the published ones.
    """
    facts = facts_of("infn")
    present = [view for view in View if plain_file(folder, view).is_file()]
    if not present:
        raise PredictionError(
            f"{folder}: none of {', '.join(plain_file(folder, view).name for view in View)} is there; give the folder "
            "of the published prediction files"
        )
    truth = truth_from_counts(facts["true_counts"], TASKS["density"])
    options = ReportOptions(resamples=0, studies=False)
    found = report([plain_file(folder, view) for view in present], truth, options=options)
    rows: list[list[Cell]] = []
    off = 0
    for published in facts["figures"]:
        level = published["level"]
        lacking = [plain_file(folder, view).name for view in views_of(level) if view not in present]
        for name in _FIGURES:
            value = None if lacking else found.figures[level][name].value
            met = value is not None and abs(value - published[name]) <= facts["tolerance"]
            why = f"{', '.join(lacking)} not in the folder" if lacking else "met" if met else "another file or order"
            off += value is not None and not met
            rows.append(compared(f"{level}, {_title(name)}", published[name], value, why))
    obtained = sum(row[2] is not None for row in rows)
    verdict = f"{obtained - off} of the {obtained} figures obtained are the published ones to {facts['tolerance']:g}"
    notes = (verdict, *found.notes)
    table = Table("figures", "Figures of merit", COLUMNS, rows, "Published figures have six digits.")
    return Reproduction("infn", facts["title"], facts["source"], (table,), notes)


def _title(name: str) -> str:
    return name if name == "accuracy" else f"macro {name}"
