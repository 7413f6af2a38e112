"""A remote store as fsspec knows it: files listed, brought and sent, with errors in one line."""

from __future__ import annotations

import errno
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ensemble_mammo.errors import EnsembleMammoError, ExecutionError, OutputError
from ensemble_mammo.records.remote.address import CACHE, Address

Value = TypeVar("Value")

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}
"""Protocols whose library an extra of this package installs."""
_FIRST_ANSWER_SECONDS = 60.0
_PAUSES_SECONDS = (0.5, 2.0)
"""Before a transfer that failed is tried again."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"total_max_attempts": 1}}}
}
"""Bounded waiting; s3fs tries again by itself."""
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "crc32c", "generation")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
_NO_CREDENTIALS = ("NoCredentials", "PartialCredentials", "DefaultCredentials", "CredentialRetrieval", "TokenRetrieval")
_REFUSED = (
    "Forbidden",
    "AccessDenied",
    "(403)",
    "(401)",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "Unauthorized",
)
_UNREACHABLE = ("Timeout", "EndpointConnection", "ConnectionError", "ConnectorError", "ConnectionRefused", "gaierror")


@dataclass(frozen=True)
class Entry:
    """A remote file."""

    size: int
    "bytes"
    tag: str
    "that changes when the file does: its ETag or checksum, else its time"
    modified: int | None
    "when it was last written, in seconds since 1970; None where the store does not say"


class Store:
    """One bucket, container or host; files are named by their path in it."""

    def __init__(self, address: Address) -> None:
        """Reach the store.

        Raises:
            ExecutionError: its library is not installed, or it does not answer.
        """
        self.root = address.root
        self._files = _opened(address)
        self._base = str(self._files._strip_protocol(f"{self.root}/")).rstrip("/")
        self._answers()

    def _answers(self) -> None:
        """Wait for the first answer, whatever it is, but not for ever."""
        raised: list[BaseException] = []

        def ask() -> None:
            try:
                self._files.info(self._name(""))
            except BaseException as error:
                raised.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(_FIRST_ANSWER_SECONDS)
        if asking.is_alive():
            raise ExecutionError(f"{self.root}: does not answer within {_FIRST_ANSWER_SECONDS:g} s")
        said_no = (FileNotFoundError, PermissionError)  # of the whole store; a place in it may be open
        if raised and not isinstance(raised[0], said_no):
            raise _worded(self.root, raised[0])

    def _name(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base or "/"

    def find(self, path: str) -> dict[str, Entry]:
        """All files under a path, or the file that it names; none where nothing lies there.

        Raises:
            ExecutionError: there is no such bucket, no permission, or no answer.
        """
        try:
            self._files.invalidate_cache()
            listed = self._files.find(self._name(path), detail=True)
        except Exception as error:
            raise _worded(f"{self.root}/{path}", error) from error
        found = {}
        for name, about in listed.items():
            own = name.removeprefix(self._base).lstrip("/")
            if about.get("type") != "directory" and own and not name.endswith("/"):
                found[own] = _entry(about)
        return found

    def entry(self, path: str) -> Entry | None:
        """A file; None where there is none.

        Raises:
            ExecutionError: no permission, or no answer.
        """
        try:
            self._files.invalidate_cache()
            about = self._files.info(self._name(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise _worded(f"{self.root}/{path}", error) from error
        return None if about.get("type") == "directory" else _entry(about)

    def get(self, path: str, target: Path) -> None:
        """Bring a file to this machine."""
        self._tried(path, lambda: self._files.get_file(self._name(path), str(target)))

    def put(self, source: Path, path: str) -> Entry:
        """Send a file; what it is there."""
        return self._written(path, lambda: self._files.put_file(str(source), self._name(path)))

    def copy(self, path: str, other: str) -> Entry:
        """Copy a file within the store."""
        return self._written(other, lambda: self._files.cp_file(self._name(path), self._name(other)))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._tried(path, lambda: self._files.rm_file(self._name(path)))

    def _written(self, path: str, write: Callable[[], Any]) -> Entry:
        if not self.root.startswith(tuple(f"{protocol}:" for protocol in _EXTRAS)):  # stores that have real folders
            self._tried(path, lambda: self._files.makedirs(self._name(path).rpartition("/")[0], exist_ok=True))
        self._tried(path, write)
        entry = self.entry(path)
        if entry is None:
            raise ExecutionError(f"{self.root}/{path}: was sent, but is not there; somebody else may have removed it")
        return entry

    def _tried(self, path: str, work: Callable[[], Value]) -> Value:
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return work()
            except Exception as error:
                final = isinstance(error, FileNotFoundError | PermissionError) or _is_local(error)
                if pause is None or final or _has(error, (*_REFUSED, *_NO_CREDENTIALS)):
                    raise _worded(f"{self.root}/{path}", error) from error
                time.sleep(pause)
        raise AssertionError("unreachable")


def store_of(address: Address) -> Store:
    """The store of an address; one a process.

    Raises:
        ExecutionError: its library is not installed, or it does not answer.
    """
    return _store(os.getpid(), Address(address.protocol, address.store, ""))


@functools.cache
def _store(process: int, address: Address) -> Store:  # noqa: ARG001 - connections do not survive a fork
    return Store(address)


def _opened(address: Address) -> Any:
    protocol = _EXTRAS.get(address.protocol)
    try:
        from fsspec import config
        from fsspec.core import url_to_fs

        options = {} if config.conf.get(address.protocol) else _OPTIONS.get(address.protocol, {})
        return url_to_fs(f"{address.root}/", skip_instance_cache=True, **options)[0]
    except ImportError as error:
        how = f"pip install 'ensemble-mammo[{protocol}]'" if protocol else f"install it ({_line(error)})"
        raise ExecutionError(f"{address.root}: the library of {address.protocol}:// is not installed; {how}") from error
    except Exception as error:
        if "Protocol not known" in str(error):
            raise ExecutionError(
                f"{address.root}: protocol {address.protocol}:// is not known; expected s3, gs, az, file or another "
                "that fsspec knows"
            ) from error
        raise _worded(address.root, error) from error


def _entry(about: Mapping[str, Any]) -> Entry:
    time_ = next((about[name] for name in _TIMES if about.get(name)), None)
    tag = next((str(about[name]).strip('"') for name in _TAGS if about.get(name)), "")
    return Entry(int(about.get("size") or 0), tag or f"{about.get('size')} {time_}", _seconds(time_))


def _seconds(value: object) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return int(value.timestamp())
    return int(value) if isinstance(value, int | float) else None


def _worded(url: str, error: BaseException) -> EnsembleMammoError:
    """Our error of a library's, in one line that says what to do."""
    url, said = url.rstrip("/"), _line(error)
    if isinstance(error, EnsembleMammoError):
        return error
    if _is_local(error):
        return OutputError(f"{url}: the local cache cannot be written ({said}); free the disk, or set {CACHE}")
    if _has(error, _NO_CREDENTIALS):
        text = "no credentials; give them by the environment or a profile, as its library reads them"
    elif isinstance(error, PermissionError) or _has(error, _REFUSED):
        text = f"no permission ({said}); check the credentials and the rights of this place"
    elif isinstance(error, FileNotFoundError):
        text = f"not there ({said}); check the name of the bucket"
    elif isinstance(error, TimeoutError | ConnectionError) or _has(error, _UNREACHABLE):
        text = f"the server does not answer ({said}); check the network and the endpoint"
    else:
        text = f"{type(error).__name__}: {said}"
    return ExecutionError(f"{url}: {text}")


def _is_local(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _has(error: BaseException, words: tuple[str, ...]) -> bool:
    text = " ".join(f"{type(one).__name__} {one}" for one in (error, error.__cause__) if one is not None)
    return any(word in text for word in words)


def _line(error: object, limit: int = 160) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
