"""How many lesions with a mask the boxes find: a first look; the report has the whole curve, with intervals."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ensemble_mammo.imaging.breast import breast_mask
from ensemble_mammo.lesions.heatmap.options import Hits
from ensemble_mammo.merit.froc import BEST, best_boxes
from ensemble_mammo.merit.inputs.lesion_hits import froc_of_dataset
from ensemble_mammo.records.manifest import Dataset


def hits_in(out: Path, dataset: Dataset, images: Collection[str]) -> Hits | None:
    """What the boxes of lesions.json find; None where no lesion of these images has a mask.

    Args:
        out: holds lesions.json.
        dataset: of the images.
        images: image_id of those looked at.

    Raises:
        DatasetError: damaged masks, or such as are not of their image's size.
    """
    lesions = dataset.lesions()
    if not ((lesions["mask"] != "") & lesions["image_id"].isin(list(images))).any():
        return None
    found, (at_one,) = froc_of_dataset(out, dataset, breast_mask)
    best = best_boxes(found.held, BEST, resamples=0)
    shares = {k: (one["lesion"].value, one["alarms"].value) for k, one in zip(BEST, best, strict=True)}
    return Hits(len(found.lesions), at_one.value, shares, str(found.rule))
