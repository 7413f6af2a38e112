"""The tables of Scuccimarra's abnormality networks beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ensemble_mammo.merit.sections import Table
from ensemble_mammo.workflows.reproduce.result import COLUMNS, Reproduction, compared, facts_of, result_rows


def scuccimarra(obtained: Mapping[str, Path]) -> Reproduction:
    """Set the published tables beside the figures of our own reports.

    Args:
        obtained: id of a published result -> report.json of a run of ours (tasks abnormality and abnormality5). As
            published, `recall` is the share of abnormal images that are called any abnormal class.

    Raises:
        PredictionError: an unknown id, or a file that is no report.
    """
    facts = facts_of("scuccimarra")
    counts = Table(
        "counts",
        "Data",
        COLUMNS,
        [
            compared(one["what"], float(one["published"]), None, f"not obtained: {one['why']}")
            for one in facts["counts"]
        ],
    )
    results = Table(
        "results",
        "Tables 1 to 4, and thresholds with contrasts",
        COLUMNS,
        result_rows(facts["results"], obtained),
        f"Calling every image normal reaches an accuracy of about {facts['most_frequent']:.2f} on these sets, calling "
        f"every image abnormal one of about {1 - facts['most_frequent']:.2f}.",
    )
    return Reproduction("scuccimarra", facts["title"], facts["source"], (counts, results))
