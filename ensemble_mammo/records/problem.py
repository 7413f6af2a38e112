"""What an audit finds: problems, each of a known kind and gravity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    """How grave a problem is; an error makes the audit fail."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class ProblemKind:
    """One kind of problem."""

    severity: Severity
    "unless the place where it is found says otherwise"
    title: str
    "a few words"
    advice: str
    "what to do"


_I, _W, _E = Severity.INFO, Severity.WARNING, Severity.ERROR

# fmt: off
PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType({
    "unreadable": ProblemKind(_E, "cannot be read", "fetch the file again; prepare lists it and goes on"),
    "archive": ProblemKind(_E, "the archive's tables or folders do not fit", "mend what the text names"),
    "inverted": ProblemKind(_E, "light and dark are exchanged",
                            "prepare with --polarity auto, or with the manifest that --fix writes"),
    "monochrome1": ProblemKind(_I, "MONOCHROME1", "nothing: it is turned on reading"),
    "no-window": ProblemKind(_I, "no window and no VOI LUT", "nothing, if all bits stored are in use; else see --voi"),
    "windows": ProblemKind(_I, "several windows or VOI LUTs", "the first is used; choose another with --window"),
    "bits-unused": ProblemKind(_W, "fewer bits used than stored",
                               "pictures: give --bits-used; DICOM: --voi window or min-max, else it stays dark"),
    "for-processing": ProblemKind(_W, "FOR PROCESSING (raw detector values)",
                                  "use the FOR PRESENTATION image of the same view, or train on raw images alone"),
    "presentations": ProblemKind(_W, "raw and presentation images mixed", "keep one of the two kinds"),
    "conflict": ProblemKind(_E, "header and name contradict each other on side or view",
                            "say which is right in a CSV (file, view) with --views"),
    "side-by-pixels": ProblemKind(_W, "the chest wall stands on the side of the other breast",
                                  "look at it: a wrong side, or an image turned over"),
    "view-by-pixels": ProblemKind(_W, "the pixels look like the other projection",
                                  "look at it: CC and MLO may be exchanged"),
    "no-subject": ProblemKind(_I, "whose image it is is not known",
                              "name subjects in a manifest, or with --kind dicom --labels --file-column"),
    "mask": ProblemKind(_E, "a lesion's mask is missing or does not fit", "prepare the dataset again"),
    "no-view": ProblemKind(_I, "view or side not known", "say it in a CSV (file, view) with --views"),
    "ml-view": ProblemKind(_W, "ML that may be an MLO", "look at it; state the view in a CSV with --views"),
    "other-view": ProblemKind(_I, "a view that is neither CC nor MLO", "nothing: prepare leaves it out"),
    "special-view": ProblemKind(_W, "spot, magnified or otherwise special view", "leave it out of standard views"),
    "implant": ProblemKind(_I, "implant", "report figures with and without these subjects"),
    "burned-in": ProblemKind(_I, "BurnedInAnnotation is YES", "keep --outside black; look before sharing"),
    "text-inside": ProblemKind(_W, "writing burned in inside the breast", "look at it; leave it out"),
    "background": ProblemKind(_W, "background is not black", "keep --outside black, or --trim borders"),
    "little-breast": ProblemKind(_W, "almost no breast found", "look at it; leave it out if there is none"),
    "duplicate": ProblemKind(_W, "the same pixels twice", "keep one of them"),
    "duplicate-subject": ProblemKind(_E, "the same pixels under two subjects", "find out whose it is; --fix drops all"),
    "duplicate-conflict": ProblemKind(_E, "the same pixels stated as two views or classes",
                                      "find out which is right; --fix drops all"),
    "near-duplicate": ProblemKind(_W, "nearly the same picture twice", "keep one of them"),
    "near-duplicate-subject": ProblemKind(_W, "nearly the same picture under two subjects",
                                          "find out whose image it is; keep both in one split"),
    "class-empty": ProblemKind(_W, "a class without subjects", "add subjects, or name another task with --task"),
    "class-missing": ProblemKind(_W, "a split without a class",
                                 "add subjects, or divide again with other shares or --seed"),
    "class-single": ProblemKind(_W, "a class with one subject", "add subjects: one cannot be in training and test"),
    "size": ProblemKind(_I, "image size stands out", "look at it: a spot view, a cut-out or another scanner"),
    "spacing": ProblemKind(_W, "pixel spacing stands out", "check the header; patches would show other sizes"),
    "leak": ProblemKind(_E, "stands in more than one split", "divide again by subject, or use --fix"),
    "shortcut": ProblemKind(_W, "the label can be told without looking at the breast", "see the probe's own advice"),
})
# fmt: on
"""Every kind of problem by its code."""


@dataclass(frozen=True)
class Problem:
    """One problem at one place."""

    code: str
    "a key of PROBLEMS"
    where: str
    "the file, subject or class that it concerns"
    found: str
    "what was found, in one sentence"
    severity: Severity
    "how grave"
    others: tuple[str, ...] = ()
    "further files that it concerns"

    @property
    def kind(self) -> ProblemKind:
        """Title and advice."""
        return PROBLEMS[self.code]


def problem(code: str, where: str, found: str, *others: str) -> Problem:
    """A problem with the gravity of its kind."""
    return Problem(code, where, found, PROBLEMS[code].severity, others)
