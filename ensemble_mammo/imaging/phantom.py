"""Phantom exams made by the project itself: four views a subject, density A to D, written as DICOM.

They stand in for patients in tests and in the demo. A breast is a smooth outline filled with fat, in which
a random texture, cut at the fibroglandular share of its class, is dense tissue; MLO views show the muscle.
The exposure varies between subjects more than the mean grey level varies between classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ensemble_mammo.imaging.phantom_files import write_phantom_file, write_table
from ensemble_mammo.records.subject import Projection, Side, View

Pixels = NDArray[np.float32]

_SHARES = {"A": (0.02, 0.12), "B": (0.16, 0.34), "C": (0.42, 0.62), "D": (0.70, 0.88)}
"""Share of dense tissue, least and most: fatty to dense as BI-RADS' quartiles of old, kept apart a little."""
_CLASS_WEIGHTS = {"A": 0.2, "B": 0.3, "C": 0.3, "D": 0.2}


@dataclass(frozen=True)
class _Subject:
    """What the four views of a subject have in common."""

    depth: float
    "chest wall to nipple, as a share of the image's height"
    span: float
    "half of the breast's extent along the chest wall, likewise"
    dense: float
    "share of dense tissue"
    brightness: float
    "of fat, 0 to 1"
    contrast: float
    "of dense tissue over fat"
    nipple: float
    "offset of the nipple along the chest wall, as a share of the height"


def phantom_exam(
    subject: int, density: str, seed: int = 0, height: int = 640, views: Sequence[View] = tuple(View)
) -> dict[View, Pixels]:
    """The four views of one phantom subject, or some of them.

    Args:
        subject: her number; it decides her shape and texture together with the seed.
        density: A, B, C or D.
        seed: of the whole set.
        height: rows; there are 0.8 times as many columns.
        views: which; a view is the same whether others are made or not.

    Returns:
        View -> `[height, 0.8 height]` float32, 0 to 1, tissue bright, a marker burned in outside the breast.
    """
    if density not in _SHARES:
        raise ValueError(f"density {density!r} is not one of {', '.join(_SHARES)}")
    rng = np.random.default_rng((seed, subject, "ABCD".index(density)))
    least, most = _SHARES[density]
    person = _Subject(
        depth=rng.uniform(0.38, 0.62),
        span=rng.uniform(0.30, 0.42),
        dense=rng.uniform(least, most),
        brightness=rng.uniform(0.26, 0.42),
        contrast=rng.uniform(0.18, 0.30),
        nipple=rng.uniform(-0.03, 0.03),
    )
    return {view: _view(person, view, height, np.random.default_rng((seed, subject, place)))
            for place, view in enumerate(View) if view in views}  # fmt: skip


def _view(person: _Subject, view: View, height: int, rng: np.random.Generator) -> Pixels:
    """One view; made with the chest wall on the left, as a left breast stands, then mirrored for the right."""
    width = round(0.8 * height)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    oblique = view.projection == Projection.MLO
    breast, inside, nearness = _outline(person, oblique, rows, columns, rng)
    muscle = _muscle(person, rows, columns) if oblique else np.zeros_like(rows)
    thickness = np.sqrt(np.clip(inside, 0, 1))
    dense = _dense_tissue(person, breast, nearness - 3 * muscle, rng)
    image = (person.brightness + person.contrast * dense) * thickness
    image += 0.05 * np.exp(-((inside - 0.02) ** 2) / 0.0003) * (inside > 0)  # skin
    image += 0.22 * muscle * np.clip(4 * inside, 0, 1)
    noise = rng.standard_normal((height, width), dtype=np.float32)
    image += 0.010 * noise * (inside > 0) + 0.004
    image = np.clip(image, 0, 1).astype(np.float32)
    if view.side == Side.RIGHT:
        image = image[:, ::-1]
    return _marked(np.ascontiguousarray(image), view)


def _outline(
    person: _Subject, oblique: bool, rows: Pixels, columns: Pixels, rng: np.random.Generator
) -> tuple[Pixels, Pixels, Pixels]:
    """Depth below the skin of the breast, and of breast with axilla (0 at the skin, to 1); nearness to the nipple."""
    depth, span = person.depth * rng.uniform(0.96, 1.04), person.span * rng.uniform(0.97, 1.03)
    centre = 0.5 + (0.08 if oblique else 0.0) + rng.uniform(-0.015, 0.015)
    along = (rows - centre) / span
    along = np.where(along < 0, along * (0.72 if oblique else 1.0), along)  # an MLO runs up into the axilla
    across = columns / depth
    breast = 1 - np.abs(along) ** 2.2 - across**1.9
    tip = centre + person.nipple
    breast += 0.35 * np.exp(-(((rows - tip) / 0.018) ** 2) - ((columns - depth) / 0.03) ** 2)
    inside = breast
    if oblique:  # the axilla goes on up to the edge of the image, and runs smoothly into the breast
        axilla = np.where(rows < centre, 1 - ((columns + 0.35 * rows) / (0.62 * depth)) ** 2, -4)
        inside = np.logaddexp(np.clip(breast, -4, 1) * 8, np.clip(axilla, -4, 1) * 8) / 8
    nearness = 1 - np.hypot(rows - tip, columns - 0.7 * depth) / 0.5
    return breast.astype(np.float32), inside.astype(np.float32), nearness.astype(np.float32)


