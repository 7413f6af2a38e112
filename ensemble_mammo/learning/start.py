"""The run that a training starts from: what it was, and whom it learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ensemble_mammo.errors import WeightsError
from ensemble_mammo.learning.checkpoint import CHECKSUM, passport_of, read_info, runs_in
from ensemble_mammo.records.preparation import Preparation
from ensemble_mammo.records.recipe import InputRecipe, NetworkRecipe
from ensemble_mammo.records.remote import brought, shown


@dataclass(frozen=True)
class Start:
    """A trained run whose weights a new training begins with."""

    network: NetworkRecipe
    "the new network, with what the run tells of it: its folder, the backbone, the channels, the blocks' stride"
    input: InputRecipe
    "the run's own input"
    preparation: Preparation
    "of the images it learned from"
    name: str
    "the run's own network"
    task: str
    "what it told apart"
    several_layers: bool
    "whether it has a last layer a collection, so that its images were read in several ways"
    weights_sha256: str
    "of its weights"
    learned_from: tuple[str, ...]
    "marks of the subjects it learned from or was validated on"
    trained_on: tuple[str, ...]
    "marks of those it learned from alone; none where its run.json does not say"


def start_of(recipe: NetworkRecipe) -> Start | None:
    """The start of a recipe whose first weights are a run's; None for others.

    Raises:
        RunError: no finished run there.
        WeightsError: several runs there, or one on another backbone than the recipe names.
    """
    if recipe.pretrained != "run":
        return None
    places = sorted({place for own in runs_in(brought(recipe.weights_file)).values() for place in own})
    if len(places) > 1:
        raise WeightsError(
            f"{recipe.weights_file}: holds {len(places)} runs; name the one to start from, such as {places[0]}"
        )
    folder = places[0]
    passport = passport_of(folder)
    own = passport.recipe.network
    network = replace(recipe, weights_file=shown(folder), in_channels=own.in_channels)
    if recipe.name == "whole_image":
        backbone = own.backbone or own.name
        if recipe.backbone not in ("", backbone):
            raise WeightsError(
                f"{folder}: its network stands on {backbone!r}, the recipe's on {recipe.backbone!r}; take a recipe for "
                f"{backbone}, or set network.backbone = '{backbone}'"
            )
        network = replace(network, backbone=backbone)
        if own.name == recipe.name:
            network = replace(network, block_stride=own.block_stride)
    info = read_info(folder)
    learned = tuple(info.get("learned_from") or ())
    trained = tuple(info.get("trained_on") or ())
    checksum = (folder / CHECKSUM).read_text(encoding="utf-8").split()[0]
    return Start(
        network,
        passport.recipe.input,
        passport.preparation,
        own.name,
        passport.task.name,
        bool(own.layers),
        checksum,
        learned,
        trained,
    )
