"""URLs of remote stores: what they name, and where their files lie in the local cache."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ensemble_mammo.errors import ExecutionError

CACHE = "ENSEMBLE_MAMMO_CACHE"
"""The environment variable that names the folder of the cache."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
"A Path keeps one of the two slashes; a drive such as C: is one letter."
_CHAINED = re.compile(r"[A-Za-z0-9+.-]+::")
_SERVERS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "STORAGE_EMULATOR_HOST",
)
"""Settings of those libraries that make one URL mean other data."""
_LOCAL = ("file", "local")
_WITHOUT_STORE = ("memory",)
"Protocols whose URLs begin with the path."


@dataclass(frozen=True)
class Address:
    """A URL in its parts."""

    protocol: str
    "such as s3"
    store: str
    "bucket, container or host; empty where the protocol has none"
    path: str
    "of the folder or file in it, without slashes at its ends; empty: all of it"

    @property
    def root(self) -> str:
        """The URL of the store; with a slash and a path, that of a file."""
        return f"{self.protocol}://{self.store}" if self.store else f"{self.protocol}:/"

    @property
    def url(self) -> str:
        """As it is shown."""
        return f"{self.root}/{self.path}" if self.path else self.root


def is_url(text: str | Path) -> bool:
    """Whether a text (or what a Path keeps of it) is a URL, `file://` included."""
    return bool(_URL.fullmatch(str(text)) or _CHAINED.match(str(text)))


def local_path(text: str | Path) -> Path | None:
    """The path of this machine that a text names; None where it is a URL of a remote store."""
    found = _URL.fullmatch(str(text))
    if found and found[1].lower() in _LOCAL:
        return Path(str(text)[len(found[1]) + 1 :].removeprefix("//"))
    return None if is_url(text) else Path(text)


def address_of(text: str | Path) -> Address:
    """The parts of a URL.

    Raises:
        ExecutionError: it carries a password or a query, chains several stores, or names no place in one.
    """
    found = _URL.fullmatch(str(text))
    if not found:
        raise ExecutionError(
            f"{text}: URLs that chain several stores are not taken; expected such as s3://bucket/folder"
        )
    protocol = found[1].lower()
    first, _, path = ("", "", found[2]) if protocol in _WITHOUT_STORE else found[2].partition("/")
    path = (path or found[2]).strip("/") if protocol in _WITHOUT_STORE else path.strip("/")
    if ":" in first.rpartition("@")[0]:
        raise ExecutionError(
            f"{protocol}://…@{first.rpartition('@')[2]}: a URL with a password is not taken, since it would stand in "
            "files and logs; give credentials by the environment or a profile"
        )
    if "?" in path or "?" in first:
        raise ExecutionError(f"{protocol}://{first}: a URL with a query (?…) is not taken; give the plain one")
    if not (first or path):
        raise ExecutionError(f"{protocol}://: names no place; expected such as {protocol}://bucket/folder")
    if not is_safe(path) and path:
        raise ExecutionError(f"{protocol}://{first}/{path}: its parts cannot name folders of this machine")
    return Address(protocol, first, path)


def is_safe(path: str) -> bool:
    """Whether the name of a remote file can name one of this machine, inside the cache."""
    return not any(part in ("", ".", "..") for part in path.split("/")) and "\0" not in path and "\\" not in path


def cache_of(address: Address) -> Path:
    """The folder of the cache that mirrors a store; its files lie in `files/` under their remote names.

    Raises:
        ExecutionError: there is no home folder, and no ENSEMBLE_MAMMO_CACHE.
    """
    try:
        named = os.environ.get(CACHE)
        root = Path(named).expanduser() if named else Path.home() / ".cache" / "ensemble-mammo"
    except RuntimeError as error:
        raise ExecutionError(f"no home folder for the cache of remote files; set {CACHE}") from error
    server = "\0".join([address.root, *(os.environ.get(name, "") for name in _SERVERS)])
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{address.protocol}-{address.store}").strip("-")
    return root.resolve() / f"{readable}-{hashlib.sha256(server.encode()).hexdigest()[:10]}"
