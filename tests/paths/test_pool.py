"""The clients behind the paths: checked at start, kept across reloads, closed when replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classifier.config.schema import Endpoint
from classifier.errors import AttemptFailed, ConfigError
from classifier.paths.pool import EndpointPool
from tests.support.upstream import Upstream

URL = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("config", "key", "fault"),
    [
        ({"base_url": "http://127.0.0.1:99999/v1"}, "sk", "Port out of range"),
        ({"base_url": "http://127.0.0.1:no/v1"}, "sk", "Port could not be cast"),
        ({"base_url": "http://[::1/v1"}, "sk", "Invalid IPv6"),
        ({"base_url": "http:///v1"}, "sk", "names no server"),
        ({"base_url": "http://\x7f/v1"}, "sk", "names no server"),
        ({"headers": {"x-team": "Grüße"}}, "sk", "header 'x-team'"),
        ({"headers": {"x-team": "a\r\nb: c"}}, "sk", "header 'x-team'"),
        ({"headers": {"x team": "a"}}, "sk", "header 'x team'"),
        ({}, "sk-é", "its key"),
        ({}, "sk-1\nsk-2", "its key"),
        ({}, "", "set KEY"),
    ],
)
def test_unusable_settings_are_refused_at_start(
    config: dict[str, Any], key: str, fault: str
) -> None:
    """What no request could carry stops the start or the reload, naming the endpoint, not the key."""
    pool = EndpointPool({"KEY": key})
    with pytest.raises(ConfigError, match=fault) as refused:
        pool.open("fast", Endpoint(**({"base_url": URL, "api_key_env": "KEY"} | config)))
    assert "endpoint 'fast'" in refused.value.detail
    assert not key or key not in refused.value.detail


async def test_unchanged_endpoint_keeps_its_connections() -> None:
    """A reload that does not touch an endpoint keeps its client, and with it the open connections."""
    pool = EndpointPool({})
    first = pool.open("fast", Endpoint(base_url=URL))
    assert pool.open("fast", Endpoint(base_url=URL)) is first
    assert pool.open("fast", Endpoint(base_url=URL, keepalive_s=60.0)) is not first
    await pool.aclose()


async def test_changed_key_file_makes_a_new_client(tmp_path: Path) -> None:
    """A rotated key is used from the next reload on."""
    file = tmp_path / "key"
    file.write_text("sk-1\n")
    pool = EndpointPool({})
    config = Endpoint(base_url=URL, api_key_file=str(file))
    first = pool.open("fast", config)
    file.write_text("sk-2\n")
    assert pool.open("fast", config) is not first
    await pool.aclose()


async def test_replaced_client_serves_until_it_is_closed(short_model: Upstream) -> None:
    """Tickets under way finish on the client that they began with; then it is closed for good."""
    pool = EndpointPool({})
    old = pool.open("fast", Endpoint(base_url=short_model.url))
    pool.open("fast", Endpoint(base_url=short_model.url, keepalive_s=60.0))
    await old.post("/chat/completions", b"{}", 5.0)
    await pool.close_retired(0.0)
    with pytest.raises(AttemptFailed):
        await old.post("/chat/completions", b"{}", 5.0)
    await pool.aclose()


async def test_removed_endpoint_is_closed(short_model: Upstream) -> None:
    """An endpoint that a new config no longer names gives its connections back."""
    pool = EndpointPool({})
    removed = pool.open("fast", Endpoint(base_url=short_model.url))
    kept = pool.open("slow", Endpoint(base_url=short_model.url))
    pool.retire_all_but(["slow"])
    await pool.close_retired(0.0)
    assert not await removed.warm()
    assert await kept.warm()
    await pool.aclose()
