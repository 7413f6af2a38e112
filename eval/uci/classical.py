"""Classical models on tables of features: the Wisconsin diagnostic set, and the case tables of CBIS-DDSM.

python eval/uci/classical.py [--cbis FOLDER] > eval/reference/uci.csv

FOLDER: where the case description tables of CBIS-DDSM lie; without it, the Wisconsin set alone. One row a model, on
some rows and columns: accuracy, sensitivity (malignant), specificity and AUC, each as mean and standard deviation
(n - 1) over the outer folds, beside `most_frequent`, the accuracy of always saying the more frequent class.
Hyperparameters are chosen by AUC in inner folds. Folds of CBIS, outer and inner, are dealt by patient. `gain_auc`: AUC
less that of the same model, in the same folds, without the columns' last: edges (margins of a mass, distribution of
calcifications), or assessment.
"""

import argparse
import csv
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from ensemble_mammo.archives.cbis_tables import read_cases
from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.tables import read_text_table

SEED = 0
OUTER, OUTER_CBIS, INNER = 10, 5, 3
MODELS = {
    "logistic regression": (LogisticRegression(max_iter=2000), {"C": (0.01, 0.1, 1.0, 10.0)}),
    "SVM, linear": (LinearSVC(max_iter=20_000, random_state=SEED), {"C": (0.001, 0.01, 0.1, 1.0)}),
    "SVM, RBF": (SVC(), {"C": (1.0, 10.0), "gamma": (0.003,)}),
    "k nearest neighbours": (KNeighborsClassifier(), {"n_neighbors": (5, 11, 25, 51)}),
    "decision tree": (DecisionTreeClassifier(random_state=SEED), {"min_samples_leaf": (2, 5, 10, 20, 40)}),
    "gradient boosting": (
        HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, early_stopping=False, random_state=SEED),
        {"learning_rate": (0.05, 0.15)},
    ),
    "multilayer network": (
        MLPClassifier((16,), learning_rate_init=0.01, batch_size=64, max_iter=20, random_state=SEED),
        {"alpha": (0.01, 1.0)},
    ),
}
"""Name -> model, and what its inner folds choose from; all see standardised columns."""
FIGURES = ("accuracy", "sensitivity", "specificity", "auc")
DESCRIPTORS = {
    "shape": {"calc": "calc_type", "mass": "mass_shape"},
    "edges": {"calc": "calc_distribution", "mass": "mass_margins"},
}
COLUMNS = {
    "shape, density": ("density", "shape"),
    "shape, density, edges": ("density", "shape", "edges"),
    "shape, density, edges, assessment": ("density", "shape", "edges", "assessment"),
}
"""What is judged; each is compared with the one before it."""
LESIONS = {"masses": ("mass",), "calcifications": ("calc",), "masses and calcifications": ("calc", "mass")}


@dataclass(frozen=True)
class Cases:
    """Rows to judge: features `[N, F]`, malignant or not `[N]`, and the patients where one may have several rows."""

    features: np.ndarray
    malignant: np.ndarray
    patients: np.ndarray | None = None

    def folds(self, count: int) -> StratifiedKFold | StratifiedGroupKFold:
        kind = StratifiedKFold if self.patients is None else StratifiedGroupKFold
        return kind(count, shuffle=True, random_state=SEED)


