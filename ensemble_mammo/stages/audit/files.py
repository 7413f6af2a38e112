"""Problems of single files, from their header and their pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ensemble_mammo.archives.dicom import FoundImage
from ensemble_mammo.imaging.inspect import Inspection
from ensemble_mammo.records.problem import Problem, problem
from ensemble_mammo.records.subject import View
from ensemble_mammo.stages.audit.gather import Entry, Gathered

MOST_BACKGROUND = 0.05
"a background above this level is called not black (real sets: 0 to 0.03 but for single films)"
LEAST_BREAST = 0.05
"share of the image under which next to no breast was found"
_UNUSED_BITS = 2
"so many of the bits stored unused: values reach a quarter of what they could"
_SPECIAL = re.compile(r"spot|magnif|implant|displaced|rolled|tangential|cleavage|axillary|compress|specimen", re.I)
_ML_WORD = re.compile(r"(^|[^A-Za-z])(R|L)?ML(R|L)?([^A-Za-z]|$)")
_MAGNIFIED = 1.25
"EstimatedRadiographicMagnificationFactor above this is no contact view (a standard one has about 1.0 to 1.1)"


def problems_of_file(entry: Entry, found: FoundImage | None, seen: Inspection, gathered: Gathered) -> list[Problem]:
    """What is to be said of one file by itself.

    Args:
        entry: the file, with its view.
        found: what header and name say of the view of a loose file; None where a table states it.
        seen: what was seen in it.
        gathered: what it belongs to: headers of a prepared dataset's images say nothing.
    """
    dataset = gathered.source == "dataset"
    blackened = gathered.preparation is not None and gathered.preparation.outside == "black"
    problems = [] if dataset else [*_of_header(entry, seen), *_of_view(entry, found, seen)]
    return problems + list(_of_pixels(entry, seen, blackened))


def _of_header(entry: Entry, seen: Inspection) -> Iterator[Problem]:
    facts = seen.facts
    if facts.photometric == "MONOCHROME1":
        yield problem("monochrome1", entry.name, "low values are bright; turned on reading")
    if facts.format == "dicom" and facts.windows == 0:
        yield problem("no-window", entry.name, f"all {facts.bits_stored} bits stored are shown")
    if facts.windows > 1:
        yield problem("windows", entry.name, f"{facts.windows} windows or VOI LUTs to choose from")
    if facts.presentation == "FOR PROCESSING":
        yield problem("for-processing", entry.name, "raw detector values")
    if facts.burned_in == "YES":
        yield problem("burned-in", entry.name, "the header says that writing is burned in")
    if facts.implant == "YES":
        yield problem("implant", entry.name, "the header says that there is an implant")
    used = bits_used(seen)
    if used is not None and facts.bits_stored > 8 and used <= facts.bits_stored - _UNUSED_BITS:
        yield problem(
            "bits-unused",
            entry.name,
            f"{used} of {facts.bits_stored} bits are used (highest value {facts.stored_high})",
        )


def bits_used(seen: Inspection) -> int | None:
    """Bits that the highest stored value needs; None where the pixels are signed or not decoded."""
    facts = seen.facts
    if facts.stored_high is None or facts.stored_low is None or facts.stored_low < 0:
        return None
    return max(1, facts.stored_high.bit_length())


def _of_view(entry: Entry, found: FoundImage | None, seen: Inspection) -> Iterator[Problem]:
    facts = seen.facts
    special = [text for text in facts.modifiers if _SPECIAL.search(text)]
    if special:
        yield problem("special-view", entry.name, f"view modifier: {', '.join(special)}")
    if facts.magnification is not None and facts.magnification > _MAGNIFIED:
        yield problem("special-view", entry.name, f"magnified {facts.magnification:g} times")
    if found is None and entry.view:
        yield from _against_header(entry, entry.view, seen)
    if found is None or found.view is not None:
        return
    text = facts.view_text.upper()
    if found.conflict:
        yield problem("conflict", entry.name, found.problem)
    elif text == "ML" or (not text and _ML_WORD.search(found.path.stem.upper())):
        looks = "" if math.isnan(seen.mlo) else f"; its pixels score {seen.mlo:.2f} as an MLO (CC views: about 0)"
        yield problem("ml-view", entry.name, f"called ML{looks}")
    elif "neither CC nor MLO" in found.problem or "views table says" in found.problem:
        yield problem("other-view", entry.name, found.problem)
    else:
        yield problem("no-view", entry.name, found.problem.partition(";")[0])


def _against_header(entry: Entry, view: View, seen: Inspection) -> Iterator[Problem]:
    """What an archive's tables or folders state, held against the header."""
    facts = seen.facts
    if facts.side and facts.side != view.side:
        yield problem("conflict", entry.name, f"{facts.side} breast in the header, {view.side} in the archive's tables")
    if facts.projection and facts.projection != view.projection:
        found = f"view {facts.projection} in the header, {view.projection} in the archive's tables"
        yield problem("conflict", entry.name, found)


def _of_pixels(entry: Entry, seen: Inspection, blackened: bool) -> Iterator[Problem]:
    if seen.inverted and not entry.turned:
        yield problem("inverted", entry.name, "its background is brighter than the breast")
    if seen.breast_share < LEAST_BREAST:
        yield problem("little-breast", entry.name, f"{100 * seen.breast_share:.1f} % of the image is breast")
    if seen.background > MOST_BACKGROUND and not seen.inverted and not blackened:
        yield problem("background", entry.name, f"median level outside the breast is {seen.background:.2f} of 1")
    if seen.text:
        yield problem("text-inside", entry.name, f"{seen.text} signs in one line inside the breast")
