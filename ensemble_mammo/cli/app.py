"""The application: what all verbs share, and the one place that catches our errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from ensemble_mammo import __version__
from ensemble_mammo.errors import EnsembleMammoError
from ensemble_mammo.execution.ranks import ranks_here, require_one
from ensemble_mammo.learning.stopping import TEMPORARY, no_longer_stopped, sigterm_as_before, stop_at_once
from ensemble_mammo.records.remote import settle, worded

_INTERRUPTED = 130
_DIVIDED = "train"
"The verb that several processes share."
_GONE_ON_WITH = ("train", "sweep")
"Verbs that SIGTERM ends with a status that means: try again."
NOTICE = "Not a medical device; for research."

app = typer.Typer(
    name="ensemble-mammo",
    help=f"Mammography classification: one network a projection, fused by subject. {NOTICE}",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ensemble-mammo {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say warnings and errors alone.")] = False,
) -> None:
    """Set up what all verbs share."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("ensemble_mammo").setLevel(level)
    if context.invoked_subcommand in _GONE_ON_WITH:
        stop_at_once()
    if context.invoked_subcommand != _DIVIDED:
        require_one(f"ensemble-mammo {context.invoked_subcommand}")
    elif (ranks := ranks_here()).world > 1:
        from ensemble_mammo.learning.parallel import join

        join(ranks.rank, ranks.world)


def main() -> None:
    """Run the command line; our errors become one line and exit status 1."""
    with sigterm_as_before():
        _run()


def _run() -> None:
    try:
        with _first_alone_heard(), _remote_settled():
            app()
    except EnsembleMammoError as error:
        no_longer_stopped()
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
        _say(f"error: {' '.join(line.strip() for line in str(error).splitlines())}")
        sys.exit(1)
    except SystemExit as end:
        no_longer_stopped()
        if not end.code:
            _leave()
        if end.code == _INTERRUPTED:
            _say("interrupted; the same command goes on from here")
        if end.code == TEMPORARY:
            _say("stopped by SIGTERM, the state is saved; the same command goes on from here")
        raise


@contextmanager
def _remote_settled() -> Iterator[None]:
    """Send what a command changed in remote folders, also if it failed; its error names their URLs."""
    failed: EnsembleMammoError | None = None
    try:
        yield
    except EnsembleMammoError as error:
        failed = type(error)(worded(str(error)))
        raise failed from error
    finally:
        try:
            settle(sends=ranks_here().is_first)
        except EnsembleMammoError as error:
            if failed is None:
                raise
            _say(f"error: {error}")


@contextmanager
def _first_alone_heard() -> Iterator[None]:
    """Of several processes that torchrun started, let the first one alone write to the terminal."""
    if ranks_here().is_first:
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _say(text: str) -> None:
    """Write a last line to the terminal, unless another of several processes has done so."""
    if _may_speak():
        typer.echo(text, err=True)


def _leave() -> None:
    if "torch" in sys.modules:
        from ensemble_mammo.learning.parallel import leave

        leave()


def _may_speak() -> bool:
    try:
        ranks = ranks_here()
    except EnsembleMammoError:  # the environment is what the last line is about
        return True
    if ranks.world > 1 and "torch" in sys.modules:
        from ensemble_mammo.learning.parallel import have_met, may_speak

        if have_met():
            return may_speak()
    return ranks.is_first
