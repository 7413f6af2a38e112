"""Keyed pseudonyms for what headers call a patient and a study."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from ensemble_mammo.errors import DatasetError
from ensemble_mammo.records.files import write_text

_LETTERS = 12
"""Hexadecimal digits kept: two of a million patients share a pseudonym once in some 560 archives."""

_KEY_BYTES = 32


class Pseudonyms:
    """HMAC-SHA256 under a key that lies beside the dataset, never in it."""

    def __init__(self, key: Path | None, keep_ids: bool = False) -> None:
        """Read the key, or make one when it is first needed.

        Args:
            key: the key's file; None: a key of this call alone, so that ids cannot be joined later.
            keep_ids: ids stay as they are.
        """
        self._path = key
        self._keep = keep_ids
        self._key: bytes | None = None

    def of(self, identity: str) -> str:
        """The pseudonym of an id: the same id and key give the same one."""
        if self._keep:
            return identity
        if self._key is None:
            self._key = self._read_key()
        return hmac.new(self._key, identity.encode(), hashlib.sha256).hexdigest()[:_LETTERS]

    def _read_key(self) -> bytes:
        if self._path is None:
            return secrets.token_bytes(_KEY_BYTES)
        if not self._path.exists():
            write_text(self._path, secrets.token_hex(_KEY_BYTES) + "\n")
            self._path.chmod(0o600)
        try:
            key = bytes.fromhex(self._path.read_text(encoding="utf-8").strip())
        except (ValueError, OSError) as error:
            raise DatasetError(f"{self._path}: not a key: expected 64 hexadecimal digits") from error
        if len(key) != _KEY_BYTES:
            raise DatasetError(f"{self._path}: not a key: {2 * len(key)} hexadecimal digits, expected 64")
        return key
