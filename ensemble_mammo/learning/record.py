"""What a training writes: its state after each epoch and where it is stopped, its history, its events, its facts."""

from __future__ import annotations

import io
import json
import math
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import timm
import torch
from torch import nn

from ensemble_mammo import __version__
from ensemble_mammo.errors import RunError
from ensemble_mammo.learning import parallel
from ensemble_mammo.learning.checkpoint import (
    CHECKSUM,
    INFO,
    RECIPE,
    WEIGHTS,
    Passport,
    read_tensors,
    write_tensors,
    write_weights,
)
from ensemble_mammo.learning.loop import begin_epoch
from ensemble_mammo.learning.midway import Part
from ensemble_mammo.learning.schedule import schedule
from ensemble_mammo.learning.state import HISTORY, SEVERAL, Setting, State
from ensemble_mammo.records.files import write_text
from ensemble_mammo.records.recipe_files import recipe_from_toml, recipe_to_toml

STATE = "state.safetensors"
HISTORY_TABLE = "history.csv"
EVENTS = "events"
CURVES = {
    "loss_train.txt": "train_loss",
    "acc_train.txt": "train_accuracy",
    "loss_val.txt": "val_loss",
    "acc_val.txt": "val_accuracy",
}
"""Plain files of one value an epoch, as users of the INFN ensemble know them -> column of the history."""


@dataclass(frozen=True)
class Identity:
    """What must agree for a training to be resumed, or for a finished one to be taken as it is."""

    passport: Passport
    "recipe, view, classes and preparation"
    seed: int
    "of all that is random"
    data: str
    "fingerprint of the training and validation rows"

    def as_table(self) -> dict[str, Any]:
        """The identity as plain values."""
        return {
            "recipe": recipe_to_toml(self.passport.recipe),
            "view": self.passport.name,
            "seed": self.seed,
            "data": self.data,
        }


def differences(found: dict[str, Any], wanted: Identity) -> list[str]:
    """What of a written identity is not as wanted, in words."""
    table = wanted.as_table()
    texts = [
        f"{name} was {found.get(name)!r}, now {table[name]!r}"
        for name in ("view", "seed")
        if found.get(name) != table[name]
    ]
    if found.get("data") != table["data"]:
        texts.append("other images, labels or splits")
    if recipe_from_toml(str(found.get("recipe", "")), STATE) != wanted.passport.recipe:
        before, now = str(found.get("recipe", "")).splitlines(), table["recipe"].splitlines()
        gone = [line for line in before if line and line not in now]
        come = [line for line in now if line and line not in before]
        texts.append(f"recipe was {', '.join(gone) or 'shorter'}, now {', '.join(come) or 'shorter'}")
    return texts


def write_state(folder: Path, state: State, identity: Identity) -> None:
    """Write all that a resumed training needs, whole or not at all."""
    assert state.optimizer is not None
    tensors = {f"network.{key}": value for key, value in state.network.state_dict().items()}
    tensors |= {f"random.{place}": value for place, value in enumerate(state.part.random)}
    if state.kept_epoch != state.epoch or state.part.batches:
        tensors |= {f"kept.{key}": value for key, value in state.kept.items()}
    for number, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(v) for name, v in values.items() if v is not None}
    about = {
        "history": state.history,
        "part": {name: value for name, value in asdict(state.part).items() if name != "random"},
        "kept_epoch": state.kept_epoch,
        "kept_only": state.kept_only,
        "scaler": state.scaler.state_dict(),
        "identity": identity.as_table(),
    }
    write_tensors(folder / STATE, tensors, about)


def read_identity(folder: Path) -> dict[str, Any]:
    """The identity in a state file; empty where there is no state."""
    return read_tensors(folder / STATE)[1].get("identity", {}) if (folder / STATE).is_file() else {}


def read_state(folder: Path, state: State, setting: Setting) -> None:
    """Put a written state into a fresh one, so that training goes on as if it had never stopped.

    Raises:
        RunError: the file is damaged or holds another network.
    """
    tensors, about = read_tensors(folder / STATE)
    parts: dict[str, dict[str, Any]] = {"network": {}, "kept": {}, "optimizer": {}, "random": {}}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    try:
        state.network.load_state_dict(parts["network"])
    except RuntimeError as error:
        raise RunError(f"{folder / STATE}: holds another network; train with --restart ({error})") from error
    state.history, state.kept_epoch = about["history"], about["kept_epoch"]
    state.kept_only = about.get("kept_only", SEVERAL)  # not in states of earlier versions
    state.part = _part_of(about.get("part", {}), parts["random"])  # not in states of earlier versions
    state.kept = parts["kept"] or (parts["network"] if state.kept_epoch else {})
    recipe, last = setting.recipe.train, state.epoch - (not state.part.batches)  # the epoch at work, or the last one
    begin_epoch(state, schedule(recipe, last, state.val_losses[:last]), recipe)
    _put_optimizer(state, parts["optimizer"])
    if about["scaler"]:
        state.scaler.load_state_dict(about["scaler"])


