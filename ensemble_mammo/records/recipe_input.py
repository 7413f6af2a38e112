"""The part of a recipe from a prepared mammogram to what the network sees."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble_mammo.records.ranges import expect, expect_range


@dataclass(frozen=True)
class InputRecipe:
    """From a prepared mammogram to the network's input."""

    height: int
    "rows of the input, in pixels"
    width: int
    "columns of the input, in pixels"
    fit: str = "pad"
    "'pad': aspect kept, black on both sides; 'squash': stretched to height x width, aspect lost"
    mean: float = 0.0
    "subtracted from values in 0..1, then …"
    std: float = 1.0
    "… divided by this"
    centre: str = "none"
    """'image': the image's own mean is subtracted as well (INFN); 'training': the mean over all training images is
    computed before the first epoch and written into `mean`; 'none': absolute intensity is kept"""
    contrast: float = 1.0
    "factor about the image's own mean, in training and prediction alike, before mean and std; not clipped"

    @property
    def uses_own_mean(self) -> bool:
        """Whether what the network sees depends on the mean of the whole input, so that a part cannot stand alone."""
        return self.centre == "image" or self.contrast != 1

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        expect("fit", self.fit, ("pad", "squash"))
        expect("centre", self.centre, ("none", "image", "training"))
        expect_range("height", self.height, 16, 8192)
        expect_range("width", self.width, 16, 8192)
        expect_range("mean", self.mean, -10, 10)
        expect_range("std", self.std, 1e-6, 1e6)
        expect_range("contrast", self.contrast, 0.01, 10)


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes of training images; validation and test images are never changed."""

    zoom: float = 0.0
    "scale drawn from 1 - zoom to 1 + zoom"
    shift: float = 0.0
    "shift drawn up to this share of height and of width"
    rotation_deg: float = 0.0
    "rotation drawn from minus to plus this many degrees"
    flip_horizontal: bool = False
    "left and right exchanged in half of the images (makes it another projection: off for views)"
    flip_vertical: bool = False
    "top and bottom exchanged in half of the images"
    brightness: float = 0.0
    "added to all values within the image, drawn from minus to plus this (values in 0..1)"
    contrast: float = 0.0
    "factor about the image's own mean, drawn from 1 - contrast to 1 + contrast"
    shear_deg: float = 0.0
    "shear drawn from minus to plus this many degrees"
    fill: str = "black"
    "what enters from outside an image: 'black', 'edge' (its last pixels) or 'reflection'"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, high in (
            ("zoom", 0.9),
            ("shift", 0.9),
            ("rotation_deg", 180),
            ("shear_deg", 60),
            ("brightness", 1),
            ("contrast", 1),
        ):
            expect_range(name, getattr(self, name), 0, high)
        expect("fill", self.fill, ("black", "edge", "reflection"))
