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
    plan,
    reproduce,
    demo,
)  # as --help lists them

# isort: on
from ensemble_mammo.cli.urls import taking_urls

for verb in app.registered_commands:
    assert verb.callback is not None
    verb.callback = taking_urls(verb.callback)

__all__ = [
    "app",
    "audit",
    "demo",
    "explain",
    "fuse",
    "heatmap",
    "main",
    "patches",
    "plan",
    "predict",
    "prepare",
    "report",
    "reproduce",
    "sweep",
    "tiles",
    "train",
]
