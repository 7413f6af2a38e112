"""What the words of a DICOM file's pixels mean: worked out once a word, not once a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ensemble_mammo.imaging.voi import values_of_interest
from ensemble_mammo.records.preparation import Preparation

_BAND = 64
"rows"


@dataclass(frozen=True)
class Meaning:
    """What every word that may stand for a pixel means in one file."""

    values: NDArray[np.float32]
    "[256] or [65536] by word: from 0 to 1, tissue bright, padding 0"
    lowest: int
    "lowest stored value among the pixels"
    highest: int
    "highest stored value among the pixels"
    notes: tuple[str, ...] = ()
    "what is worth saying of them"

    def of(self, words: NDArray[Any]) -> NDArray[np.float32]:
        """The values of `[H, W]` words, a band of rows at a time: numpy widens a word to 8 bytes to look it up."""
        values = np.empty(words.shape, np.float32)
        for top in range(0, len(words), _BAND):
            np.take(self.values, words[top : top + _BAND], out=values[top : top + _BAND], mode="clip")
        return values


def meaning_of_words(words: NDArray[Any], found: Dataset, preparation: Preparation) -> Meaning:
    """From a word to a value: bits stored, sign, modality, values of interest, MONOCHROME1 turned, padding black.

    Args:
        words: `[H, W]` unsigned, as decoded, with all bits allocated.
        found: the header.
        preparation: its `voi` and `window` are used.

    Raises:
        VoiProblem: what is asked for is not in the header, or makes no sense.
    """
    every = np.arange(256**words.dtype.itemsize, dtype=words.dtype)
    stored = _stored_values(every, found)
    padding = _padding(every, stored, found)
    signed = int(found.get("PixelRepresentation") or 0) == 1
    most = int(words.max())
    beyond = not signed and most >> _shift(found) >= 2 ** int(found.BitsStored)
    absent = None
    if signed or beyond or preparation.voi == "min-max":
        absent = np.ones(every.shape, bool)
        absent[words] = False
        there = stored[~absent]
        lowest, highest = int(there.min()), int(there.max())
        if padding is not None and not (absent | padding).all():
            absent |= padding
    else:
        lowest, highest = int(stored[int(words.min())]), int(stored[most])
    values, said = values_of_interest(stored, found, preparation, absent, highest)
    if str(found.PhotometricInterpretation).strip().upper() == "MONOCHROME1":
        values = 1 - values
    if padding is not None:
        values = np.where(padding, 0, values)
    bits = found.BitsStored
    notes = [f"bits above the {bits} stored are set in some pixels (an overlay?) and were left out"] if beyond else []
    return Meaning(np.asarray(np.clip(values, 0, 1), np.float32), lowest, highest, (*notes, *said))


def _shift(found: Dataset) -> int:
    """How many bits of a word lie below those stored."""
    bits, high = int(found.BitsStored), found.get("HighBit")
    shift = high + 1 - bits if isinstance(high, int) and not found.file_meta.TransferSyntaxUID.is_encapsulated else 0
    return max(0, min(shift, int(found.BitsAllocated) - bits))


def _stored_values(words: NDArray[Any], found: Dataset) -> NDArray[np.int32]:
    """The bits stored alone, sign-extended, int32."""
    bits = int(found.BitsStored)
    kept = (words.astype(np.int32) >> _shift(found)) & (2**bits - 1)
    if int(found.get("PixelRepresentation") or 0) == 1:
        kept = np.where(kept >= 2 ** (bits - 1), kept - 2**bits, kept).astype(np.int32)
    return kept


def _padding(words: NDArray[Any], stored: NDArray[np.int32], found: Dataset) -> NDArray[np.bool_] | None:
    """Which words are padding, or None: PixelPaddingValue to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2).

    The value may lie outside the bits stored; it is then compared with all bits allocated.
    """
    value = found.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = found.get("PixelPaddingRangeLimit")
    limit = limit if isinstance(limit, int) else value
    bits, signed = int(found.BitsStored), int(found.get("PixelRepresentation") or 0) == 1
    if signed:
        value, limit = (number - 65536 if number > 32767 else number for number in (value, limit))
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = min(value, limit), max(value, limit)
    mask = (stored >= low) & (stored <= high)
    if not least <= value <= most:
        mask |= words == (value & (2 ** (8 * words.dtype.itemsize) - 1))
    return mask if mask.any() else None