def _part_of(about: Mapping[str, Any], random: Mapping[str, torch.Tensor]) -> Part:
    return Part(**about, random=tuple(random[str(place)] for place in range(len(random))))


def _put_optimizer(state: State, tensors: dict[str, torch.Tensor]) -> None:
    assert state.optimizer is not None
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    values: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        like = parameters[int(number)]
        # in the memory layout of its parameter: another layout may round in another order
        own = torch.empty_like(like, requires_grad=False).copy_(tensor) if tensor.shape == like.shape else tensor
        values.setdefault(int(number), {})[name] = own
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": values})


def write_history(folder: Path, state: State) -> None:
    """Write history.csv and the four plain curves."""
    table = pd.DataFrame(state.history, columns=list(HISTORY)).astype({"epoch": int, "stage": int})
    write_text(folder / HISTORY_TABLE, table.to_csv(index=False, lineterminator="\n", na_rep="nan"))
    for name, column in CURVES.items():
        text = io.StringIO()
        np.savetxt(text, table[column].to_numpy())
        write_text(folder / name, text.getvalue())


def write_result(folder: Path, state: State, identity: Identity, info: dict[str, Any]) -> None:
    """Write the kept weights, then run.json, which says that the run is finished."""
    write_history(folder, state)
    write_weights(folder, state.kept, identity.passport)
    write_info(folder, info)


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write run.json; figures that are not defined stand there as null."""
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in info.items()}
    write_text(folder / INFO, json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def facts(state: State, identity: Identity, setting: Setting, status: str) -> dict[str, Any]:
    """The facts of a run so far, for run.json."""
    rows = state.history
    seconds = sum(row["seconds"] for row in rows)
    kept = rows[state.kept_epoch - 1] if state.kept_epoch else {}
    return {
        "status": status,
        "view": identity.passport.name,
        "task": identity.passport.task.name,
        "classes": list(identity.passport.classes),
        "network": setting.recipe.network.name,
        "seed": identity.seed,
        "data_fingerprint": identity.data,
        "epochs": len(rows),
        "kept_epoch": state.kept_epoch,
        "val_accuracy": kept.get("val_accuracy", math.nan),
        "val_loss": kept.get("val_loss", math.nan),
        "val_auc": kept.get("val_auc", math.nan),
        "val_correlation": kept.get("val_correlation", math.nan),
        "val_recall": kept.get("val_recall", math.nan),
        "val_precision": kept.get("val_precision", math.nan),
        "wall_seconds": seconds,
        "images_per_second": float(np.mean([row["images_per_second"] for row in rows])) if rows else math.nan,
        "waiting_share": state.pace.waiting_share,
        "matrix_share": _matrix_share(state, setting),
        "peak_memory_mb": peak_memory_mb(setting.device),
        "device": torch.cuda.get_device_name(setting.device) if setting.device.type == "cuda" else "cpu",
        "precision": str(setting.dtype).removeprefix("torch."),
        "processes": parallel.world(),
        "threads": torch.get_num_threads(),
        "parameters": _parameters(state.network),
        "platform": platform.platform(),
        "versions": {
            "ensemble-mammo": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "timm": timm.__version__,
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
        },
    }


def _matrix_share(state: State, setting: Setting) -> float:
    """Share of the GPU's matrix rate that the epochs of the last stage used."""
    rows = state.history
    rates = [row["images_per_second"] / parallel.world() for row in rows if row["stage"] == rows[-1]["stage"]]
    return state.pace.matrix_share(state.network, setting.recipe.input.size, rates)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that was in use at once, in MB: of the GPU, else of this process; nan where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def clear(folder: Path, everything: bool) -> None:
    """Remove what interrupted writing left behind, and, with `everything`, all that a training writes."""
    names: Sequence[str] = (RECIPE, WEIGHTS, CHECKSUM, INFO, STATE, HISTORY_TABLE, *CURVES)
    for name in names:
        for rest in folder.glob(f".{name}.*"):
            rest.unlink()
        if everything:
            (folder / name).unlink(missing_ok=True)
    if everything:
        shutil.rmtree(folder / EVENTS, ignore_errors=True)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
