"""What a report may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.merit.calls import HALF, Asked, threshold_asked
from ensemble_mammo.merit.fusion import Fusion
from ensemble_mammo.merit.inputs.columns import Columns
from ensemble_mammo.merit.intervals import RESAMPLES
from ensemble_mammo.records.manifest import Dataset

FEWEST_RESAMPLES = 40
"""With fewer, no resample lies beyond a limit of a 95 % interval."""

TABLES = ("latex", "markdown")
"""In which forms, beside CSV, tables can be written."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report may be told."""

    fusion: Fusion = field(default_factory=Fusion)
    "how views become breasts and subjects"
    resamples: int = RESAMPLES
    "bootstrap resamples of subjects; 0: no intervals"
    seed: int = 0
    "of the bootstrap, and of folds within the studies"
    allow_unlabelled: bool = False
    "leave exams without a true class out, with a note, instead of refusing them"
    remarks: tuple[str, ...] = ()
    "what else stands among the notes, such as what an audit found"
    columns: Columns | None = None
    "which column holds what in CSV files that are neither ours nor peers'"
    dataset: Dataset | None = None
    "whose columns make subgroups, and whose images stand beside the worst errors"
    groups: Path | None = None
    "CSV (subject_id, perhaps exam_id and view, then any columns) whose columns make subgroups"
    by: tuple[str, ...] = ()
    "the columns that make subgroups; empty: those that are known (manufacturer, device, age, implant, …)"
    readers: Path | None = None
    "CSV (subject_id, perhaps exam_id, then a column a reader) of what several readers said"
    validation: tuple[str, ...] = ()
    "prediction files of subjects outside the test: thresholds, temperature and conformal sets are fitted on them"
    validation_counts: str = ""
    "true classes of validation files without ids, as A=14,B=51,…; empty: from where the others come"
    validation_data: Dataset | None = None
    "the dataset whose labels the validation files have, where that is another one than the reported files'"
    threshold: str | float = HALF
    """of two classes: the score from which exams are called positive, as 0.3, or `recall=0.9` for one that is chosen on
    the validation files, a level its own; 0.5: the class that scores highest"""
    sensitivity: float = 0.9
    "the sensitivity at which specificity is stated, and which the third threshold aims at"
    specificity: float = 0.9
    "the specificity at which sensitivity is stated"
    coverage: float = 0.9
    "share of subjects whose conformal set shall hold the true class"
    plan_width: float = 0.0
    "wanted width of the 95 % intervals, for which the number of subjects is planned; 0: no plan"
    studies: bool = True
    "of fusion: subsets of views, rules, learned weights (nested folds: some seconds)"
    maps: Path | None = None
    "a folder that `explain --measure` wrote, whose table and maps the report shows"
    heatmaps: Path | None = None
    "a folder that `heatmap` wrote, whose boxes are held against the masks of the dataset's lesions"
    baseline: Path | None = None
    """a folder of predictions of a cheap method for the same exams, or its report.json, whose figures stand beside
    these; None: `baseline/` beside the predictions, where it is"""
    tables: tuple[str, ...] = ()
    "in which forms tables are written beside CSV: latex, markdown"
    hide_ids: bool = False
    "number the subjects of lists and pictures instead of naming them"

    def __post_init__(self) -> None:
        """Refuse values outside their range.

        Raises:
            PredictionError: which field, what was found, what was expected.
        """
        if self.resamples and self.resamples < FEWEST_RESAMPLES:
            raise PredictionError(
                f"resamples {self.resamples}: expected 0 (no intervals) or {FEWEST_RESAMPLES} and more, since "
                "fewer have no 2.5 % beyond a limit; 10000 are usual"
            )
        for name in ("sensitivity", "specificity", "coverage"):
            if not 0 < getattr(self, name) < 1:
                raise PredictionError(f"{name} {getattr(self, name):g}: expected a share between 0 and 1, such as 0.9")
        if not 0 <= self.plan_width < 1:
            raise PredictionError(f"plan width {self.plan_width:g}: expected a width between 0 and 1, such as 0.05")
        asked = self.asked
        if asked.recall is not None and not self.validation:
            raise PredictionError(
                f"--threshold recall={asked.recall:g}: no --validation; a threshold is chosen on predictions of "
                "subjects outside the test alone: give their files (such as those of the split val), or a number"
            )
        unknown = [name for name in self.tables if name not in TABLES]
        if unknown:
            raise PredictionError(f"tables {', '.join(unknown)}: expected {' or '.join(TABLES)}")

    @property
    def asked(self) -> Asked:
        """The threshold that was asked for.

        Raises:
            PredictionError: it is none.
        """
        try:
            return threshold_asked(self.threshold)
        except ValueError as error:
            raise PredictionError(f"--{error}") from error
