"""How calls carry the account's key: a fixed header, or a token that is fetched and renewed."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from typing import TYPE_CHECKING

from classifier.helpdesks.port import HelpdeskFailed

if TYPE_CHECKING:
    from classifier.helpdesks.api import Api

_RENEW_BEFORE_S = 60.0
_USUAL_LIFE_S = 1_800.0


class FixedLogin:
    """The same header on every call."""

    def __init__(self, name: str, value: str) -> None:
        self._headers = {name: value}

    def __repr__(self) -> str:
        return "FixedLogin(…)"

    async def headers(self, api: Api) -> dict[str, str]:
        return self._headers

    def refused(self) -> bool:
        return False


def no_login() -> FixedLogin:
    """Where the call's own signature is the proof."""
    return FixedLogin("accept", "application/json")


def bearer(key: str) -> FixedLogin:
    return FixedLogin("authorization", f"Bearer {key}")


def basic(user: str, key: str) -> FixedLogin:
    pair = b64encode(f"{user}:{key}".encode()).decode()
    return FixedLogin("authorization", f"Basic {pair}")


class TokenLogin:
    """OAuth client credentials (RFC 6749 §4.4): one token for all calls, renewed before it ends."""

    def __init__(self, path: str, client_id: str, client_secret: str, scope: str = "") -> None:
        self._path = path
        self._body = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
            **({"scope": scope} if scope else {}),
        }
        self._headers: dict[str, str] = {}
        self._until = 0.0
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return "TokenLogin(…)"

    async def headers(self, api: Api) -> dict[str, str]:
        async with self._lock:
            if time.monotonic() >= self._until:
                await self._renew(api)
            return self._headers

    def refused(self) -> bool:
        """A token may have been revoked: a new one is worth a try, but not one for every call."""
        self._until = 0.0
        return time.monotonic() - self._tried_at > 1.0

    async def _renew(self, api: Api) -> None:
        self._tried_at = time.monotonic()
        try:
            found = await api.bare("POST", self._path, self._body, {})
        except HelpdeskFailed as error:
            if error.status != "refused":
                raise
            raise HelpdeskFailed("unauthorised", retry_after_s=_RENEW_BEFORE_S) from None
        token = found.body.text("access_token")
        if not token.isascii() or not token.isprintable() or not token:
            raise HelpdeskFailed("unavailable")
        life_s = found.body.at("expires_in").value
        life_s = life_s if isinstance(life_s, int | float) and life_s > 0 else _USUAL_LIFE_S
        self._headers = {"authorization": f"Bearer {token}"}
        self._until = self._tried_at + max(1.0, life_s - _RENEW_BEFORE_S)
