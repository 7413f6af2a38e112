"""Which training a network comes from, in facts that can be published: no paths, no ids."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ensemble_mammo.learning.checkpoint import CHECKSUM, LoadedRun
from ensemble_mammo.records.marks import marked_rows
from ensemble_mammo.records.recipe_files import recipe_to_toml
from ensemble_mammo.records.subject import View

_FACTS = ("seed", "epochs", "kept_epoch", "val_accuracy", "val_loss", "data_fingerprint", "images", "versions")
"""Keys of run.json that are handed on as they are."""


def provenance(runs: Mapping[View, Sequence[LoadedRun]]) -> dict[str, list[dict[str, Any]]]:
    """What run.json and the recipe of each loaded run say of it, by view.

    Returns:
        view -> a mapping a run: `fold` (null where there are none), `network`, `pretrained`, `source` (of the recipe),
        `recipe_sha256` (of the resolved recipe.toml), `input` (height x width), `contrast` (of the recipe), the facts
        of run.json (`seed`, `epochs`, `kept_epoch`, `val_accuracy`, `val_loss`, `data_fingerprint`, `images` by split
        and class, `versions`; null where it lacks them) and `weights_sha256`.
    """
    return {view.value: [_facts(run) for run in own] for view, own in runs.items()}


def subjects_seen(runs: Mapping[View, Sequence[LoadedRun]], rows: pd.DataFrame) -> set[str]:
    """The subjects of rows whom any of the networks learned from or was validated on, by the marks in run.json."""
    marks = {mark for own in runs.values() for run in own for mark in run.info.get("learned_from") or ()}
    return marked_rows(rows, marks)


def seen_note(count: int) -> str:
    """What must be said of subjects whom the networks know."""
    return (
        f"LEAKAGE: {count} of these subjects were in the training of these networks: neither scores nor maps of "
        "them are those of unseen subjects"
    )


def are_marked(runs: Mapping[View, Sequence[LoadedRun]]) -> bool:
    """Whether every run says whom it learned from."""
    return all(run.info.get("learned_from") for own in runs.values() for run in own)


def _facts(run: LoadedRun) -> dict[str, Any]:
    fold = run.folder.resolve().parent.name
    recipe = run.recipe
    return {
        "fold": fold if fold.startswith("fold-") else None,
        "network": recipe.network.name,
        "pretrained": recipe.network.pretrained,
        "source": recipe.source,
        "recipe_sha256": hashlib.sha256(recipe_to_toml(recipe).encode()).hexdigest(),
        "input": f"{recipe.input.height} x {recipe.input.width}",
        "contrast": recipe.input.contrast,
        **{name: run.info.get(name) for name in _FACTS},
        "weights_sha256": (run.folder / CHECKSUM).read_text(encoding="utf-8").split()[0],
    }
