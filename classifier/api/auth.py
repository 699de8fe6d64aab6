"""Bearer keys: hashed at start, compared in constant time, never logged."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, Literal

from litestar import Request

from classifier.errors import ConfigError, NotAuthenticated


class Doorkeeper:
    """Lets a request in, or raises NotAuthenticated. Holds digests of the keys, not the keys."""

    def __init__(self, auth: Literal["bearer", "none"], keys: tuple[str, ...], host: str) -> None:
        """Raises ConfigError for a door that would stand open by mistake."""
        if auth == "none" and not _is_loopback(host):
            raise ConfigError(
                f'auth = "none" is refused on {host}: set CLASSIFIER_AUTH=bearer and '
                "CLASSIFIER_API_KEYS, or listen on 127.0.0.1"
            )
        if auth == "bearer" and not keys:
            raise ConfigError(
                'auth = "bearer" needs keys: set CLASSIFIER_API_KEYS (or CLASSIFIER_API_KEYS_FILE), '
                "or CLASSIFIER_AUTH=none on a loopback address"
            )
        self._open = auth == "none"
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def check(self, request: Request[Any, Any, Any]) -> None:
        if self._open:
            return
        # Headers are read as Latin-1, which gives every byte back as it was sent.
        sent = request.headers.get("authorization", "").encode("latin-1")
        scheme, _, key = sent.partition(b" ")
        digest = sha256(key.strip()).digest()
        # Every key is compared, so that the time does not tell which one was near.
        known = [compare_digest(digest, each) for each in self._digests]
        if scheme.lower() != b"bearer" or not any(known):
            raise NotAuthenticated("send a valid key as `Authorization: Bearer …`")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
