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
# fmt: off
OTHER_PROJECTIONS = (
    "AT", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO", "CV", "TAN", "RL", "RM", "ID", "CCID", "MLOID",
)
# fmt: on
"""Projections and modifiers other than CC and MLO, as mammograms are annotated (DICOM PS3.16, groups 4014 and 4015)."""

_OTHERS = {form for word in OTHER_PROJECTIONS for form in (word, f"R{word}", f"L{word}", f"{word}R", f"{word}L")}
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


@dataclass(frozen=True)
class StatedView:
    """What one row of a views table says; None or '' where it says nothing."""

    projection: Projection | None = None
    "CC or MLO"
    side: Side | None = None
    "right or left"
    other: str = ""
    "a projection that is neither CC nor MLO, as the table has it"


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
    projections, sides = _named(words)
    return NameFacts(projections.pop() if len(projections) == 1 else None, sides.pop() if len(sides) == 1 else None)


def _named(words: list[str]) -> tuple[set[Projection], set[Side]]:
    parts = {part for word in words for part in _JOINED.get(word, (word,))}
    return {_PROJECTIONS[p] for p in parts & _PROJECTIONS.keys()}, {_SIDES[p] for p in parts & _SIDES.keys()}


def only_view_words(text: str) -> bool:
    """Whether a text, such as a folder's name, says a view or a side and nothing else: `CC`, `left`, `R_MLO`."""
    words = _words(text)
    return bool(words) and _VIEW_WORDS.issuperset(words)


def facts_of_cells(view: str, side: str = "") -> StatedView:
    """What the cells of a views table say: `CC_R`, `RCC`, `R-MLO`, `MLO` and `left`, `AT`, …

    Raises:
        ValueError: a cell holds another word, or they name two projections or two sides.
    """
    words, side_words = _words(view), _words(side)
    if not (_VIEW_WORDS | _OTHERS).issuperset(words) or (view.strip() and not words):
        raise ValueError(
            f"view {view!r} is not one of {', '.join([*Projection, *View])} or another projection "
            f"({', '.join(OTHER_PROJECTIONS)})"
        )
    if not _SIDES.keys() >= set(side_words) or (side.strip() and not side_words):
        raise ValueError(f"laterality {side!r} is not one of {', '.join(_SIDES)}")
    projections, sides = _named(words + side_words)
    for what, found in (("projections", projections), ("sides", sides)):
        if len(found) > 1:
            raise ValueError(f"view {view!r}{f' with laterality {side!r}' if side_words else ''} names two {what}")
    other = view.strip() if _OTHERS.intersection(words) else ""
    return StatedView(next(iter(projections), None), next(iter(sides), None), other)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text.upper()) if word]
