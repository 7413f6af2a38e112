"""Phantoms in the shape of CBIS-DDSM: films with planted lesions, their masks and crops, and the four tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_mammo.imaging.breast import breast_box
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.phantom_cbis_files import film_place, write_film_file
from ensemble_mammo.imaging.phantom_files import write_table
from ensemble_mammo.imaging.phantom_lesions import PhantomLesion, drawn_lesion, in_other_view, planted
from ensemble_mammo.records.subject import Projection, Side, View

FEWEST = 8
"""Subjects with whom each kind of lesion stands in training and in test."""
_KINDS = [(finding, pathology) for finding in ("mass", "calcification") for pathology in ("benign", "malignant")]
_SHORT = {"mass": "mass", "calcification": "calc"}
_SECOND = 0.2
"share of subjects with a second lesion in the same breast"
_WORDS = {
    ("mass", "benign"): (("OVAL", "ROUND"), ("CIRCUMSCRIBED",)),
    ("mass", "malignant"): (("IRREGULAR",), ("SPICULATED",)),
    ("calcification", "benign"): (("ROUND_AND_REGULAR", "LUCENT_CENTER"), ("CLUSTERED",)),
    ("calcification", "malignant"): (("PLEOMORPHIC", "FINE_LINEAR_BRANCHING"), ("CLUSTERED",)),
}
"""(finding, pathology) -> the words of the tables' two columns for it."""
_COLUMNS = {
    "mass": ("breast_density", "mass shape", "mass margins"),
    "calcification": ("breast density", "calc type", "calc distribution"),
}
_MARGIN = 0.25
"a crop is so much wider than its lesion, on each side"


@dataclass(frozen=True)
class PhantomCase:
    """One lesion in one film: a row of a table."""

    patient: str
    "such as P_00001"
    split: str
    "train or test"
    view: View
    "of the film"
    density: str
    "A to D"
    number: int
    "of the lesion among those of its finding in the film"
    lesion: PhantomLesion
    "what was planted"
    words: tuple[str, str]
    "mass shape and margins, or calc type and distribution"
    pathology: str
    "BENIGN, BENIGN_WITHOUT_CALLBACK or MALIGNANT"
    assessment: str
    "BI-RADS"
    subtlety: str
    "1 to 5"

    @property
    def film(self) -> str:
        """The film's folder in the archive."""
        kind, part = _SHORT[self.lesion.finding].title(), "Training" if self.split == "train" else "Test"
        return f"{kind}-{part}_{self.patient}_{self.view.side.value.upper()}_{self.view.projection.value}"

    @property
    def folder(self) -> str:
        """The folder of the lesion's mask and crop."""
        return f"{self.film}_{self.number}"


def write_phantom_cbis(
    folder: Path | str,
    subjects: int = 24,
    seed: int = 0,
    height: int = 640,
    contrast: float = 1.0,
    quirks: bool = True,
) -> tuple[PhantomCase, ...]:
    """Write an archive as CBIS-DDSM is released: DICOM films of 16 bits, masks, crops, case description tables.

    Each subject has one breast with one lesion, in some with two, in CC and MLO. Density is drawn without regard
    to the lesions. Paths in the tables end in a newline, as released. One subject in three stands in the test tables.

    Args:
        folder: made when it is not there.
        subjects: how many, 8 or more.
        seed: the same seed writes the same files.
        height: rows of each film.
        contrast: of the lesions; 1 as usual.
        quirks: as in the release, films with lesions of both findings, which then lie there once for each, and names of
            masks and crops exchanged in part of the rows.

    Returns:
        The rows of the tables, subject after subject.

    Raises:
        OutputError: the folder cannot be written to.
    """
    if subjects < FEWEST:
        raise ValueError(f"{subjects} subjects, expected {FEWEST} or more: each kind of lesion in training and in test")
    if height < 128:
        raise ValueError(f"height is {height}, expected 128 or more: lesions of less would have no pixels")
    root = Path(folder)
    patients = [_cases_of(number, seed, contrast, quirks) for number in range(1, subjects + 1)]
    for own in patients:
        _write_patient(own, root, seed, height)
    cases = tuple(case for own in patients for case in own)
    for finding, short in _SHORT.items():
        for split in ("train", "test"):
            own = [case for case in cases if (case.lesion.finding, case.split) == (finding, split)]
            name = f"{short}_case_description_{split}_set.csv"
            write_table(root / name, [_head(finding), *(_row(case, seed, quirks) for case in own)])
    return cases


