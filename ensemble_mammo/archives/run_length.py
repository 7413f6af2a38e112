"""Run-length codes of COCO annotations, compressed or not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ensemble_mammo.records.lesion import Point


def corners_of_runs(code: Mapping[str, Any], frame: tuple[int, int]) -> tuple[Point, ...]:
    """The runs of a code as rectangles one column wide.

    Args:
        code: `size` (rows, columns) and `counts`, a list or a compressed text: pixels outside and inside by turns,
            down one column after the other, beginning outside.
        frame: (rows, columns) of the image.

    Returns:
        Top left and bottom right corner of each run, pair after pair.

    Raises:
        ValueError: not such a code, of another size, or nothing inside.
    """
    counts = code.get("counts")
    if code.get("size") != list(frame):
        raise ValueError(f"run-length code of size {code.get('size')!r}, expected {list(frame)} as the image")
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or not all(isinstance(c, int) and c >= 0 for c in counts):
        raise ValueError("counts of the run-length code are neither whole numbers from 0 nor a compressed text")
    if sum(counts) != frame[0] * frame[1]:
        raise ValueError(f"run-length code of {sum(counts)} pixels, expected {frame[0] * frame[1]} as the image has")
    corners: list[Point] = []
    position, rows = 0, frame[0]
    for run, count in enumerate(counts):
        if run % 2:
            ends = [position, *range((position // rows + 1) * rows, position + count, rows), position + count]
            for first, last in pairwise(ends):
                column, row = divmod(first, rows)
                corners += [(column, row), (column + 1, row + last - first)] if last > first else []
        position += count
    if not corners:
        raise ValueError("the run-length code has no area")
    return tuple(corners)


def _uncompressed(text: str) -> list[int]:
    """The counts of a compressed run-length code.

    Five bits a letter (from '0'), the lowest first; the sixth bit says that more follow, the fifth of the last one is
    the sign. From the third on, counts are differences from the last but one before them.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("counts of the run-length code are no compressed text")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the compressed counts of the run-length code are cut off")
    return counts
