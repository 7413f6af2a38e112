"""Where tiles lie around a lesion: the two methods of Scuccimarra, and what his largest set adds.

Places and sides are in pixels of the prepared image; what is called film is in pixels of a film of 5,295 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ensemble_mammo.imaging.breast import Box
from ensemble_mammo.imaging.tiles import Mask, Scale, Square

PADDING = (0.2, 0.05)
"""Padding on either side, as a share of the box: of lesions smaller and larger than a tile (his method 2)."""
CROPS = 3
"""Random crops of a lesion (his method 2)."""
LONG = 1.5
"""A lesion is cut in two halves where its longer side is more than this times the other (his method 1)."""
WHOLE_PADDING = 0.2
"""Padding on either side of a lesion that is shown whole: he gives none, so that of his small lesions is taken."""
CONTEXT_FILM_PX = 100
"""Film pixels around the box in a tile of fixed context, some 5 mm: ours, he gives none."""
_TRIES = 100
"""Places drawn for a crop until one shows a pixel of the lesion."""


@dataclass(frozen=True)
class Site:
    """A lesion in its image."""

    mask: Mask
    "`[H, W]` of the image, True on the lesion, somewhere at least"
    box: Box
    "of the mask"
    scale: Scale
    "of the image"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def longer(self) -> int:
        """The longer side of the box."""
        return max(self.box.height, self.box.width)

    def shows(self, square: Square) -> bool:
        """Whether a square holds a pixel of the lesion."""
        rows = slice(max(0, square.top), max(0, square.top + square.side))
        columns = slice(max(0, square.left), max(0, square.left + square.side))
        return bool(self.mask[rows, columns].any())

    def padding(self) -> float:
        """Padding of method 2 on either side, as a share of the box: 20 % of small lesions, 5 % of large ones."""
        return PADDING[self.longer > self.scale.cover_px]


def lesion_squares(tile_set: str, site: Site, rng: np.random.Generator) -> list[Square]:
    """The tiles of one lesion; each shows a pixel of it at least."""
    squares = (square for method in METHODS[tile_set] for square in _LAID[method](site, rng))
    return [square for square in squares if site.shows(square)]


def _own_size(site: Site, rng: np.random.Generator) -> Iterator[Square]:
    """The lesion at its own size, at random in the tile."""
    yield _drawn("own-size", site, site.box, site.scale.cover_px, rng)


def _whole(site: Site, rng: np.random.Generator) -> Iterator[Square]:
    """The square that encloses all of it with padding, the lesion at random in it; the tile is resized from there."""
    yield _drawn("whole", site, site.box, _grown(site.longer, WHOLE_PADDING), rng)


def _half(site: Site, _: np.random.Generator) -> Iterator[Square]:
    """Two tiles on the centres of the halves of a long lesion."""
    box = site.box
    if site.longer <= LONG * min(box.height, box.width):
        return
    down = box.height > box.width
    for quarter in (0.25, 0.75):
        row = box.top + box.height * (quarter if down else 0.5)
        column = box.left + box.width * (0.5 if down else quarter)
        yield _centred("half", row, column, site.scale.cover_px, site.shape)


def _crop(site: Site, rng: np.random.Generator) -> Iterator[Square]:
    """Three random crops, at the film's own scale, of the lesion with its padding."""
    box = padded(site.box, site.padding(), site.shape)
    for _ in range(CROPS):
        yield _drawn("crop", site, box, site.scale.cover_px, rng)


def _fixed_context(site: Site, _: np.random.Generator) -> Iterator[Square]:
    """The lesion in the middle with the same width of context whatever its size, resized."""
    row, column = _middle(site.box)
    side = site.longer + 2 * site.scale.side(CONTEXT_FILM_PX)
    yield _centred("fixed-context", row, column, side, site.shape)


def _padded(site: Site, _: np.random.Generator) -> Iterator[Square]:
    """The lesion in the middle with the padding of method 2, resized."""
    row, column = _middle(site.box)
    yield _centred("padded", row, column, _grown(site.longer, site.padding()), site.shape)


def _overlapping(site: Site, _: np.random.Generator) -> Iterator[Square]:
    """Tiles half a tile apart over a lesion that is larger than a tile."""
    box, side = site.box, site.scale.cover_px
    if site.longer <= side:
        return
    for top in _starts(box.top, box.height, side, site.shape[0]):
        for left in _starts(box.left, box.width, side, site.shape[1]):
            yield Square("overlapping", top, left, side)


Laid = Callable[[Site, np.random.Generator], Iterator[Square]]
_LAID: Mapping[str, Laid] = MappingProxyType(
    {
        "own-size": _own_size,
        "whole": _whole,
        "half": _half,
        "crop": _crop,
        "fixed-context": _fixed_context,
        "padded": _padded,
        "overlapping": _overlapping,
    }
)
METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "6": ("own-size", "whole", "half", "crop", "fixed-context", "padded", "overlapping"),
        "8": ("own-size", "whole", "half"),
        "9": ("crop",),
    }
)
"""How the lesions of each of his sets are cut: 8 by method 1, 9 by method 2, 6 by both and more."""


def padded(box: Box, share: float, shape: tuple[int, int]) -> Box:
    """A box with a share of its own sides added on either side, as far as the image reaches."""
    rows, columns = round(box.height * share), round(box.width * share)
    top, left = max(0, box.top - rows), max(0, box.left - columns)
    bottom = min(shape[0], box.top + box.height + rows)
    return Box(top, left, bottom - top, min(shape[1], box.left + box.width + columns) - left)


def _grown(side: int, share: float) -> int:
    return side + 2 * round(side * share)


def _middle(box: Box) -> tuple[float, float]:
    return box.top + box.height / 2, box.left + box.width / 2


def _drawn(method: str, site: Site, box: Box, side: int, rng: np.random.Generator) -> Square:
    """A random tile that holds a box, or, in a direction in which the box is larger, lies within it."""
    for _ in range(_TRIES):
        top = _start(box.top, box.height, site.shape[0], side, rng)
        left = _start(box.left, box.width, site.shape[1], side, rng)
        square = Square(method, top, left, side)
        if site.shows(square):
            return square
    row, column = rng.choice(np.argwhere(site.mask))
    return _centred(method, float(row), float(column), side, site.shape)


def _start(first: int, length: int, whole: int, side: int, rng: np.random.Generator) -> int:
    """Where a tile begins in one direction; beyond the image only if it is larger than the image."""
    if side > whole:
        return int(rng.integers(whole - side, 1))
    low, high = sorted((first + length - side, first))
    return int(rng.integers(min(max(low, 0), whole - side), min(max(high, 0), whole - side) + 1))


def _centred(method: str, row: float, column: float, side: int, shape: tuple[int, int]) -> Square:
    """The tile around a point, shifted into the image where that can hold it."""
    top, left = (_shifted(round(at - side / 2), side, whole) for at, whole in zip((row, column), shape, strict=True))
    return Square(method, top, left, side)


def _shifted(start: int, side: int, whole: int) -> int:
    return (whole - side) // 2 if side > whole else min(max(start, 0), whole - side)


def _starts(first: int, length: int, side: int, whole: int) -> list[int]:
    """Where overlapping tiles begin: half a tile apart, the last at the box's end; one in the middle of a small box."""
    if length <= side:
        return [_shifted(round(first + length / 2 - side / 2), side, whole)]
    steps = range(first, first + length - side, max(1, side // 2))
    return [*steps, first + length - side]
