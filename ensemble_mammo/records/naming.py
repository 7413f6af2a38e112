"""What file names say of view, side and ids, in the usual ways of writing them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.records.subject import Projection, Side, View

_SIDES = {"R": Side.RIGHT, "RIGHT": Side.RIGHT, "L": Side.LEFT, "LEFT": Side.LEFT}
_PROJECTIONS = {"CC": Projection.CC, "MLO": Projection.MLO}
_JOINED = {f"{a}{b}": (a, b) for a in ("R", "L") for b in ("CC", "MLO")} | {
    f"{b}{a}": (a, b) for a in ("R", "L") for b in ("CC", "MLO")
}
_VIEW_WORDS = {*_SIDES, *_PROJECTIONS, *_JOINED}
_INBREAST = re.compile(r"^(?P<image>\d+)_(?P<subject>[0-9a-z]+)_MG_(?P<side>[LR])_(?P<view>CC|ML)_ANON$", re.I)
_INFN = re.compile(
    r"^(?P<subject>[^_]+)_(?P<exam>[^_]+)_(?P<label>[A-Za-z0-9]+)_(?P<projection>CC|MLO)_(?P<side>[LR])$"
)


@dataclass(frozen=True)
class NameFacts:
    """What one file name says; None where it says nothing."""

    projection: Projection | None = None
    "CC or MLO"
    side: Side | None = None
    "right or left"
    subject_id: str | None = None
    "the subject, where the name follows a known pattern"
    exam_id: str | None = None
    "the exam, likewise"
    label: str | None = None
    "the class written into the name, likewise"
    image_id: str | None = None
    "the image, likewise"

    @property
    def view(self) -> View | None:
        """The view, when both projection and side are known."""
        return View.of(self.projection, self.side) if self.projection and self.side else None


def facts_of_name(name: str | Path) -> NameFacts:
    """Read view, side and ids from a file name (its folders are not looked at).

    Known: INbreast's full pattern (`<image>_<subject>_MG_<L|R>_<CC|ML>_ANON`, the only one in which
    `ML` is an MLO view), INFN's (`<subject>_<exam>_<CLASS>_<VIEW>`), and, in any other name, words
    such as `L_CC`, `L-CC`, `CC_L`, `LCC`, `RMLO`, `LEFT_CC`. A name that says two things says nothing.
    """
    stem = Path(name).stem
    if match := _INBREAST.match(stem):
        projection = Projection.CC if match["view"].upper() == "CC" else Projection.MLO
        return NameFacts(projection, _SIDES[match["side"].upper()], match["subject"], image_id=match["image"])
    if (match := _INFN.match(stem)) and match["label"].upper() not in _VIEW_WORDS:
        return NameFacts(
            Projection(match["projection"]),
            _SIDES[match["side"]],
            match["subject"],
            match["exam"],
            match["label"],
            stem,
        )
    return _facts_of_words(re.split(r"[^A-Za-z0-9]+", stem.upper()))


def _facts_of_words(words: list[str]) -> NameFacts:
    sides: set[Side] = set()
    projections: set[Projection] = set()
    for word in words:
        if word in _JOINED:
            side, projection = _JOINED[word]
            sides.add(_SIDES[side])
            projections.add(_PROJECTIONS[projection])
        elif word in _SIDES:
            sides.add(_SIDES[word])
        elif word in _PROJECTIONS:
            projections.add(_PROJECTIONS[word])
    return NameFacts(projections.pop() if len(projections) == 1 else None, sides.pop() if len(sides) == 1 else None)


def view_of_text(text: str) -> View:
    """The view that a table's cell names: `CC_R`, `RCC`, `R-MLO`, `left cc`, …

    Raises:
        ValueError: the text names no view, or more than one.
    """
    view = _facts_of_words(re.split(r"[^A-Za-z0-9]+", text.strip().upper())).view
    if view is None:
        raise ValueError(f"view {text!r} is not one of {', '.join(View)}")
    return view
