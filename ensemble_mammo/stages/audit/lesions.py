"""Problems of a prepared dataset's lesions: rows that cannot be right, masks that are missing or do not fit."""

from __future__ import annotations

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import png_shape
from ensemble_mammo.records.problem import Problem, problem


def problems_of_lesions(dataset: Dataset) -> list[Problem]:
    """What is wrong with lesions.csv and the masks that it names; headers of files are read, no pixels."""
    try:
        lesions = dataset.lesions()
    except DatasetError as error:
        return [problem("archive", "lesions.csv", str(error))]
    images = dataset.table.set_index("image_id")
    problems = []
    for mask, image, folder in (("mask", "file", "image"), ("full_mask", "full_file", "full-size image")):
        for row in lesions[lesions[mask] != ""].to_dict("records"):
            file, of = str(row[mask]), str(images.at[row["image_id"], image])
            sizes = [_size(dataset, one) for one in (file, of)]
            if sizes[0] is None:
                problems.append(problem("mask", file, "is missing, or no picture"))
            elif sizes[1] is not None and sizes[0] != sizes[1]:
                found = f"{sizes[0][0]} x {sizes[0][1]} pixels, its {folder} {sizes[1][0]} x {sizes[1][1]}"
                problems.append(problem("mask", file, found))
    return problems


def _size(dataset: Dataset, file: str) -> tuple[int, int] | None:
    """Rows and columns; None where there is no picture."""
    try:
        return png_shape(dataset.root / file)
    except DatasetError:
        return None