def main(cbis: Path | None) -> None:
    try:
        lesions = None if cbis is None else read_lesions(cbis)
    except DatasetError as error:
        sys.exit(str(error))
    cells = wisconsin()
    rows = list(rows_of({"data": "Wisconsin diagnostic", "columns": "30 of cell nuclei"}, cells, judged(cells, OUTER)))
    rows += [] if lesions is None else cbis_rows(lesions)
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(sys.stdout, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def wisconsin() -> Cases:
    """The 569 aspirates that scikit-learn ships; its class 0 is the malignant one."""
    held = load_breast_cancer()
    return Cases(held.data, (held.target == list(held.target_names).index("malignant")).astype(int))


def read_lesions(folder: Path) -> pd.DataFrame:
    """The case tables as the project reads and checks them, with the descriptors apart (`shape`, `edges`)."""
    cases = read_cases(folder)
    paths = [folder] if folder.is_file() else [one for one in folder.rglob("*.csv") if one.name in set(cases["table"])]
    released = {path.name: read_text_table(path).rename(columns=lambda name: "_".join(name.split())) for path in paths}
    for name, column in DESCRIPTORS.items():
        found = []
        for table, row, kind in zip(cases["table"], cases["row"], cases["abnormality"], strict=True):
            if column[kind] not in released[table]:
                raise DatasetError(f"{table} row 1: column {column[kind]} missing; use the table as it was released")
            found.append(released[table][column[kind]].iloc[int(row) - 2].strip())  # row 1 is the header
        cases[name] = found
    return cases


def encoded(lesions: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Indicators `[N, F]`: one a word of a descriptor (several are joined by `-`), masses and calcifications each their
    own, and one a grade of density or assessment; what is not known has its own."""
    kinds, parts = lesions["abnormality"], []
    for name in names:
        cells = lesions[name].replace(["", "N/A", "0"] if name == "density" else ["", "N/A"], "unknown")
        if name in DESCRIPTORS:
            words = [
                [f"{word} of a {kind}" for word in cell.split("-")] for cell, kind in zip(cells, kinds, strict=True)
            ]
            cells = pd.Series(["|".join(row) for row in words], index=lesions.index)
        parts.append(cells.str.get_dummies("|").add_prefix(f"{name}: "))
    return pd.concat(parts, axis=1)


def cbis_rows(lesions: pd.DataFrame) -> Iterator[dict[str, object]]:
    """All lesions with every set of columns; then, kind by kind and without assessment, those that were called back."""
    back = lesions["pathology"] != "BENIGN_WITHOUT_CALLBACK"
    for note, kept, count in (("", back | True, 3), (", called back", back, 2)):
        for data, kinds in list(LESIONS.items())[:count]:
            chosen = lesions[kept & lesions["abnormality"].isin(kinds)]
            malignant, patients = (chosen["pathology"] == "MALIGNANT").to_numpy(int), chosen["patient_id"].to_numpy()
            before = None
            for columns in list(COLUMNS)[:count]:
                cases = Cases(encoded(chosen, COLUMNS[columns]).to_numpy(float), malignant, patients)
                found = judged(cases, OUTER_CBIS)
                yield from rows_of({"data": f"CBIS {data}{note}", "columns": columns}, cases, found, before)
                before = found


def rows_of(
    names: dict[str, str], cases: Cases, found: dict[str, pd.DataFrame], before: dict[str, pd.DataFrame] | None = None
) -> Iterator[dict[str, object]]:
    """The rows of the result: `found` are figures a fold, `before` those of the columns that they are compared with."""
    patients = "" if cases.patients is None else len(set(cases.patients))
    counts = {"rows": len(cases.malignant), "patients": patients, "malignant": int(cases.malignant.sum())}
    for model, table in found.items():
        row = names | {"model": model} | counts | {"folds": len(table)}
        row["most_frequent"] = f"{table['most_frequent'].mean():.4f}"
        columns = [table[name] for name in FIGURES]
        columns += [(table["auc"] - before[model]["auc"]).rename("gain_auc")] if before else []
        for column in columns:
            row |= {str(column.name): f"{column.mean():.4f}", f"{column.name}_sd": f"{column.std(ddof=1):.4f}"}
        yield row


def judged(cases: Cases, folds: int) -> dict[str, pd.DataFrame]:
    """Each model's figures, and the majority's accuracy: a row an outer fold. Folds depend on rows, not on columns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in MODELS}
    x, y, patients = cases.features, cases.malignant, cases.patients
    for learn, test in cases.folds(folds).split(x, y, patients):
        majority = DummyClassifier(strategy="most_frequent").fit(x[learn], y[learn]).score(x[test], y[test])
        groups = {} if patients is None else {"groups": patients[learn]}
        for name, (model, grid) in MODELS.items():
            search = GridSearchCV(
                Pipeline([("scaled", StandardScaler()), ("model", clone(model))]),
                {f"model__{key}": values for key, values in grid.items()},
                scoring="roc_auc",
                cv=cases.folds(INNER),
            )
            with warnings.catch_warnings():  # the multilayer network learns for a fixed number of epochs
                warnings.simplefilter("ignore", ConvergenceWarning)
                search.fit(x[learn], y[learn], **groups)
            found[name].append(figures(search, x[test], y[test]) | {"most_frequent": majority})
    return {name: pd.DataFrame(rows) for name, rows in found.items()}


def figures(model: GridSearchCV, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    said = model.predict(x)
    scores = model.decision_function(x) if hasattr(model, "decision_function") else model.predict_proba(x)[:, 1]
    found = (
        accuracy_score(y, said),
        recall_score(y, said),
        recall_score(y, said, pos_label=0),
        roc_auc_score(y, scores),
    )
    return {name: float(value) for name, value in zip(FIGURES, found, strict=True)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cbis", type=Path, metavar="FOLDER", help="the case description tables of CBIS-DDSM")
    main(parser.parse_args().cbis)
