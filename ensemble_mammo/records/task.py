"""The table of tasks: classes, and how labels and scores go up from view to breast to subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType


@dataclass(frozen=True)
class Task:
    """What is told apart, and how the scores of views become those of breasts and subjects."""

    name: str
    "the name of the task and of its label column in manifest.csv"
    classes: tuple[str, ...]
    "class names in the order of the networks' outputs"
    breast_to_subject: str
    "'mean': the subject is the flat mean of her views; 'maximum': of her breasts' scores the highest"
    ordinal: bool = False
    "whether the classes stand in an order"
    synonyms: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    "other ways in which labels are written (upper case) -> class"
    positive: tuple[str, ...] = ()
    "the classes counted as positive (as dense, as malignant) where figures want two classes"

    def index(self, label: str) -> int:
        """The place of a label among the classes.

        Raises:
            ValueError: the label is none of the task's classes.
        """
        return self.classes.index(self.class_of(label))

    def class_of(self, label: str) -> str:
        """The class that a label names, in whatever of its usual ways it is written.

        Raises:
            ValueError: the label is none of the task's classes.
        """
        text = str(label).strip()
        if text in self.classes:
            return text
        upper = text.upper()
        for name in self.classes:
            if name.upper() == upper:
                return name
        found = self.synonyms.get(upper.removesuffix(".0"))
        if found is None:
            raise ValueError(f"label {text!r} is not one of {', '.join(self.classes)} (task {self.name})")
        return found


_DENSITY = {
    written: name
    for number, name in enumerate("ABCD", start=1)
    for written in (str(number), f"DENSITY {name}", f"ACR {name}", f"BI-RADS {name}", f"BIRADS {name}")
}

PATCH = "patch"
"""The task of patches: its column in a manifest says that its images are patches."""
PATCHES, TILES = "patches", "tiles"
"""What mammograms are cut into: the word in dataset.json under which it says how, and in recipes."""
PATCH_CLASSES = ("background", "malignant-calcification", "benign-calcification", "malignant-mass", "benign-mass")
"""Of patches, in the order of the PyTorch port of Shen et al. 2019 (0 to 4)."""

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task("density", ("A", "B", "C", "D"), "mean", True, MappingProxyType(_DENSITY), ("C", "D")),
            Task("tissue", ("F", "G", "D"), "mean", True, positive=("D",)),
            Task(
                "pathology",
                ("benign", "malignant"),
                "maximum",
                synonyms=MappingProxyType({"BENIGN_WITHOUT_CALLBACK": "benign", "0": "benign", "1": "malignant"}),
                positive=("malignant",),
            ),
            Task(
                "birads",
                ("1-2", "4-6"),
                "maximum",
                synonyms=MappingProxyType(
                    {"1": "1-2", "2": "1-2"} | dict.fromkeys(("4", "4A", "4B", "4C", "5", "6"), "4-6")
                ),
                positive=("4-6",),
            ),
            Task("abnormality", ("normal", "abnormal"), "maximum", positive=("abnormal",)),
            Task(  # Scuccimarra's five, the gravest last; an image with several lesions has the last one's class
                "abnormality5",
                ("normal", "benign-calcification", "benign-mass", "malignant-calcification", "malignant-mass"),
                "maximum",
                positive=("benign-calcification", "benign-mass", "malignant-calcification", "malignant-mass"),
            ),
            Task(
                "finding", ("mass", "calcification"), "maximum", positive=("calcification",)
            ),  # of tiles with a lesion
            Task(PATCH, PATCH_CLASSES, "maximum", positive=PATCH_CLASSES[1:]),
        )
    }
)
"""Every task by name."""


def highest_labels(pairs: Iterable[tuple[str, str]], task: Task) -> dict[str, str]:
    """subject -> the highest class among her labels, empty where she has none.

    Args:
        pairs: (subject, label), labels as the task's classes have them or empty.
        task: its classes stand from lowest to highest.
    """
    place = {"": -1} | {name: i for i, name in enumerate(task.classes)}
    highest: dict[str, str] = {}
    for subject, label in pairs:
        highest[subject] = max(highest.get(subject, ""), label, key=place.__getitem__)
    return highest


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: no such task; the text gives the nearest name.
    """
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(name, TASKS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"task {name!r} is not one of {', '.join(TASKS)}{hint}")
