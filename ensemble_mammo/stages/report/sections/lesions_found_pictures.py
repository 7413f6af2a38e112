"""Pictures of the section on lesions found: the surest hits and the worst misses."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble_mammo.errors import PredictionError
from ensemble_mammo.imaging.overlay import contours, draw_contours, grey_rgb
from ensemble_mammo.merit.hitting import Boxes
from ensemble_mammo.merit.inputs.heatmaps import ImageBoxes
from ensemble_mammo.merit.inputs.lesion_hits import Hits
from ensemble_mammo.merit.sections import Picture
from ensemble_mammo.records.manifest import Dataset
from ensemble_mammo.records.png16 import WHITE, read_mask, read_png16
from ensemble_mammo.stages.report.study import Study

_PICTURES = 2
"pictures of the surest hits, and as many of the worst misses"
_HEIGHT = 420
"rows of a picture"
_BOXES = 5
"boxes drawn where an image has no picture of its heatmap"


def pictures(hits: Hits, study: Study) -> tuple[Picture, ...]:
    """The images of the lesions that score highest, and of those that score lowest, the lesion outlined."""
    dataset, scores = study.options.dataset, hits.held.units["lesion"].scores
    if dataset is None or not len(scores):
        return ()
    order = np.argsort(-scores, kind="stable").tolist()
    surest = [at for at in order[:_PICTURES] if np.isfinite(scores[at])]
    worst = [at for at in order[::-1] if at not in surest][:_PICTURES]
    made = []
    for said, places in (("among the surest hits", surest), ("among the worst misses", worst)):
        for at in places:
            lesion = hits.lesions[at]
            entry = hits.entries[lesion.place]
            who = "" if study.options.hide_ids else f"{entry.subject_id} {entry.exam_id} "
            what = " ".join(filter(None, (lesion.pathology, lesion.finding))) or "lesion"
            hit = f"its best box scores {scores[at]:.3g}" if np.isfinite(scores[at]) else "no box hits it"
            above = int((hits.held.images[lesion.place].scores > scores[at]).sum())
            caption = f"The outlined {what}: {hit}; boxes of the image that score higher: {above}; {said}."
            made.append(Picture(f"{who}{entry.view}", _drawn(entry, dataset, read_mask(lesion.mask)), caption))
    return tuple(made)


def _drawn(entry: ImageBoxes, dataset: Dataset, mask: NDArray[np.bool_]) -> bytes:
    """The heatmap's picture, or the image with its best boxes, with the lesion's outline; a small JPEG."""
    shape = entry.shape
    if entry.overlay is not None and entry.overlay.is_file():
        try:
            with Image.open(entry.overlay) as image:
                shown = np.asarray(image.convert("RGB").resize(shape[::-1], Image.Resampling.BILINEAR))
        except (OSError, SyntaxError, ValueError) as error:
            raise PredictionError(f"{entry.overlay}: damaged, or no PNG ({error}); make the heatmaps again") from error
    else:
        table = dataset.table.set_index("image_id")
        pixels = read_png16(dataset.root / str(table.loc[entry.image_id, "file"]))
        shown = _boxed(grey_rgb(pixels.astype(np.float32) / np.float32(WHITE)), entry.boxes)
    outline = contours(mask.astype(np.float32), (0.5,))
    shown = draw_contours(shown, outline, colours="cool", width=max(2, round(shape[0] / 300)))
    small = Image.fromarray(shown)
    small.thumbnail((_HEIGHT, _HEIGHT), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    small.save(held, format="JPEG", quality=85)
    return held.getvalue()


def _boxed(picture: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.uint8]:
    """The best boxes drawn on a picture."""
    rows, columns = np.array(picture.shape[:2]) - 1
    best = np.argsort(-boxes.scores, kind="stable")[:_BOXES]
    corners = []
    for top, left, height, width in boxes.rectangles[best].tolist():
        x, y = (left, left + width), (top, top + height)
        square = np.array([[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]], [x[0], y[0]]])
        corners.append(np.clip(square, 0, [columns, rows]))
    return draw_contours(picture, {0.8: corners})
