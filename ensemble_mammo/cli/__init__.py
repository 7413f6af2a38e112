"""The command line: a module a verb, one thin function each; heavy imports wait inside them."""

from ensemble_mammo.cli.app import app, main

# isort: off
from ensemble_mammo.cli import (
    prepare,
    audit,
    patches,
    tiles,
    train,
    predict,
    fuse,
    heatmap,
    report,
    explain,
    sweep,
    reproduce,
    demo,
)  # as --help lists them
# isort: on

__all__ = [
    "app",
    "audit",
    "demo",
    "explain",
    "fuse",
    "heatmap",
    "main",
    "patches",
    "predict",
    "prepare",
    "report",
    "reproduce",
    "sweep",
    "tiles",
    "train",
]
