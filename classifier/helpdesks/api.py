"""Calls a vendor's HTTP API: the only file of the helpdesks that knows the client.

Bounded in time and size, to one configured host, never redirected, TLS verified; keys and bodies
stand in no error and in no repr.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx2
import msgspec
from msgspec import Struct

from classifier.helpdesks.body import Body
from classifier.helpdesks.port import HelpdeskFailed, Rate, WriteStatus
from classifier.helpdesks.rates import RateHeaders

MAX_ANSWER_BYTES = 8_388_608
_CONNECTIONS = 16
_CONNECT_TIMEOUT_S = 3.0
_UNAUTHORISED = 401
_UNAUTHORISED_WAIT_S = 60.0  # somebody has to renew a key first


class Answered(Struct, frozen=True):
    """A 2xx answer, read."""

    body: Body
    rate: Rate


class Login(Protocol):
    """Puts the account's key on a call. Promise: raises HelpdeskFailed and nothing else."""

    async def headers(self, api: Api) -> dict[str, str]: ...

    def refused(self) -> bool:
        """Told of a 401; true when a new token is worth another try."""
        ...


class Api:
    """One account's API. Promise: `call` returns a 2xx answer or raises HelpdeskFailed."""

    def __init__(
        self, base_url: str, login: Login, rate_headers: RateHeaders, timeout_s: float
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._login = login
        self._rate_headers = rate_headers
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            verify=_trusted(),
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=_CONNECTIONS),
            timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S),
        )

    def __repr__(self) -> str:
        return "Api(…)"

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """`path` begins with a slash; what stands in it was checked by `Body.ticket_id`."""
        own = headers or {}
        for _ in range(2):
            login = await self._login.headers(self)
            status, found, data = await self._send(method, path, body, query, own | login)
            if status != _UNAUTHORISED or not self._login.refused():
                break
        return self._read(status, found, data)

    async def bare(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answered:
        """Without a login: how a login gets its token."""
        return self._read(*await self._send(method, path, body, None, headers))

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: dict[str, Any] | None,
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str], bytes]:
        url = self._base_url + path + (f"?{urlencode(query)}" if query else "")
        content = b""
        if body is not None:
            content = body if isinstance(body, bytes) else msgspec.json.encode(body)
            headers = {"content-type": "application/json", **headers}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(method, url, content=content, headers=headers) as response,
            ):
                data = await _limited(response)
                return response.status_code, dict(response.headers), data
        except HelpdeskFailed:
            raise
        except Exception:  # noqa: BLE001 -- whatever the client raises may hold the URL or the key
            raise HelpdeskFailed("unavailable") from None

    def _read(self, status: int, headers: dict[str, str], data: bytes) -> Answered:
        rate = self._rate_headers.read(headers)
        if not httpx2.codes.is_success(status):
            kind = status_of(status)
            raise HelpdeskFailed(kind, retry_after_s=_wait_s(kind, rate), rate=rate)
        try:
            value = msgspec.json.decode(data) if data else None
        except (ValueError, RecursionError):
            # Not the vendor's: a proxy's page that says 200. A ticket read from it would be empty.
            raise HelpdeskFailed("unavailable", rate=rate) from None
        return Answered(Body(value), rate)

    async def aclose(self) -> None:
        await self._client.aclose()


def _wait_s(kind: WriteStatus, rate: Rate) -> float | None:
    if kind == "unauthorised":
        return _UNAUTHORISED_WAIT_S
    if kind not in ("rate_limited", "unavailable"):
        return None
    return rate.reset_s if rate.retry_after_s is None else rate.retry_after_s


async def _limited(response: httpx2.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise HelpdeskFailed("unavailable")
    return bytes(data)


# 301: merged (Help Scout, Front) or moved; a redirect is never followed. 405: Freshdesk's answer
# for spam and deleted tickets. 423, 412: locked (Help Scout), later perhaps not.
_STATUSES: dict[int, WriteStatus] = {
    401: "unauthorised",
    403: "unauthorised",
    301: "gone",
    404: "gone",
    405: "gone",
    408: "unavailable",
    409: "conflict",
    410: "gone",
    412: "unavailable",
    423: "unavailable",
    425: "unavailable",
    429: "rate_limited",
}
_SERVER_ERRORS = 500


def status_of(status: int) -> WriteStatus:
    """What an HTTP status that is no success means for a write."""
    return _STATUSES.get(status, "unavailable" if status >= _SERVER_ERRORS else "refused")


@cache
def _trusted() -> ssl.SSLContext:
    """The system's certificates, read once a process."""
    return httpx2.create_ssl_context()