def _cases_of(number: int, seed: int, contrast: float, quirks: bool) -> list[PhantomCase]:
    """What is planted into the breast of one subject."""
    rng = np.random.default_rng((seed, number, 11))
    block = (number - 1) // 4  # the four kinds of lesion in each block of four subjects, in random order
    order = np.random.default_rng((seed, block, 12)).permutation(4)
    kinds = [_KINDS[order[(number - 1) % 4]]]
    if rng.random() < _SECOND:
        kinds.append(_KINDS[rng.integers(4)] if quirks else (kinds[0][0], str(rng.choice(["benign", "malignant"]))))
    density = "ABCD"[np.random.default_rng((seed, number, 13)).integers(4)]
    side = list(Side)[rng.integers(2)]
    numbers = [1 + sum(kind[0] == before[0] for before in kinds[:place]) for place, kind in enumerate(kinds)]
    lesions = [
        drawn_lesion(finding, pathology, (seed, number, 14, place), contrast)
        for place, (finding, pathology) in enumerate(kinds)
    ]
    others = [in_other_view(lesion, (seed, number, 15, place)) for place, lesion in enumerate(lesions)]
    for own in (lesions, others):
        if len(own) > 1:  # the second in the other half of the breast
            own[1] = replace(own[1], along=(own[0].along + 0.5) % 1)
    cases = []
    for place, pair in enumerate(zip(lesions, others, strict=True)):
        first, second = (str(rng.choice(words)) for words in _WORDS[kinds[place]])
        called, grade = _graded(kinds[place][1], rng)
        for projection, shown in zip(Projection, pair, strict=True):
            cases.append(
                PhantomCase(
                    f"P_{number:05d}", "test" if block % 3 == 1 else "train", View.of(projection, side), density,
                    numbers[place], shown, (first, second), called, grade, str(rng.integers(1, 6)),
                )
            )  # fmt: skip
    return cases


def _graded(pathology: str, rng: np.random.Generator) -> tuple[str, str]:
    """The tables' word for a pathology, and an assessment that goes with it."""
    if pathology == "malignant":
        return "MALIGNANT", str(rng.choice(["4", "5"]))
    return ("BENIGN_WITHOUT_CALLBACK", "2") if rng.random() < 0.3 else ("BENIGN", str(rng.choice(["2", "3", "4"])))


def _write_patient(cases: Sequence[PhantomCase], root: Path, seed: int, height: int) -> None:
    """Write the films of one subject, with masks and crops."""
    number, views = int(cases[0].patient[2:]), sorted({case.view for case in cases})
    for view, pixels in phantom_exam(number, cases[0].density, seed, height, views).items():
        own = [case for case in cases if case.view == view]
        made = planted(pixels, view, [case.lesion for case in own], (seed, number, list(View).index(view)))
        values = np.rint(made.pixels * 65535).astype("<u2")
        for film in sorted({case.film for case in own}):
            write_film_file(root, film, "film", values, seed)
        for case, mask in zip(own, made.masks, strict=True):
            write_film_file(root, case.folder, "mask", mask.astype(np.uint8) * np.uint8(255), seed)
            write_film_file(root, case.folder, "crop", _cropped(values, mask), seed)


def _cropped(values: NDArray[np.uint16], mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
    box = breast_box(mask)
    more = round(_MARGIN * max(box.height, box.width))
    rows = slice(max(box.top - more, 0), box.top + box.height + more)
    return np.ascontiguousarray(values[rows, max(box.left - more, 0) : box.left + box.width + more])


def _head(finding: str) -> tuple[str, ...]:
    density, first, second = _COLUMNS[finding]
    return (
        "patient_id", density, "left or right breast", "image view", "abnormality id", "abnormality type", first,
        second, "assessment", "pathology", "subtlety", "image file path", "cropped image file path",
        "ROI mask file path",
    )  # fmt: skip


def _row(case: PhantomCase, seed: int, quirks: bool) -> tuple[str, ...]:
    exchanged = quirks and int(case.patient[2:]) % 3 == 0
    kinds = ("mask", "crop") if exchanged else ("crop", "mask")
    return (
        case.patient,
        str(1 + "ABCD".index(case.density)),
        case.view.side.value.upper(),
        case.view.projection.value,
        str(case.number),
        case.lesion.finding,
        *case.words,
        case.assessment,
        case.pathology,
        case.subtlety,
        film_place(case.film, "film", seed),
        *(film_place(case.folder, kind, seed) + "\n" for kind in kinds),
    )
