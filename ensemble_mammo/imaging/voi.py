"""From stored values to values of interest, 0 to 1: modality LUT, VOI LUT, window (DICOM PS3.3 C.11)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ensemble_mammo.records.preparation import Preparation

Values = NDArray[np.floating[Any]]


class VoiProblem(ValueError):  # noqa: N818 - turned into an ImageReadError that names the file
    """Why the values of interest cannot be had; the text goes behind the file's name."""


def modality_values(stored: NDArray[Any], found: Dataset) -> tuple[Values, float, float]:
    """Apply the Modality LUT Sequence, else slope and intercept (PS3.3 C.11.1).

    Args:
        stored: `[H, W]` whole numbers, as stored.
        found: the header.

    Returns:
        The values, and the lowest and highest that the bits stored can give.
    """
    bits, signed = int(found.BitsStored), int(found.get("PixelRepresentation") or 0) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if found.get("ModalityLUTSequence"):
        table, first, depth = lookup_table(found.ModalityLUTSequence[0], signed)
        return apply_table(stored, table, first), 0.0, float(2**depth - 1)
    slope = float(1.0 if found.get("RescaleSlope") is None else found.RescaleSlope)
    intercept = float(found.get("RescaleIntercept") or 0.0)
    if slope == 0:
        raise VoiProblem("RescaleSlope is 0, so that every pixel is the same; the header is damaged")
    ends = sorted((low * slope + intercept, high * slope + intercept))
    if slope == 1 and intercept == 0:
        return stored.astype(np.float32), ends[0], ends[1]
    return (stored * slope + intercept).astype(np.float32), ends[0], ends[1]


def lookup_table(item: Dataset, signed: bool) -> tuple[Values, int, int]:
    """The values of a LUT item, the first value mapped, and the bits of its output (PS3.3 C.11.2.1.1)."""
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or data is None or len(descriptor) != 3:
        raise VoiProblem("a lookup table of its header lacks LUTDescriptor or LUTData")
    count, first, depth = (int(number) for number in descriptor)
    count = count or 65536
    first = first - 65536 if signed and first > 32767 else first
    if not 1 <= depth <= 16:
        raise VoiProblem(f"a lookup table says {depth} bits, expected 8 to 16")
    if isinstance(data, bytes | bytearray):  # OW: 8-bit entries may be packed two to a word
        table = np.frombuffer(data, "u1" if len(data) < 2 * count else "<u2")
    else:
        table = np.atleast_1d(np.asarray(data))
        if len(table) < count and depth <= 8:
            table = table.astype("<u2").view("u1")
    if len(table) < count:
        raise VoiProblem(f"a lookup table has {len(table)} entries, its descriptor says {count}")
    return table[:count].astype(np.float32), first, depth


def apply_table(values: NDArray[Any], table: Values, first: int) -> Values:
    """Look values up: those below the first mapped take the first entry, those above the last the last."""
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return np.asarray(table[places])


def window_values(values: Values, centre: float, width: float, function: str = "LINEAR") -> Values:
    """Apply a window to 0..1, as PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT) have it.

    Args:
        values: `[H, W]`, after the modality LUT.
        centre: Window Center.
        width: Window Width; at least 1 for LINEAR, above 0 otherwise.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise VoiProblem(f"VOILUTFunction is {function!r}, expected LINEAR, LINEAR_EXACT or SIGMOID")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise VoiProblem(f"WindowWidth is {width:g}, too small for {function}")
    values = values.astype(np.float32, copy=False)
    if function == "SIGMOID":
        power = np.clip(np.float32(-4.0) * (values - np.float32(centre)) / np.float32(width), -80, 80)
        return np.asarray(1 / (1 + np.exp(power)), np.float32)
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float32)
    return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1), np.float32)


def values_of_interest(
    stored: NDArray[Any],
    found: Dataset,
    preparation: Preparation,
    padding: NDArray[np.bool_] | None,
    highest: int | None = None,
) -> tuple[Values, list[str]]:
    """Stored values to 0..1, by the rule of `preparation.voi`.

    Args:
        stored: `[H, W]` whole numbers.
        found: the header.
        preparation: its `voi` and `window` are used.
        padding: `[H, W]`, pixels that are no measurement; they have no part in 'min-max'.
        highest: highest stored value among the pixels, if known: 'auto' takes 255 for white where no window says what
            is, and no pixel of 16 bits stored is above it (digitised films of 8 bits, such as CBIS-DDSM's).

    Returns:
        `[H, W]` float32 from 0 to 1 (MONOCHROME1 not yet turned), and notes.

    Raises:
        VoiProblem: what is asked for is not there, or makes no sense.
    """
    values, low, high = modality_values(stored, found)
    rule = preparation.voi
    tables = list(found.get("VOILUTSequence") or ())
    centres, widths = _numbers(found, "WindowCenter"), _numbers(found, "WindowWidth")
    windows = list(zip(centres, widths, strict=False))
    if rule == "auto":
        rule = "lut" if tables else "window" if windows else "stored"
    if rule == "lut":
        if not tables:
            raise VoiProblem("voi is 'lut', but its header has no VOI LUT Sequence; use 'auto', 'window' or 'stored'")
        names = [str(item.get("LUTExplanation") or "") for item in tables]
        place, notes = _choice(preparation.window, names, "VOI LUT")
        table, first, depth = lookup_table(tables[place], low < 0)
        return apply_table(values, table, first) / np.float32(2**depth - 1), notes
    if rule == "window":
        if not windows:
            raise VoiProblem("voi is 'window', but its header has no window; use 'auto', 'min-max' or 'stored'")
        names = _texts(found, "WindowCenterWidthExplanation")
        place, notes = _choice(preparation.window, (names + [""] * len(windows))[: len(windows)], "window")
        function = str(found.get("VOILUTFunction") or "LINEAR").strip().upper()
        return window_values(values, *windows[place], function), notes
    if rule == "min-max":
        kept = values if padding is None or padding.all() else values[~padding]
        low, high = float(kept.min()), float(kept.max())
        if high == low:
            return np.zeros(values.shape, np.float32), ["every pixel has the same value"]
    notes = []
    if preparation.voi == "auto" and (low, high) == (0, 65535) and highest is not None and 1 < highest < 256:
        high = 255.0
        notes.append("only 8 of the 16 bits stored are in use: 255 is taken for white")
    return np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1), notes


def _choice(wanted: int | str, names: list[str], kind: str) -> tuple[int, list[str]]:
    """The place of the window or LUT asked for, and a note where there was a choice to make."""
    if isinstance(wanted, str):
        upper = [name.strip().upper() for name in names]
        if wanted.strip().upper() in upper:
            return upper.index(wanted.strip().upper()), []
        known = ", ".join(repr(name) for name in names if name) or "none has a name"
        raise VoiProblem(f"{kind} {wanted!r} is not in its header; there are {len(names)}: {known}")
    if not 0 <= wanted < len(names):
        known = ", ".join(f"{place} {name}".strip() for place, name in enumerate(names))
        raise VoiProblem(f"{kind} {wanted} is not in its header, which has {len(names)}: {known}")
    if len(names) == 1 or wanted:
        return wanted, []
    return wanted, [f"several {kind}s, first used" + (f" ({names[0]})" if names[0] else "")]


def _numbers(found: Dataset, keyword: str) -> list[float]:
    return [float(number) for number in _several(found.get(keyword))]


def _texts(found: Dataset, keyword: str) -> list[str]:
    return [str(text).strip() for text in _several(found.get(keyword))]


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)
