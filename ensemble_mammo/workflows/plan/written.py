"""A plan as files: a recipe in TOML with a reason beside each value, and all that it rests on in JSON."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

import ensemble_mammo
from ensemble_mammo.records.files import write_text
from ensemble_mammo.workflows.plan.choices import Choice
from ensemble_mammo.workflows.plan.dry_run import DryRun
from ensemble_mammo.workflows.plan.fingerprint import Fingerprint
from ensemble_mammo.workflows.plan.machine import Machine


@dataclass(frozen=True)
class Planned:
    """A plan and all that it rests on."""

    recipe: Path
    "the TOML file"
    command: tuple[str, ...]
    "the training that is suggested, word by word"
    folds: Choice
    "of the cross-validation; 0: trained once. No field of a recipe"
    workers: Choice
    "threads that load images. No field of a recipe"
    choices: tuple[Choice, ...]
    "the values of the recipe"
    facts: Fingerprint
    "of the dataset"
    machine: Machine
    "that it is for"
    tried: DryRun
    "what was measured"

    def as_json(self) -> dict[str, Any]:
        """What plan.json holds."""
        return {
            "version": ensemble_mammo.__version__,
            "recipe": self.recipe.name,
            "command": shlex.join(self.command),
            "folds": {"value": self.folds.value, "reason": self.folds.reason},
            "workers": {"value": self.workers.value, "reason": self.workers.reason},
            "choices": {one.key: {"value": one.value, "reason": one.reason} for one in self.choices},
            "fingerprint": asdict(self.facts),
            "machine": asdict(self.machine),
            "dry_run": {
                "seconds": round(self.tried.seconds, 1),
                "trials": [_rounded(asdict(one)) for one in self.tried.trials],
            },
        }


def recipe_text(choices: Sequence[Choice]) -> str:
    """TOML of the values, a reason beside each: plain keys first, then a table each, stages last."""
    lines = [_line(one.key, one) for one in choices if "." not in one.key]
    for name in dict.fromkeys(one.key.split(".")[0] for one in choices if "." in one.key):
        own = [one for one in choices if one.key.startswith(f"{name}.") and ".stages." not in one.key]
        lines += ["", f"[{name}]", *(_line(one.key.split(".")[1], one) for one in own)]
    stages = [one for one in choices if ".stages." in one.key]
    for place in dict.fromkeys(one.key.split(".")[2] for one in stages):
        own = [one for one in stages if one.key.split(".")[2] == place]
        lines += ["", "[[train.stages]]", *(_line(one.key.split(".")[3], one) for one in own)]
    return "\n".join(lines) + "\n"


def write_plan(plan: Planned) -> None:
    """Write the recipe, and beside it the JSON, each whole or not at all."""
    facts, machine = plan.facts, plan.machine
    classes = ", ".join(f"{name} {count}" for name, count in facts.classes.items())
    head = [
        f"Planned by ensemble-mammo {ensemble_mammo.__version__} for one dataset and one machine.",
        f"Data: {facts.learned} images to learn from ({classes}) of {facts.subjects} subjects; views "
        + ", ".join(f"{view} {count}" for view, count in facts.views.items()),
        f"Machine: {machine.name}, {machine.cores} cores, {machine.ram_gb:.0f} GB",
        f"Folds: {plan.folds.value} ({plan.folds.reason}). Workers: {plan.workers.value} ({plan.workers.reason}).",
        shlex.join(plan.command),
    ]
    write_text(plan.recipe, "".join(f"# {line}\n" for line in head) + recipe_text(plan.choices))
    write_text(plan.recipe.with_suffix(".json"), json.dumps(plan.as_json(), indent=2, ensure_ascii=False) + "\n")


def _line(key: str, choice: Choice) -> str:
    value = choice.value if not isinstance(choice.value, tuple) else list(choice.value)
    text = tomli_w.dumps({key: value}).strip() if not isinstance(value, list) else f"{key} = {json.dumps(value)}"
    return f"{text:<26} # {choice.reason}"


def _rounded(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers to three digits, null where there is none."""
    return {
        key: (None if math.isnan(value) else round(value, 3)) if isinstance(value, float) else value
        for key, value in trial.items()
    }
