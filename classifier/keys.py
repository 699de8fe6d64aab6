"""Bearer keys as digests: what the process holds of a key once it has been read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from classifier.errors import ConfigError
from classifier.settings import MIN_SECRET, read_secret, split_keys

VARIABLE = "CLASSIFIER_API_KEYS"
_HASHED = re.compile(r"sha256:[0-9a-fA-F]{64}")
_PREFIX = "sha256:"


class KeyRing:
    """The keys that open. Promise: holds SHA-256 digests only; exchanged whole, between requests."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Raises ConfigError for keys that could be guessed, and for hashes that are none."""
        self._digests = tuple(_digest(key) for key in keys)

    def __len__(self) -> int:
        return len(self._digests)

    def __repr__(self) -> str:
        return f"KeyRing({len(self)} keys)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyRing) and self._digests == other._digests

    __hash__ = None  # type: ignore[assignment]  # it changes

    def take_over(self, other: KeyRing) -> None:
        self._digests = other._digests

    def opens(self, key: bytes) -> bool:
        """Compares with every key, whichever fits: the time tells nothing about any of them."""
        digest = sha256(key).digest()
        return sum([compare_digest(digest, each) for each in self._digests]) > 0


def is_hashed(key: str) -> bool:
    return key.startswith(_PREFIX)


def keys_file(environ: Mapping[str, str]) -> Path | None:
    """The mounted file that the keys stand in, where they do."""
    name = environ.get(f"{VARIABLE}_FILE")
    return Path(name) if name else None


def read_again(environ: Mapping[str, str]) -> KeyRing | None:
    """The file's keys as they are now; None without a file. Raises ConfigError, and says which file."""
    file = keys_file(environ)
    if file is None:
        return None
    ring = KeyRing(split_keys(read_secret(file, f"{VARIABLE}_FILE")))
    if not ring:
        raise ConfigError(f"{VARIABLE}_FILE: {file} holds no key")
    return ring


def _digest(key: str) -> bytes:
    if is_hashed(key):
        if not _HASHED.fullmatch(key):
            raise ConfigError(f"{VARIABLE}: after `sha256:` stand 64 hexadecimal digits")
        return bytes.fromhex(key.removeprefix(_PREFIX))
    if len(key) < MIN_SECRET:
        raise ConfigError(f"{VARIABLE}: every key needs at least {MIN_SECRET} characters")
    return sha256(key.encode()).digest()
