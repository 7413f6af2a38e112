"""What a dataset's table says of each file, apart from its pixels: facts that may tell a label, as numbers.

The breast's box is left out, since it is the size of the breast; so are implants. Names count by their pattern and by
their numbers alone, never by their words: a folder or file that is called after its class is how the label came in,
and no network sees it.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

_RARE = 5
"a word of fewer images than this counts as 'rare', all such words together"
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
_ABSENT = -1.0


def file_facts(rows: pd.DataFrame) -> dict[str, Numbers]:
    """The facts that differ between images: name -> `[N, k]`.

    Args:
        rows: of a manifest, text columns.
    """
    facts = {
        "manufacturer": _words(rows["manufacturer"]),
        "device": _words(rows["device"]),
        "collection": _words(rows["collection"]),
        "size": _size(rows),
        "pixel spacing": _number(rows["pixel_spacing_mm"]),
        "date": _dates(rows["exam_id"]),
        "name": np.hstack([_words(rows["image_id"].map(_pattern)), _number(rows["subject_id"].map(_last_number))]),
    }
    varying = {name: values[:, np.ptp(values, axis=0) > 0] for name, values in facts.items()}
    return {name: values for name, values in varying.items() if values.shape[1]}


def ages(rows: pd.DataFrame) -> Numbers:
    """Age in years, `[N, 1]`; -1 where it is unknown."""
    return _number(rows["age"])


def _words(texts: pd.Series) -> Numbers:
    """One column a word, rare words pooled."""
    counts = texts.map(texts.value_counts())
    pooled = texts.where(counts >= _RARE, "(rare)")
    return np.asarray(pd.get_dummies(pooled).to_numpy(), np.float32).reshape(len(texts), -1)


def _number(texts: pd.Series) -> Numbers:
    values = pd.to_numeric(texts, errors="coerce").fillna(_ABSENT)
    return np.asarray(values, np.float32).reshape(-1, 1)


def _size(rows: pd.DataFrame) -> Numbers:
    height, width = _number(rows["source_height"]), _number(rows["source_width"])
    return np.hstack([height, width, width / np.maximum(height, 1)])


def _dates(texts: pd.Series) -> Numbers:
    """Year with its part gone by, and month; -1 where no date is there."""
    found = texts.map(_DATE.search)
    years = [int(m[1]) + int(m[2]) / 12 if m else _ABSENT for m in found]
    months = [int(m[2]) if m else _ABSENT for m in found]
    return np.asarray([years, months], np.float32).T.reshape(len(texts), 2)


def _pattern(name: str) -> str:
    return re.sub(r"\d", "0", re.sub(r"[^\W\d_]+", "a", name))


def _last_number(name: str) -> str:
    found = re.findall(r"\d+", name)
    return found[-1][:12] if found else ""
