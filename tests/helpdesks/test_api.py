"""The one client: whom it talks to, what it believes, and what it says when that fails."""

from __future__ import annotations

import asyncio
import ssl
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from classifier.helpdesks.api import Api
from classifier.helpdesks.logins import bearer
from classifier.helpdesks.port import HelpdeskFailed, Rate
from classifier.helpdesks.rates import RateHeaders
from tests.helpdesks.cases import CASES, desk_of, opened
from tests.support.helpdesk.server import Fault

KEY = "a-key-that-nobody-may-see"


@asynccontextmanager
async def with_strange_certificate() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A TLS server whose certificate no system trusts, and what it was sent after the handshake."""
    received: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1_000))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"https://127.0.0.1:{port}", received


async def test_a_key_goes_to_no_server_that_nobody_vouches_for() -> None:
    """TLS is verified: an unknown certificate gets neither key nor ticket."""
    async with with_strange_certificate() as (url, received):
        api = Api(url, bearer(KEY), RateHeaders(), 5.0)
        with pytest.raises(HelpdeskFailed) as caught:
            await api.call("GET", "/tickets/1")
        await api.aclose()
    assert caught.value.status == "unavailable"
    assert b"".join(received) == b""


async def test_a_redirect_is_not_followed() -> None:
    """Calls and keys go to the configured host only."""
    async with opened(CASES["jira"]) as (fake, desk):
        fake.always("redirect")
        with pytest.raises(HelpdeskFailed) as caught:
            await desk.fetch("SUP-981")
        assert caught.value.status == "refused"
        assert [call.path for call in fake.calls] == ["/rest/api/3/issue/SUP-981"]


@pytest.mark.parametrize("fault", ["401", "500", "garbage", "hang", "huge"])
async def test_no_error_tells_the_key_or_the_text(fault: Fault) -> None:
    """What ends up in a log has no secret in it, cause and context included."""
    async with opened(CASES["jira"], call_timeout_s=0.5) as (fake, desk):
        fake.always(fault)
        with pytest.raises(HelpdeskFailed) as caught:
            await desk.fetch("SUP-981")
        shown = "".join(traceback.format_exception(caught.value))
        assert CASES["jira"].key not in shown
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("vendor", "headers", "rate"),
    [
        (
            "zendesk",
            {"ratelimit-limit": "100", "ratelimit-remaining": "7", "ratelimit-reset": "41"},
            Rate(100, 7, 41.0),
        ),
        ("zendesk", {"retry-after": "93"}, Rate(retry_after_s=93.0)),
        ("freshdesk", {"x-ratelimit-total": "80", "x-ratelimit-remaining": "0"}, Rate(80, 0)),
        (
            "helpscout",
            {"x-ratelimit-limit-minute": "400", "x-ratelimit-retry-after": "9"},
            Rate(400, retry_after_s=9.0),
        ),
        ("jira", {"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, Rate(retry_after_s=0.0)),
        ("hubspot", {"x-hubspot-ratelimit-max": "110"}, Rate(110)),
    ],
)
def test_each_vendors_limit_is_understood(vendor: str, headers: dict[str, str], rate: Rate) -> None:
    """Four styles of headers, one record."""
    assert desk_of(CASES[vendor]).rate.read(headers) == rate


@pytest.mark.parametrize("vendor", ["intercom", "front"])
def test_a_reset_at_a_moment_becomes_a_wait(vendor: str) -> None:
    """Unix time in the header, seconds from now in the record."""
    found = desk_of(CASES[vendor]).rate.read({"x-ratelimit-reset": f"{time.time() + 30:.0f}"})
    assert found.reset_s == pytest.approx(30.0, abs=10.0)


@given(st.dictionaries(st.sampled_from(["limit", "left", "reset", "retry-after"]), st.text()))
def test_no_header_breaks_the_reading_of_a_limit(headers: dict[str, str]) -> None:
    """Nonsense reads as nothing, and no header stops an account for longer than an hour."""
    for reset_is in ("seconds", "unix"):
        names = RateHeaders(limit="limit", remaining="left", reset="reset", reset_is=reset_is)
        found = names.read(headers)
        for wait_s in (found.reset_s, found.retry_after_s):
            assert wait_s is None or 0.0 <= wait_s <= 3_600.0
