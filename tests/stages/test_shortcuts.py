"""Probes of whole datasets: a label that can be told without looking at the breast is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.imaging.facts import HeaderFacts
from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.imaging.prepared import prepare_pixels
from ensemble_mammo.imaging.read import Mammogram
from ensemble_mammo.records.lesion import LesionRow, write_lesions
from ensemble_mammo.records.manifest import Dataset, ImageRow, manifest_table
from ensemble_mammo.records.png16 import write_mask, write_png16
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.audit.shortcuts import ProbeFinding, ShortcutOptions, probe_shortcuts

SUBJECTS = 24
QUICK = ShortcutOptions(
    height=64, folds=3, resamples=50, device="cpu", workers=1, network="test_efficientnet", pretrained="none"
)


def build(root: Path, preparation: Preparation, border: float = 0.0, **columns: list[str]) -> Dataset:
    """Two views of each subject; malignant films have a bright border; a round lesion in every image but four."""
    rows, lesions, labels = [], [], []
    for subject in range(SUBJECTS):
        malignant = subject % 2 == 1
        views = phantom_exam(subject, "ABCD"[subject // 2 % 4], height=96)
        for view in (View.CC_L, View.MLO_L):
            pixels = views[view].copy()
            if malignant and border:
                pixels[:3] = pixels[-3:] = border
            name = f"i{subject:03d}_{view.value}"
            made = prepare_pixels(
                Mammogram(pixels, HeaderFacts("PNG", *pixels.shape, 8), ""),
                preparation,
            )
            write_png16(root / f"images/{name}.png", made.pixels)
            rows.append(ImageRow(name, f"S{subject:03d}", "1", view.value, f"images/{name}.png",
                                 "test" if subject >= 20 else "train"))  # fmt: skip
            labels.append("malignant" if malignant else "benign")
            if subject >= 2:
                mask = np.zeros(made.pixels.shape, np.uint8)
                mask[30:40, 10:20] = 255
                write_mask(root / f"masks/{name}.png", mask)
                lesions.append(LesionRow(f"{name}_1", name, f"S{subject:03d}", view.value, mask=f"masks/{name}.png",
                                         top="30", left="10", height="10", width="10"))  # fmt: skip
    rows = [replace(row, **{name: values[i] for name, values in columns.items()}) for i, row in enumerate(rows)]
    write_lesions(root, lesions)
    return Dataset(root, manifest_table(rows, {"pathology": labels}, "manifest.csv"), preparation)


def by_name(findings: list[ProbeFinding]) -> dict[tuple[str, str], ProbeFinding]:
    return {(one.target, one.probe): one for one in findings}


KEPT = Preparation(crop=False, outside="keep", height=96)


def test_a_bright_border_of_one_class_is_found_and_blackening_the_outside_makes_it_harmless(tmp_path: Path) -> None:
    before = by_name(probe_shortcuts(build(tmp_path / "before", KEPT, border=0.9), QUICK))
    for name in ("outside", "strips", "blotted"):
        found = before["pathology", name]
        assert found.value > 0.95, name
        assert found.severity == "warning", name
        assert "--outside black" in found.advice, name
    assert before["pathology", "whole"].severity == "info"
    black = replace(KEPT, crop=True, outside="black")
    after = by_name(probe_shortcuts(build(tmp_path / "after", black, border=0.9), QUICK))
    outside = after["pathology", "outside"]
    assert (outside.value, outside.low, outside.high, outside.severity) == (0.5, 0.5, 0.5, "info")
    assert after["pathology", "strips"].severity == "info"


def test_every_finding_stands_beside_the_whole_image_and_chance(tmp_path: Path) -> None:
    findings = [one for one in probe_shortcuts(build(tmp_path, KEPT), QUICK) if one.target == "pathology"]
    assert [one.probe for one in findings] == ["whole", "outside", "strips", "thumbnail", "blotted", "blots", "facts"]
    assert len({one.whole for one in findings}) == 1
    assert findings[0].value == findings[0].whole
    assert {one.chance for one in findings} == {0.5}


def test_labels_of_test_subjects_are_never_looked_at(tmp_path: Path) -> None:
    dataset = build(tmp_path, KEPT, border=0.9)
    turned = dataset.table.copy()
    test = turned["split"] == "test"
    turned.loc[test, "pathology"] = turned.loc[test, "pathology"].map({"benign": "malignant", "malignant": "benign"})
    own, other = (probe_shortcuts(replace(dataset, table=table), QUICK) for table in (dataset.table, turned))
    assert own == other
    label = by_name(own)["pathology", "outside"]
    assert (label.images, label.subjects) == (40, 20)
    assert by_name(own)["split", "outside"].images == 48


def test_file_facts_that_tell_are_named(tmp_path: Path) -> None:
    malignant = [place // 2 % 2 == 1 for place in range(2 * SUBJECTS)]
    devices = ["Reader 2" if one else "Reader 1" for one in malignant]
    dataset = build(tmp_path, KEPT, device=devices, age=["50"] * len(devices))
    found = by_name(probe_shortcuts(dataset, QUICK))["pathology", "facts"]
    assert found.value > 0.99
    assert found.severity == "warning"
    assert "most of all: device, AUC 1.00" in found.advice


def test_age_that_tells_is_shown_but_is_no_shortcut(tmp_path: Path) -> None:
    ages = [str(70 if place // 2 % 2 else 45) for place in range(2 * SUBJECTS)]
    found = by_name(probe_shortcuts(build(tmp_path, KEPT, age=ages), QUICK))["pathology", "age"]
    assert found.value > 0.99
    assert found.severity == "info"
    assert "no shortcut" in found.advice


@pytest.mark.slow
def test_collections_that_hold_one_class_each_are_a_shortcut_and_mixed_ones_are_not(tmp_path: Path) -> None:
    torn = ["b" if place // 2 % 2 else "a" for place in range(2 * SUBJECTS)]
    mixed = ["b" if place // 4 % 2 else "a" for place in range(2 * SUBJECTS)]
    dataset = build(tmp_path, KEPT, border=0.9, collection=torn)
    found = by_name(probe_shortcuts(dataset, QUICK))
    assert found["pathology", "collection"].severity == "warning"
    assert found["collection", "outside"].severity == "warning"
    table = dataset.table.assign(collection=mixed)
    found = by_name(probe_shortcuts(replace(dataset, table=table), QUICK))
    assert found["pathology", "collection"].severity == "info"
    assert {one.severity for key, one in found.items() if key[0] == "collection"} == {"info"}


def test_an_image_whose_lesion_has_no_mask_is_left_out_of_the_blotted_probe(tmp_path: Path) -> None:
    dataset = build(tmp_path, KEPT)
    lesions = pd.read_csv(tmp_path / "lesions.csv", dtype=str, keep_default_na=False)
    lesions.loc[0, "mask"] = ""
    lesions.to_csv(tmp_path / "lesions.csv", index=False)
    found = by_name(probe_shortcuts(dataset, QUICK))
    assert found["pathology", "whole"].images - found["pathology", "blotted"].images == 1


def test_a_large_dataset_is_probed_on_subjects_drawn_at_random(tmp_path: Path) -> None:
    findings = by_name(probe_shortcuts(build(tmp_path, KEPT), replace(QUICK, most_images=30)))
    assert findings["split", "outside"].images <= 30


def test_one_class_alone_gives_an_undefined_figure_with_its_reason(tmp_path: Path) -> None:
    dataset = build(tmp_path, KEPT)
    table = dataset.table.assign(pathology="benign")
    found = by_name(probe_shortcuts(replace(dataset, table=table), QUICK))["pathology", "outside"]
    assert np.isnan(found.value)
    assert found.severity == "info"
    assert found.advice == "one class only: benign; nothing to tell apart"


def test_a_dataset_without_the_tasks_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no column 'density'"):
        probe_shortcuts(build(tmp_path, KEPT), replace(QUICK, task="density"))


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    dataset = build(tmp_path, KEPT)
    (tmp_path / "images/i003_CC_L.png").unlink()
    with pytest.raises(DatasetError, match=r"i003_CC_L\.png: missing"):
        probe_shortcuts(dataset, QUICK)
