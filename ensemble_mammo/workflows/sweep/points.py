"""The points of a sweep: axes from texts, their product, a folder name and the recipes of each."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.recipe_files import recipes_for, setting_value
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import Task, task_named
from ensemble_mammo.workflows.sweep.options import SweepOptions

RECIPE, SEED = "recipe", "seed"
"""The axes that are no field of a recipe."""

_LONGEST_LABEL, _LONGEST_NAME = 48, 120
_PROBLEMS_SHOWN = 5
_OPENING, _CLOSING = "[{", "]}"


@dataclass(frozen=True)
class Axis:
    """One thing that is varied."""

    key: str
    "a field of the recipe with dots, or `recipe`, or `seed`"
    values: tuple[str, ...]
    "as they were written; of a field, TOML or plain text"


@dataclass(frozen=True)
class Point:
    """One combination of values, one network (or one a view) to be trained."""

    name: str
    "of its folder: letters, digits and `._=+-`, unique in the sweep"
    values: Mapping[str, str]
    "key of each axis -> value as it was written"
    recipe: str
    "path or name"
    settings: tuple[str, ...]
    "laid over the recipe: those of the sweep, then those of the point"
    seed: int
    "of its training"
    recipes: Mapping[View | None, Recipe]
    "as resolved for each view; of a pooled network under None"

    @property
    def task(self) -> Task:
        """What its networks tell apart."""
        return task_named(next(iter(self.recipes.values())).task)

    @property
    def resizes_tiles(self) -> bool:
        """Whether its networks take tiles of any size."""
        return all(recipe.resizes_tiles for recipe in self.recipes.values())


def axes_of(texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes that `KEY=V1,V2` texts stand for.

    Commas within brackets, braces or quotes do not part values.

    Raises:
        RecipeError: no axis, no values, brackets left open, a key or a value given twice, or a key that is no table
            or field of a recipe; the text gives the nearest name.
    """
    if not texts:
        raise RecipeError("nothing to sweep over; give at least one --over, such as loss.positive_weight=1,2,4")
    axes: list[Axis] = []
    for text in texts:
        key, equals, listed = (part.strip() for part in text.partition("="))
        values = _parted(listed, text)
        if not equals or not key or not all(values):
            raise RecipeError(f"--over {text!r}: expected KEY=V1,V2, such as loss.positive_weight=1,2,4")
        _require_known(key, text)
        if key in (axis.key for axis in axes):
            raise RecipeError(f"--over {text!r}: {key} is an axis already; give all its values in one --over")
        meant: list[Any] = []
        for value in values:
            found = _meaning(key, value, text)
            if found in meant:
                raise RecipeError(f"--over {text!r}: {value} stands there twice")
            meant.append(found)
        axes.append(Axis(key, tuple(values)))
    return tuple(axes)


def points_of(options: SweepOptions) -> list[Point]:
    """Every point of the sweep, its recipes read and checked; the last axis runs fastest.

    Raises:
        RecipeError: an axis, a setting or a recipe is wrong, of whichever point; nothing is trained then.
    """
    axes = axes_of(options.over)
    keys = [axis.key for axis in axes]
    _require_one_source(options, keys)
    labels = [_labels(axis, keys) for axis in axes]
    points, problems = [], []
    for places in itertools.product(*(range(len(axis.values)) for axis in axes)):
        values = {axis.key: axis.values[place] for axis, place in zip(axes, places, strict=True)}
        name = _shortened("+".join(of[place] for of, place in zip(labels, places, strict=True)), _LONGEST_NAME)
        own = tuple(f"{key}={text}" for key, text in values.items() if key not in (RECIPE, SEED))
        settings = (*options.settings, *own)
        recipe, seed = values.get(RECIPE, options.recipe), int(values.get(SEED, options.train.seed))
        try:
            points.append(Point(name, values, recipe, settings, seed, recipes_for(recipe, options.views, settings)))
        except RecipeError as error:
            problems.append(str(error))
    if problems:
        told = list(dict.fromkeys(problems))
        more = f" (and {len(told) - _PROBLEMS_SHOWN} more)" if len(told) > _PROBLEMS_SHOWN else ""
        raise RecipeError("; ".join(told[:_PROBLEMS_SHOWN]) + more)
    return points


def _require_one_source(options: SweepOptions, keys: Sequence[str]) -> None:
    """Refuse what is told twice, and a sweep without a recipe."""
    if bool(options.recipe) == (RECIPE in keys):
        which = "a recipe is named and `recipe` is an axis: leave one out" if options.recipe else "no recipe is named"
        raise RecipeError(f"{which}; give --recipe NAME, or --over recipe=NAME,NAME")
    fixed = [text.partition("=")[0].strip() for text in options.settings]
    twice = [key for key in keys if key in fixed]
    if twice:
        raise RecipeError(f"{', '.join(twice)}: both set for all points and an axis; leave one out")


def _require_known(key: str, text: str) -> None:
    """Refuse a key whose first part a recipe does not have; what follows a dot is checked with the recipe."""
    known = [f.name for f in fields(Recipe)]
    first, dot, _ = key.partition(".")
    if first in known or (not dot and key in (RECIPE, SEED)):
        return
    near = get_close_matches(first, [*known, *(() if dot else (RECIPE, SEED))], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}, and {RECIPE}, {SEED}"
    raise RecipeError(f"--over {text!r}: unknown key {first!r}; {hint}")


def _meaning(key: str, value: str, text: str) -> Any:
    """What a value of an axis is; a seed that is none is refused."""
    if key == SEED and not value.isdecimal():
        raise RecipeError(f"--over {text!r}: seed {value!r} is no whole number from 0")
    return meaning_of(key, value)


def meaning_of(key: str, value: str) -> Any:
    """What a value of an axis is, so that the same one written in two ways is seen."""
    if key == RECIPE:
        return value
    return int(value) if key == SEED else setting_value(value)


def _parted(listed: str, text: str) -> list[str]:
    """The values between commas that stand in no brackets, braces or quotes."""
    parts, depth, quote = [""], 0, ""
    for place, sign in enumerate(listed):
        if quote:
            escaped = quote == '"' and listed[place - 1] == "\\"
            quote = quote if sign != quote or escaped else ""
        elif sign in "\"'":
            quote = sign
        depth += 0 if quote else (sign in _OPENING) - (sign in _CLOSING)
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    if depth or quote:
        raise RecipeError(f"--over {text!r}: a bracket or quote is not closed")
    return [part.strip() for part in parts]


def _labels(axis: Axis, keys: Sequence[str]) -> list[str]:
    """A short part of a file name for each value; two that would look alike get a hash."""
    found = [_label(axis.key, value, keys) for value in axis.values]
    folded = [label.casefold() for label in found]
    return [
        _hashed(label, value) if folded.count(label.casefold()) > 1 else label
        for label, value in zip(found, axis.values, strict=True)
    ]


def _label(key: str, value: str, keys: Sequence[str]) -> str:
    if key == RECIPE:
        text = Path(value).name.removesuffix(".toml")
    else:
        last = key.rpartition(".")[2]
        alike = [one for one in keys if one.rpartition(".")[2] == last]
        meant = setting_value(value)
        text = f"{key if len(alike) > 1 or last.isdigit() else last}-{meant if isinstance(meant, str) else value}"
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", text).strip("_").lstrip(".")
    return _shortened(plain or "value", _LONGEST_LABEL)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else _hashed(text[: longest - 10], text)


def _hashed(label: str, text: str) -> str:
    return f"{label}={hashlib.sha256(text.encode()).hexdigest()[:6]}"
