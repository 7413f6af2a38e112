"""The table of contents of a report: its sections, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from ensemble_mammo.merit.sections import Section
from ensemble_mammo.stages.report.sections import (
    baseline,
    calibration,
    classes,
    comparison,
    contrast,
    errors,
    fusion,
    image_classes,
    images,
    lesions_found,
    maps,
    planning,
    provenance,
    readers,
    second_look,
    subgroups,
    two_classes,
)
from ensemble_mammo.stages.report.study import Study

CONTENTS: tuple[Callable[[Study], Section | None], ...] = (
    comparison.section,
    baseline.section,
    classes.section,
    two_classes.section,
    contrast.section,
    images.section,
    image_classes.section,
    subgroups.section,
    fusion.section,
    second_look.section,
    errors.section,
    readers.section,
    calibration.section,
    maps.section,
    lesions_found.section,
    planning.section,
    provenance.section,
)
"""Each makes one section, or None where there is nothing to say."""


def sections_of(study: Study) -> list[Section]:
    """The sections that this study has, in order."""
    made = (make(study) for make in CONTENTS)
    return [section for section in made if section is not None]
