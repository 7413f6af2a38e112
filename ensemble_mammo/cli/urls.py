"""URLs on the command line: any path of any verb may be one."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

from ensemble_mammo.records.remote import fetch, is_url, mirrors, place_of, worded

_WRITTEN = ("out",)
"""Arguments that are written to; the others are read alone."""
_TEXTS = ("files", "validation", "obtained", "on", "recipe")
"""Arguments that are texts and name a path or URL, some as NAME=PATH."""


def taking_urls(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with local paths in place of URLs, their files brought; what it prints names the URLs again.

    Args:
        verb: a function of the command line; arguments that are paths, and some texts, may be URLs.
    """

    @functools.wraps(verb)
    def called(**given: Any) -> Any:
        given = {name: _placed(name, value) for name, value in given.items()}
        if not mirrors():
            return verb(**given)
        from ensemble_mammo.execution.progress import track

        with _said_as_urls():
            fetch(track)
            return verb(**given)

    return called


def _placed(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_placed(name, one) for one in value]
    if isinstance(value, Path) and is_url(value):
        return place_of(value, writes=name in _WRITTEN)
    if name in _TEXTS and isinstance(value, str):
        before, equals, path = value.rpartition("=")
        return f"{before}{equals}{place_of(path)}" if is_url(path) else value
    return value


@contextmanager
def _said_as_urls() -> Iterator[None]:
    """Name URLs, not the folders of the cache, in what is printed and logged."""

    def reword(record: logging.LogRecord) -> bool:
        record.msg, record.args = worded(record.getMessage()), ()
        return True

    handlers = logging.getLogger().handlers[:]
    for handler in handlers:
        handler.addFilter(reword)
    try:
        with redirect_stdout(cast(TextIO, _Worded(sys.stdout))):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(reword)


class _Worded:
    """Standard output that names URLs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(worded(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
