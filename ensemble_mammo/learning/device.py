"""The device and the precision that a run computes with, decided in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ensemble_mammo.errors import TrainingError

DEVICES = ("auto", "cpu", "cuda")
"""What may be asked for."""


def resolve_device(name: str = "auto") -> torch.device:
    """The device asked for; `auto` is the GPU where there is one.

    Raises:
        TrainingError: no such device on this machine.
    """
    if name not in DEVICES:
        raise TrainingError(f"device {name!r} is not one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device 'cuda': this machine has no GPU that torch can use; take --device cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that convolutions and products are computed in; everything else stays float32.

    Args:
        name: as `train.precision` of a recipe. `mixed` and `auto` are bfloat16 (else float16) on a
            GPU; on a processor `mixed` is float32, `auto` bfloat16 where there are instructions for it.
        device: where it is computed.

    Raises:
        TrainingError: float16 on a processor.
    """
    if name in ("mixed", "auto") and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if name == "auto":
        return torch.bfloat16 if _processor_has_bfloat16() else torch.float32
    if name == "float16" and device.type != "cuda":
        raise TrainingError("train.precision = 'float16' needs a GPU; take 'auto', 'bfloat16' or 'float32'")
    fixed = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    return (fixed | dict.fromkeys(("mixed", "float32"), torch.float32))[name]


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Have a network's calls compiled by torch.compile, in place: it and its tensors keep their names.

    A last batch of another size has the compiler make one more version, for any number of images.

    Raises:
        TrainingError: torch cannot compile on this machine.
    """
    try:
        torch.compile(lambda values: values * 2 + 1)(torch.ones(3, device=device))
    except Exception as error:  # torch tells of a missing compiler by many kinds
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(
            f"train.compile = true, and torch.compile fails here ({said[0]}); install a C++ compiler, on a GPU Triton "
            "as well, or set train.compile = false"
        ) from error
    network.compile()


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Compute the same bits each time on a processor; leave torch's own random state as it was.

    On a GPU nothing is promised: some of its kernels add up in an order that changes.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    gpus = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        try:
            if device.type == "cpu":
                torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
                torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def _processor_has_bfloat16() -> bool:
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
