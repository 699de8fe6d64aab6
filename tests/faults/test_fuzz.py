"""Raw bytes against the real socket, in their short form; a million: `python -m tests.soak.fuzzing`."""

from __future__ import annotations

from pathlib import Path

from tests.soak.fuzzing import run
from tests.support.house import Service
from tests.support.raw import connected, request

JSON_LINE = b"Content-Type: application/json"
TICKET = b'{"body":"x"}'


async def test_mutated_bytes_never_make_a_5xx(tmp_path: Path) -> None:
    """600 mutated requests: no answer of 500 or more, the process alive, no memory left behind."""
    found = await run(600, 7, tmp_path)
    assert found.worst == []
    assert sum(found.statuses.values()) == 600
    assert {200, 400} <= set(found.statuses)
    assert found.grown_mib < 16


async def test_refused_upgrade_is_refused_once(house: Service) -> None:
    """A head that is too large and offers an upgrade (found by fuzzing): one answer, then the end."""
    upgrade = (b"Connection: Upgrade", b"Upgrade: h2c", b"X: " + b"x" * 20_000)
    async with connected(house.port) as connection:
        await connection.send(request("/classify", TICKET, JSON_LINE, *upgrade))
        answers = await connection.rest()
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 431 ")


async def test_nothing_is_written_behind_a_refusal(house: Service) -> None:
    """A body that breaks before anybody asked for it (found by fuzzing): no `100 Continue` behind a 400."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + JSON_LINE
    async with connected(house.port) as connection:
        await connection.send(head + b"\r\nExpect: 100-continue\r\n\r\nnonsense\r\n")
        answers = await connection.rest()
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b"100 Continue" not in answers
    assert await house.metric("classifier_http_requests_total", status="5xx") == 0
