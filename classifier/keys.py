"""Bearer keys as digests: what the process holds of a key once it has been read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from classifier.errors import ConfigError
from classifier.settings import MIN_SECRET, Settings, api_keys, read_secret, split_keys

VARIABLE = "CLASSIFIER_API_KEYS"
_HASHED = re.compile(r"sha256:[0-9a-fA-F]{64}")
_PREFIX = "sha256:"


class KeyRing:
    """The keys that open. Promise: holds SHA-256 digests only; exchanged whole, between requests."""

    def __init__(self, keys: Iterable[str] = (), role: str = VARIABLE) -> None:
        """Raises ConfigError for keys that could be guessed, and for hashes that are none.

        `role` is the variable that they come from.
        """
        self._digests = tuple(_digest(key, role) for key in keys)

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


class LiveKeys(KeyRing):
    """A ring that follows its file: read and exchanged with every reload, even a refused one."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        name = environ.get(f"{VARIABLE}_FILE")
        super().__init__(api_keys(settings), f"{VARIABLE}_FILE" if name else VARIABLE)
        self.file = Path(name) if name else None
        self._read: KeyRing | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.file,) if self.file else ()

    def read(self) -> None:
        """Raises ConfigError, and says which file; what was live before stays live."""
        if self.file is not None:
            role = f"{VARIABLE}_FILE"
            self._read = KeyRing(split_keys(read_secret(self.file, role)), role)
            if not self._read:
                raise ConfigError(f"{role}: {self.file} holds no key")

    def rotate(self) -> bool:
        """Whether the file's keys were others than the live ones; now they are live."""
        if self._read is None or self._read == self:
            return False
        self.take_over(self._read)
        return True


def is_hashed(key: str) -> bool:
    return key.startswith(_PREFIX)


def _digest(key: str, role: str) -> bytes:
    if is_hashed(key):
        if not _HASHED.fullmatch(key):
            raise ConfigError(f"{role}: after `sha256:` stand 64 hexadecimal digits")
        return bytes.fromhex(key.removeprefix(_PREFIX))
    if len(key) < MIN_SECRET:
        raise ConfigError(f"{role}: every key needs at least {MIN_SECRET} characters")
    return sha256(key.encode()).digest()
