"""A prepared dataset with lesions made by hand, and heatmaps' boxes for it."""

import json

import numpy as np

from ensemble_mammo.records.fields import to_mapping
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import ImageRow, read_dataset, write_dataset
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.records.preparation import Preparation

SHAPE = (64, 40)


def dataset_made(root, images, outside="black"):
    """A dataset of images: (image_id, subject_id, view, label, [(finding, pathology, (top, left, side) or None)])."""
    rows, labels, lesions = [], [], []
    for image, subject, view, label, own in images:
        pixels = np.zeros(SHAPE, np.uint16)
        pixels[:, :20] = 30_000  # the breast: 64 x 20
        write_png16(root / f"images/{image}.png", pixels)
        rows.append(ImageRow(image, subject, "1", view, f"images/{image}.png", "test"))
        labels.append(label)
        for number, (finding, pathology, place) in enumerate(own, start=1):
            file = f"masks/{image}_{number}.png" if place else ""
            if place:
                top, left, side = place
                mask = np.zeros(SHAPE, np.uint8)
                mask[top : top + side, left : left + side] = 255
                write_mask(root / file, mask)
            lesion = LesionRow(f"{image}_{number}", image, subject, view, str(number), finding, pathology, mask=file)
            lesions.append(lesion)
    write_dataset(
        root, rows, {"pathology": labels}, {"preparation": to_mapping(Preparation(height=64, outside=outside))}
    )
    write_lesions(root, lesions)
    return read_dataset(root)


def entry(image, subject, view, boxes, shape=SHAPE, **more):
    """One image of lesions.json; boxes (score, row, column), of 10 x 10 pixels."""
    made = [
        {
            "score": s,
            "row": r,
            "column": c,
            "top": r - 5,
            "left": c - 5,
            "height": 10,
            "width": 10,
            "class": "benign-mass",
        }
        for s, r, c in boxes
    ]
    about = {"subject_id": subject, "exam_id": "1", "view": view, "image_id": image}
    return about | {"height": shape[0], "width": shape[1], "raw": "", "overlay": "", "boxes": made} | more


def heatmaps_written(folder, entries, **more):
    """A folder with a lesions.json."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {"task": "patch", "mode": "exact", "stride_px": 8, "patch_px": 16, "images": entries, "notes": []} | more
    (folder / "lesions.json").write_text(json.dumps(held))
    return folder


IMAGES = [
    ("i1", "A", "CC_R", "malignant", [("mass", "malignant", (10, 2, 10))]),
    ("i2", "A", "MLO_R", "malignant", [("mass", "malignant", (30, 5, 5)), ("mass", "benign", (50, 5, 4))]),
    ("i3", "B", "CC_L", "benign", []),
    ("i4", "B", "MLO_L", "benign", [("calcification", "", None)]),
    ("i5", "C", "CC_L", "malignant", [("mass", "", None)]),
    ("i6", "C", "MLO_L", "malignant", [("mass", "malignant", (0, 0, 8)), ("mass", "", None)]),
    ("i7", "D", "CC_L", "malignant", []),
]
"""i4: a finding that never has a mask; i5: a mass of unknown place; i6: beside a known one; i7: by its label alone."""

ENTRIES = [
    entry("i1", "A", "CC_R", [(0.9, 15, 7), (0.8, 15, 8), (0.7, 60, 30)]),
    entry("i2", "A", "MLO_R", [(0.6, 32, 7)]),
    entry("i3", "B", "CC_L", [(0.85, 20, 10), (0.1, 40, 10)]),
    entry("i4", "B", "MLO_L", [(0.5, 20, 10)]),
    entry("i5", "C", "CC_L", [(0.99, 20, 10)]),
    entry("i6", "C", "MLO_L", [(0.95, 50, 10), (0.3, 4, 4)]),
    entry("i7", "D", "CC_L", [(0.97, 50, 10)]),
]
"""Lesions at 0.9, 0.6, never, 0.3; false positives counted: 0.7, 0.85, 0.1, 0.5, on four images."""
