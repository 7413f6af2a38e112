"""A subject and the views of her breasts: the words that every other module uses."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """A breast, by its side."""

    RIGHT = "right"
    LEFT = "left"

    @property
    def letter(self) -> str:
        """`R` or `L`, as DICOM's ImageLaterality has it."""
        return self.value[0].upper()


class Projection(StrEnum):
    """The direction of the beam."""

    CC = "CC"
    MLO = "MLO"


class View(StrEnum):
    """One of the four standard mammograms of a subject: projection and side."""

    CC_R = "CC_R"
    CC_L = "CC_L"
    MLO_R = "MLO_R"
    MLO_L = "MLO_L"

    @property
    def projection(self) -> Projection:
        """CC (cranio-caudal) or MLO (medio-lateral oblique)."""
        return Projection(self.value.split("_")[0])

    @property
    def side(self) -> Side:
        """The breast that this view shows."""
        return Side.RIGHT if self.value.endswith("R") else Side.LEFT

    @property
    def mirrored(self) -> View:
        """The same projection of the other breast."""
        return View.of(self.projection, Side.LEFT if self.side == Side.RIGHT else Side.RIGHT)

    @property
    def suffix(self) -> str:
        """The ending of the plain prediction files: `ccr` of `predictions_ccr.txt`."""
        return self.value.replace("_", "").lower()

    @classmethod
    def of(cls, projection: Projection, side: Side) -> View:
        """The view of a projection and a side."""
        return cls(f"{projection.value}_{side.letter}")


ANY = "ANY"
"""What a pooled network, one for the images of all views, is called where another bears the name of its view."""

SUBJECT = "subject"
"""The name of the level above the two breasts."""

LEVELS: tuple[str, ...] = (*View, *Side, SUBJECT)
"""Every level at which scores and figures of merit stand: four views, two breasts, the subject."""


def views_of(level: str) -> tuple[View, ...]:
    """The views that a level is fused from: one, the two of a breast, or all four."""
    if level in tuple(View):
        return (View(level),)
    if level in tuple(Side):
        return tuple(view for view in View if view.side == Side(level))
    if level == SUBJECT:
        return tuple(View)
    raise ValueError(f"level {level!r} is not one of {', '.join(LEVELS)}")
