"""Which versions decide what comes out: machines that work on one dataset have the same."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata

import ensemble_mammo

_DECISIVE = ("numpy", "scipy", "pillow", "pydicom", "pyjpegls", "pylibjpeg-openjpeg", "python-gdcm", "torch", "timm")
"""Packages that decode, calculate and write."""


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Of this machine: Python (major and minor), this package, and the packages that decide what comes out.

    What follows a plus, such as torch's CUDA, is left out: machines with and without GPUs work together.
    """
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "ensemble-mammo": ensemble_mammo.__version__}
    for name in _DECISIVE:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def difference(theirs: Mapping[str, str]) -> str:
    """What first differs between this machine and the one of a command, with this one's name; empty: nothing."""
    for name, version in versions().items():
        if version != (wanted := theirs.get(name, "none")):
            return f"node {platform.node()} has {name} {version}, this command {wanted}"
    return ""
