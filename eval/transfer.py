"""What networks of one dataset are worth on another, and how much of the loss a recalibration there takes back.

python eval/transfer.py NAME=PREDICTIONS=DATASET … > eval/reference/NAME.csv

PREDICTIONS: a folder that `predict --data DATASET` wrote. One row a name, at subject level: exams, accuracy, quadratic
kappa, macro recall, dense or not, with 95 % limits (bootstrap over subjects); bias: mean of the predicted class less
the true one, in classes; `refitted_…`: the same after a logistic regression from the log scores to the class, fitted on
four fifths of that dataset's subjects and judged on the fifth (what a few labelled exams of one's own would give).
"""

import csv
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ensemble_mammo.merit.figures import UndefinedFigureWarning
from ensemble_mammo.merit.inputs.truth import UNKNOWN, truth_from_dataset
from ensemble_mammo.merit.intervals import Cases, intervals
from ensemble_mammo.records.manifest import read_dataset
from ensemble_mammo.records.predictions import read_predictions
from ensemble_mammo.records.task import TASKS

FIGURES = ("accuracy", "kappa", "recall", "positive")
FOLDS = 5


def main(arguments: list[str]) -> None:
    warnings.simplefilter("ignore", UndefinedFigureWarning)
    rows = [row_of(*argument.split("=", 2)) for argument in arguments]
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(sys.stdout, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def row_of(name: str, predictions: str, folder: str) -> dict[str, str]:
    task = TASKS["density"]
    table = read_predictions(Path(predictions) / "subject.csv", "subject", task.classes)
    true = truth_from_dataset(read_dataset(Path(folder)), task).of(table)
    known = true != UNKNOWN
    true, scores = true[known], table.scores[known]
    subjects = [subject for subject, one in zip(table.subject_ids, known, strict=True) if one]
    row = {"name": name, "exams": str(len(true)), "subjects": str(len(set(subjects)))}
    row["bias"] = f"{float((scores.argmax(1) - true).mean()):.3f}"
    for prefix, judged in (("", scores), ("refitted_", refitted(scores, true, subjects))):
        if judged is None:
            continue
        found = intervals(Cases(true, judged, subjects, (2, 3)))
        row |= {f"{prefix}{figure}": str(found[figure]) for figure in FIGURES}
    return row


def refitted(scores: np.ndarray, true: np.ndarray, subjects: list[str]) -> np.ndarray | None:
    """Scores of a logistic regression on log scores, each exam by a fit without its subject; None for few exams."""
    if len(set(subjects)) < FOLDS * 10:
        return None
    features, result = np.log(np.clip(scores, 1e-6, 1)), np.zeros_like(scores)
    for learn, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(features, true, subjects):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)).fit(
            features[learn], true[learn]
        )
        result[np.ix_(test, model.classes_)] = model.predict_proba(features[test])
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
