"""Pages looked at in the machine's own Chromium; tests that want it are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Opened:
    """A page as the browser shows it."""

    page: Any
    "Playwright's page"
    problems: list[str] = field(default_factory=list)
    "errors and warnings of the console, and whatever the page asked for beside itself"


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium, closed at the end."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)), None) or playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.skip(f"no Chromium here: none of {', '.join(NAMES)}, and Playwright has not its own")
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, path: Path, **context: Any) -> Iterator[Opened]:
    """A local file in a fresh context (`viewport`, `color_scheme`, …), with all that goes wrong on it."""
    fresh = browser.new_context(**context)
    shown = Opened(fresh.new_page())
    address = path.resolve().as_uri()

    def asked(request: Any) -> None:
        if not request.url.startswith(("data:", "blob:", address)):
            shown.problems.append(f"asked for {request.url}")

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            shown.problems.append(message.text)

    shown.page.on("console", said)
    shown.page.on("pageerror", lambda error: shown.problems.append(str(error)))
    shown.page.on("request", asked)
    try:
        shown.page.goto(address)
        yield shown
    finally:
        fresh.close()