def _texture(height: int, width: int, grain: float, rng: np.random.Generator) -> Pixels:
    """Smooth random texture of mean 0 and deviation 1; `grain` is its scale as a share of the height."""
    step = max(1, round(grain * height / 3))
    small = rng.standard_normal((height // step + 4, width // step + 4), dtype=np.float32)
    small = ndimage.gaussian_filter(small, 1.5)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    values = np.asarray(large, np.float32)
    return (values - values.mean()) / values.std()


def _dense_tissue(person: _Subject, breast: Pixels, nearness: Pixels, rng: np.random.Generator) -> Pixels:
    """Fibroglandular tissue, 0 to 1: patches behind the nipple, finely grained, and strands in the fat."""
    height, width = breast.shape
    coarse = _texture(height, width, 0.10, rng)
    middle = _texture(height, width, 0.035, rng)
    fine = _texture(height, width, 0.012, rng)
    field = 0.6 * coarse + 0.4 * middle + 0.2 * fine + 2.0 * nearness + np.clip(breast, 0, 0.4)
    within = breast > 0.06
    cut = np.quantile(field[within][::7], 1 - person.dense)
    patches = 1 / (1 + np.exp(-np.clip(4 * (field - cut), -30, 30)))
    strands = np.clip(1 - np.abs(middle + 0.6 * fine) / 0.25, 0, 1) * 0.30
    grain = 1 + 0.16 * fine + 0.10 * middle
    return np.asarray(np.maximum(patches * grain, strands) * np.clip(breast * 12 - 0.5, 0, 1), np.float32)


def _muscle(person: _Subject, rows: Pixels, columns: Pixels) -> Pixels:
    """The pectoral muscle of an MLO, 0 to 1: a wedge in the upper corner against the chest wall."""
    edge = 0.6 * person.depth * np.clip(1 - rows / 0.62, 0, 1) - 0.01
    return np.asarray(1 / (1 + np.exp(np.clip((columns - edge) * 90, -30, 30))), np.float32)


def _marked(image: Pixels, view: View) -> Pixels:
    """With the view's marker, such as 'R CC', burned in beside the breast."""
    height, width = image.shape
    picture = Image.new("L", (width, height))
    font = ImageFont.load_default(size=max(10, height // 28))
    text, left = f"{view.side.letter} {view.projection.value}", view.side == Side.LEFT
    place = (width - height // 40, height // 40) if left else (height // 40, height // 40)
    ImageDraw.Draw(picture).text(place, text, fill=230, font=font, anchor="ra" if left else "la")
    return np.maximum(image, np.asarray(picture, np.float32) / 255)


def write_phantom_exams(
    folder: Path | str,
    subjects: int = 24,
    seed: int = 0,
    height: int = 640,
    transfer_syntax: str | None = None,
    densities: Sequence[str] | None = None,
) -> dict[str, str]:
    """Write phantom exams as DICOM, `<folder>/PH0001/CC_R.dcm`, ..., and `<folder>/labels.csv`.

    Every fourth subject comes from a second device, which writes MONOCHROME1.

    Args:
        folder: made when it is not there.
        subjects: how many.
        seed: the same seed writes the same files.
        height: rows of each image.
        transfer_syntax: UID of a compressed syntax that pydicom can write; uncompressed when None.
        densities: the class of each subject; drawn (every class among four subjects) when None.

    Returns:
        patient_id -> density, as in `labels.csv`.

    Raises:
        OutputError: the folder cannot be written to.
    """
    classes = list(densities) if densities is not None else _drawn(subjects, seed)
    if len(classes) != subjects:
        raise ValueError(f"{len(classes)} densities are given for {subjects} subjects")
    root = Path(folder)
    labels = {}
    for number, density in enumerate(classes, start=1):
        patient_id = f"PH{number:04d}"
        for view, pixels in phantom_exam(number, density, seed, height).items():
            place = root / patient_id / f"{view.value}.dcm"
            write_phantom_file(place, pixels, view, (seed, number), transfer_syntax)
        labels[patient_id] = density
    write_table(root / "labels.csv", [("patient_id", "density"), *labels.items()])
    return labels


def _drawn(subjects: int, seed: int) -> list[str]:
    """Classes for so many subjects: each present once in the first four, then by weight, in random order."""
    rng = np.random.default_rng((seed, 4))
    rest = rng.choice(list(_CLASS_WEIGHTS), size=max(0, subjects - 4), p=list(_CLASS_WEIGHTS.values()))
    classes = [*"ABCD"[:subjects], *(str(name) for name in rest)]
    return [classes[place] for place in rng.permutation(len(classes))]
