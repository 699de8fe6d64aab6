"""Bearer keys: held as hashes, compared in constant time, never logged."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Literal

from litestar import Request

from classifier.errors import ConfigError, NotAuthenticated
from classifier.keys import KeyRing


class Doorkeeper:
    """Lets a request in, or raises NotAuthenticated. Holds hashes of the keys, not the keys."""

    def __init__(self, auth: Literal["bearer", "none"], keys: KeyRing, host: str) -> None:
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
        self._keys = keys
        self.on_refusal: Callable[[str], None] = lambda _reason: None

    def check(self, request: Request[Any, Any, Any]) -> None:
        if self._open:
            return
        # Headers are read as Latin-1, which gives every byte back as it was sent.
        sent = request.headers.get("authorization", "").encode("latin-1")
        scheme, _, key = sent.partition(b" ")
        if not self._keys.opens(key.strip()) or scheme.lower() != b"bearer":
            self.on_refusal("wrong" if sent else "missing")
            raise NotAuthenticated("send a valid key as `Authorization: Bearer …`")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
