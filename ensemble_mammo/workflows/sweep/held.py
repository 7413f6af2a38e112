"""What an earlier sweep left in a folder, so that more values can be added and no row of its tables is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble_mammo.errors import RecipeError, RunError
from ensemble_mammo.merit.calls import Acting
from ensemble_mammo.records.recipe_files import recipes_for
from ensemble_mammo.records.subject import View
from ensemble_mammo.workflows.sweep.judge import FIGURES, Judgement
from ensemble_mammo.workflows.sweep.points import RECIPE, SEED, Axis, Point, meaning_of
from ensemble_mammo.workflows.sweep.result import SWEEP, Outcome

_TRAINED = ("recipe", "settings", "seed", "folds", "data_fingerprint")
"""Facts of sweep.json that all points of one folder share."""
_JUDGED = ("judged_on", "on", "on_split", "threshold")
"""Facts of sweep.json that rows of one table share."""
_OTHER = "take another --out, or --restart"


@dataclass(frozen=True)
class Held:
    """The finished points of an earlier sweep in the same folder."""

    axes: tuple[Axis, ...]
    "those asked for, the earlier values before the new ones"
    others: tuple[Outcome, ...] = ()
    "of values that are not asked for now"
    again: tuple[Outcome, ...] = ()
    "of values that are asked for again"


def held_in(out: Path, axes: tuple[Axis, ...], about: Mapping[str, Any], points: Sequence[Point]) -> Held:
    """What of an earlier sweep stays in the tables; points that failed do not.

    Args:
        out: the folder of the sweep.
        axes: those asked for.
        about: what all points asked for share, as sweep.json has it.
        points: those asked for.

    Raises:
        RunError: the folder holds a sweep of another recipe, of other data or over other axes; or one judged otherwise,
            with points that are not asked for now; or a sweep.json that cannot be read.
    """
    path = out / SWEEP
    if not path.is_file():
        return Held(axes)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        _require_same(out, told, axes, about)
        finished = [_outcome(one, axes) for one in told["points"] if not one["failure"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecipeError) as error:
        raise RunError(f"{path}: cannot be read: {error!r}; {_OTHER}") from error
    asked = {_values(point): point for point in points}
    beside = [(one, asked.get(_values(one.point))) for one in finished]
    others = tuple(one for one, point in beside if point is None)
    wrong = _differing(_JUDGED, told, about)
    if wrong and others:
        names = ", ".join(one.point.name for one in others)
        raise RunError(
            f"{out}: holds points judged otherwise ({'; '.join(wrong)}): {names} would be lost from its tables; ask "
            f"for them too, {_OTHER}"
        )
    if wrong:
        return Held(axes)
    again = tuple(replace(one, point=point) for one, point in beside if point and point.name == one.point.name)
    return Held(tuple(_widened(axis, others) for axis in axes), others, again)


def _require_same(out: Path, told: Mapping[str, Any], axes: Sequence[Axis], about: Mapping[str, Any]) -> None:
    """Refuse a folder with a sweep of something else, so that its tables are not lost."""
    wrong = _differing(_TRAINED, told, about)
    have, want = list(told.get("over", {})), [axis.key for axis in axes]
    if have != want:
        wrong.append(f"over {', '.join(have) or 'nothing'}, asked for over {', '.join(want)}")
    if wrong:
        raise RunError(f"{out}: holds another sweep: {'; '.join(wrong)}; {_OTHER}")


def _differing(names: Sequence[str], told: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    return [f"{name} {told.get(name)!r}, asked for {about[name]!r}" for name in names if told.get(name) != about[name]]


def _values(point: Point) -> tuple[str, ...]:
    """What a point stands for, so that 2 and 2.0 are one value."""
    return tuple(_plain(key, text) for key, text in point.values.items())


def _plain(key: str, text: str) -> str:
    value = meaning_of(key, text)
    return repr(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _widened(axis: Axis, others: Sequence[Outcome]) -> Axis:
    """An axis with the values of points that are not asked for now before its own."""
    values = {_plain(axis.key, text): text for text in (*(one.point.values[axis.key] for one in others), *axis.values)}
    return Axis(axis.key, tuple(values.values()))


def _outcome(told: Mapping[str, Any], axes: Sequence[Axis]) -> Outcome:
    """A point as sweep.json holds it."""
    settings = tuple(told["settings"])
    own = dict(text.split("=", 1) for text in settings) | {RECIPE: told["recipe"], SEED: str(told["seed"])}
    values = {axis.key: own[axis.key] for axis in axes}
    recipes = recipes_for(told["recipe"], tuple(View), settings)
    point = Point(told["name"], values, told["recipe"], settings, told["seed"], recipes)
    return Outcome(point, told["seconds"], tuple(_judgement(one) for one in told["judged"]))


def _judgement(told: Mapping[str, Any]) -> Judgement:
    figures = {name: float("nan") if told[name] is None else told[name] for name in FIGURES if name in told}
    threshold = None if told["threshold"] is None else Acting(**told["threshold"])
    notes = tuple(told["notes"])
    return Judgement(told["on"], told["images"], figures, threshold, told["folder"], told["collapsed"], notes)
