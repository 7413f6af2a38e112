"""What each figure of merit is called, and how it is defined: one table for pages, tables and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Definition:
    """The name of a figure for people, and what it is."""

    title: str
    "as tables head it"
    meaning: str
    "one sentence, with the source where one is needed"


_ACCURACY = "share of the cases that are called their true class"
_POSITIVE = "the positive classes (of density C and D; of pathology malignant) against the others, as cases are called"

FIGURES: Mapping[str, Definition] = MappingProxyType(
    {
        "accuracy": Definition("accuracy", _ACCURACY),
        "balanced_accuracy": Definition(
            "balanced accuracy", "another name of the macro recall: each class counts the same, however rare"
        ),
        "recall": Definition("macro recall", "mean over the classes of the share of their cases that are found"),
        "precision": Definition(
            "macro precision", "mean over the classes of the share of the cases called so that are right"
        ),
        "f1": Definition("macro F1", "mean over the classes of the harmonic mean of recall and precision"),
        "kappa": Definition(
            "kappa, quadratic",
            "agreement beyond chance; a miss counts by its distance in classes, squared (Cohen, Psychol Bull 1968)",
        ),
        "kappa_linear": Definition(
            "kappa, linear", "agreement beyond chance; a miss counts by its distance in classes (Cohen 1968)"
        ),
        "dense": Definition("dense or not", f"accuracy of {_POSITIVE}"),
        "dense_sensitivity": Definition("dense, sensitivity", "share of the dense (C, D) that are called C or D"),
        "dense_specificity": Definition("dense, specificity", "share of the not dense (A, B) that are called A or B"),
        "positive": Definition("positive or not", f"accuracy of {_POSITIVE}"),
        "positive_sensitivity": Definition(
            "sensitivity", "share of the truly positive cases that are called a positive class, be it another one"
        ),
        "positive_specificity": Definition(
            "specificity", "share of the truly negative cases that are called a negative class"
        ),
        "auc": Definition(
            "AUC",
            "area under the ROC curve of the summed scores of the positive classes: how often a positive case scores "
            "above a negative one, ties counting half",
        ),
        "auc_macro": Definition("macro AUC", "mean over the classes of the AUC of each class against the rest"),
    }
)
"""Every figure that is computed at every level, in the order of tables; those of one class are called `recall_A`."""

_OF_A_CLASS = ("recall", "precision", "f1", "auc")
_WRITTEN = {"f1": "F1", "auc": "AUC"}


def title_of(name: str) -> str:
    """How a table heads a figure; `recall_A` is `recall of A`."""
    if name in FIGURES:
        return FIGURES[name].title
    kind, _, of = name.partition("_")
    if kind in _OF_A_CLASS and of:
        return f"{kind_title(kind)} of {of}"
    return name.replace("_", " ")


def kind_title(kind: str) -> str:
    """What a figure of one class is called: `recall`, `F1`, `AUC`."""
    return _WRITTEN.get(kind, kind)
