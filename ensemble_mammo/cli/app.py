"""The application: what all verbs share, and the one place that catches our errors."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from ensemble_mammo import __version__
from ensemble_mammo.errors import EnsembleMammoError

_INTERRUPTED = 130
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


def main() -> None:
    """Run the command line; our errors become one line and exit status 1."""
    try:
        app()
    except EnsembleMammoError as error:
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
        typer.echo(f"error: {' '.join(line.strip() for line in str(error).splitlines())}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.echo("interrupted; the same command goes on from here", err=True)
        raise
