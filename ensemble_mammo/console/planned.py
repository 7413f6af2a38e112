"""What the command line shows of a plan."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from ensemble_mammo.console.terminal import terminal

if TYPE_CHECKING:
    from ensemble_mammo.workflows.plan import Planned


def plan_table(planned: Planned, as_json: bool) -> None:
    """Each value with its reason, where the recipe is, and the training that is suggested."""
    if as_json:
        print(json.dumps(planned.as_json(), indent=2))
        return
    choices = [*planned.choices, planned.folds, planned.workers]
    said = [f"{one.key} = {one.value}" for one in choices]
    widest = max(map(len, said))
    for text, one in zip(said, choices, strict=True):
        _line(f"{text:<{widest}}  {one.reason}")
    _line(f"recipe: {planned.recipe}")
    _line(shlex.join(planned.command))


def _line(text: str) -> None:
    terminal().print(text, markup=False, highlight=False, soft_wrap=True)
