"""Recipes as TOML files: found by name, `extends` and view tables resolved, settings laid over."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import tomli_w

from ensemble_mammo.errors import RecipeError
from ensemble_mammo.records.fields import FieldProblems, from_mapping, to_mapping
from ensemble_mammo.records.recipe import Recipe
from ensemble_mammo.records.subject import View


def recipes_folder() -> Path:
    """The folder of recipes: the installed copy, else `views/` of the checkout."""
    installed = Path(__file__).parents[1] / "views"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "views"


def recipe_names() -> list[str]:
    """Every shipped recipe, as `density/finetune`."""
    folder = recipes_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe given as a path, as `density/infn` or, where only one is called so, as `infn`.

    Raises:
        RecipeError: no such recipe, or several.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise RecipeError(f"recipe {name}: no such file; shipped recipes: {', '.join(recipe_names())}")
        return path
    names = recipe_names()
    matches = [known for known in names if known == name or known.split("/")[-1] == name]
    if len(matches) == 1:
        return recipes_folder() / f"{matches[0]}.toml"
    if matches:
        raise RecipeError(f"recipe {name!r} is one of several: {', '.join(matches)}; write the folder too")
    near = get_close_matches(name, names + [known.split("/")[-1] for known in names], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"recipe {name!r} is neither a file nor one of {', '.join(names)}{hint}")


def load_recipe(name: str | Path, view: View | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe, resolve `extends` and the view's own table, and apply `key=value` settings last.

    Args:
        name: a path or the name of a shipped recipe.
        view: the projection to be trained; its table `[view.<VIEW>]` is laid over the rest.
        settings: such as `train.epochs=5`, `network.name="resnet18"` or `train.stages.0.learning_rate=1e-3`.

    Raises:
        RecipeError: the file is missing or not TOML, a key is unknown, a value is out of range; all at once.
    """
    path = find_recipe(str(name))
    table = _read_table(path)
    base = table.pop("extends", None)
    if base is not None:
        beside = path.parent / str(base)
        parent = _read_table(beside if beside.is_file() else find_recipe(str(base)))
        if "extends" in parent:
            raise RecipeError(f"{path}: extends {base!r}, which extends another recipe; one level is allowed")
        if view is not None:
            parent = _merge(parent, _own(parent, view))
        table = _merge({key: value for key, value in parent.items() if key != "view"}, table)
    views = table.pop("view", {})
    problems = []
    if not isinstance(views, Mapping):
        problems.append("view is not a table")
        views = {}
    for named, own in views.items():
        if named not in tuple(View):
            problems.append(f"unknown key 'view.{named}'; expected one of {', '.join(View)}")
            continue
        if not isinstance(own, Mapping):
            problems.append(f"view.{named} is {own!r}, expected a table")
            views = {}
            break
        try:
            from_mapping(Recipe, _merge(table, own))
        except FieldProblems as error:
            problems += [f"[view.{named}] {text}" for text in error.problems]
    if view is not None:
        table = _merge(table, views.get(view, {}))
    for setting in settings:
        table = _set(table, setting)
    try:
        recipe = from_mapping(Recipe, table)
    except FieldProblems as error:
        problems = error.problems + [text for text in problems if not text.startswith("[view.")]
    if problems:
        raise RecipeError(f"{path}: " + "; ".join(problems))
    return recipe


def recipes_for(name: str | Path, views: Sequence[View], settings: Sequence[str] = ()) -> dict[View | None, Recipe]:
    """The recipe of each view, or the one of a pooled network under None.

    Raises:
        RecipeError: as for `load_recipe`; or some views alone of a pooled recipe.
    """
    bare = load_recipe(name, None, settings)
    if not bare.pooled:
        return {view: load_recipe(name, view, settings) for view in views}
    if len(views) < len(View):
        raise RecipeError(
            f"recipe {name}: pooled, one network for all views; it cannot be trained for {', '.join(views)} alone"
        )
    return {None: bare}


def recipe_to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML that `load_recipe` reads back to an equal one."""
    return tomli_w.dumps(to_mapping(recipe))


def recipe_from_toml(text: str, where: str) -> Recipe:
    """The recipe written by `recipe_to_toml`.

    Raises:
        RecipeError: the text is no recipe of this version; begins with `where`.
    """
    try:
        return from_mapping(Recipe, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, FieldProblems) as error:
        raise RecipeError(f"{where}: {error}") from error


def setting_value(text: str) -> Any:
    """What the value of a setting means: TOML, or, where it is none, the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _read_table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror or error}") from error


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _own(table: Mapping[str, Any], view: View) -> Mapping[str, Any]:
    """A table's own part for a view; what is none is found by the checks that follow."""
    views = table.get("view", {})
    own = views.get(view, {}) if isinstance(views, Mapping) else {}
    return own if isinstance(own, Mapping) else {}


def _set(table: dict[str, Any], setting: str) -> dict[str, Any]:
    """The table with `key=value` laid over it; a number in the key is a place in a list, from 0."""
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"setting {setting!r} is not of the form key=value, such as train.epochs=5")
    return cast("dict[str, Any]", _laid(table, parts, setting_value(text), setting))


def _laid(holder: Any, parts: Sequence[str], value: Any, setting: str) -> Any:
    if not parts:
        return value
    first, *rest = parts
    if isinstance(holder, list):
        if not first.isdigit() or int(first) >= len(holder):
            raise RecipeError(f"setting {setting!r}: {first!r} is no place in a list of {len(holder)}, counted from 0")
        changed = list(holder)
        changed[int(first)] = _laid(holder[int(first)], rest, value, setting)
        return changed
    below = holder if isinstance(holder, Mapping) else {}
    return {**below, first: _laid(below.get(first), rest, value, setting)}
