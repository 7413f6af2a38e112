"""Figures of merit as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

_DARK_FROM = 0.55


def confusion_png(confusion: ArrayLike, classes: Sequence[str], level: str, dpi: int = 150) -> bytes:
    """A confusion matrix as a PNG: in each cell the count, and its share of the true class (which is the shade).

    Args:
        confusion: counts [C, C], rows are true classes.
        classes: C names.
        level: what was classified, for the title.
        dpi: pixels an inch; the picture is about 4 inches wide.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    size = max(3.4, 1.6 + 0.62 * len(classes))
    figure = Figure(figsize=(size, size), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        share = shares[row, column]
        under = "–" if np.isnan(share) else f"{share:.0%}"
        colour = "white" if share > _DARK_FROM else "#16304a"
        axes.text(column, row - 0.1, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=12)
        axes.text(column, row + 0.24, under, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"{level}, n = {counts.sum()}", fontsize=11)
    axes.tick_params(length=0)
    for edge in np.arange(0.5, len(classes) - 1):
        axes.axhline(edge, color="white", linewidth=1.5)
        axes.axvline(edge, color="white", linewidth=1.5)
    axes.spines[:].set_color("#9fb3c8")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
