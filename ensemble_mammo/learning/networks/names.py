"""Names of networks: what timm does not know is refused with what is nearest to it."""

from __future__ import annotations

from difflib import get_close_matches

import timm

from ensemble_mammo.errors import RecipeError


def require_known(field: str, name: str) -> None:
    """Refuse a name that `timm.create_model` does not know.

    Args:
        field: where the name stands, such as `network.name`.
        name: of the network.

    Raises:
        RecipeError: it is unknown; the text brings near names.
    """
    if not timm.is_model(name):
        raise RecipeError(f"{field}: {name!r} is not known to timm{_near(name)}")


def _near(name: str) -> str:
    near = get_close_matches(name, timm.list_models(), n=3) or timm.list_models(f"*{name}*")[:3]
    return f"; did you mean {' or '.join(near)}?" if near else "; `timm.list_models()` names all"
