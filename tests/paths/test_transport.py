"""The way to a model: what unpacks to too much, certificates that are not the server's, proxies."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from classifier.config.schema import Endpoint
from classifier.errors import AttemptFailed, ConfigError
from classifier.paths.endpoint import OpenAIEndpoint
from classifier.paths.pool import EndpointPool
from classifier.paths.transport import MAX_REPLY_BYTES
from tests.support.parts import endpoint
from tests.support.redis_server import free_port
from tests.support.upstream import Upstream, completion, served

BODY = b'{"messages":[{"role":"user","content":"x"}]}'
ROUTE = "/chat/completions"


async def _kind(server: OpenAIEndpoint) -> str:
    with pytest.raises(AttemptFailed) as failed:
        await server.post(ROUTE, BODY, 5.0)
    return failed.value.kind


async def test_nothing_compressed_is_asked_for(short_model: Upstream) -> None:
    """A label needs no compression; what is not compressed cannot unpack to more."""
    async with endpoint(short_model.url) as server:
        await server.post(ROUTE, BODY, 5.0)
    assert short_model.calls[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP"])
async def test_compressed_answer_is_read_all_the_same(short_model: Upstream, encoding: str) -> None:
    """A gateway that compresses without being asked is understood."""
    async with endpoint(short_model.url) as server:
        short_model.answers(completion("billing"))
        plain = await server.post(ROUTE, BODY, 5.0)
        packed = zlib.compress(plain.body) if encoding == "deflate" else gzip.compress(plain.body)
        short_model.answers(packed, headers={"content-encoding": encoding})
        assert (await server.post(ROUTE, BODY, 5.0)).body == plain.body


async def test_bomb_is_stopped_while_it_is_read(short_model: Upstream) -> None:
    """200 MB of zeros in 200 KB of gzip: garbage, and never more than a few MB of memory."""
    short_model.answers(gzip.compress(bytes(200_000_000)), headers={"content-encoding": "gzip"})
    async with endpoint(short_model.url) as server:
        tracemalloc.start()
        try:
            assert await _kind(server) == "garbage"
            assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"x" * (MAX_REPLY_BYTES + 1), "identity"), (b"{}", "gzip"), (b"{}", "br"), (b"{}", "x")],
)
async def test_unreadable_bodies_are_garbage(
    short_model: Upstream, body: bytes, encoding: str
) -> None:
    """Too long, not what it says it is, or in an encoding that nobody asked for."""
    short_model.answers(body, headers={"content-encoding": encoding})
    async with endpoint(short_model.url) as server:
        assert await _kind(server) == "garbage"


async def test_endless_answer_is_stopped() -> None:
    """A server that never ends its answer costs a megabyte, not the attempt's whole time."""
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
                sent += 0x4000
                await writer.drain()
        except ConnectionError:
            writer.close()

    listener = await asyncio.start_server(endless, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with listener, endpoint(url) as server:
        assert await _kind(server) == "garbage"
    assert sent < 64 * 2**20


@asynccontextmanager
async def _tls(name: str, authority: trustme.CA, folder: Path) -> AsyncIterator[Upstream]:
    """A model behind TLS with a certificate for `name`."""
    model, pem = Upstream(), folder / "server.pem"
    certificate = authority.issue_cert(name)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    async with served(model, model.port, ssl_certfile=str(pem)):
        model.url = f"https://localhost:{model.port}/v1"
        yield model


async def test_only_the_right_certificate_gets_the_key(tmp_path: Path) -> None:
    """Unknown authority or another host's name: never connected, nothing sent, nothing charged."""
    ours, theirs = trustme.CA(), trustme.CA()
    bundle = tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(str(bundle))
    cases = [(ours, "localhost", True), (theirs, "localhost", False), (ours, "other.test", False)]
    for authority, name, is_trusted in cases:
        async with _tls(name, authority, tmp_path) as model:
            pool = EndpointPool({})
            for ca_file in (str(bundle), None):
                server = pool.open("fast", Endpoint(base_url=model.url, ca_file=ca_file))
                if is_trusted and ca_file:
                    assert (await server.post(ROUTE, BODY, 5.0)).body
                    model.calls.clear()
                else:
                    assert await _kind(server) == "connect"
            assert model.calls == []
            await pool.aclose()


def test_unusable_authorities_are_refused_at_start(tmp_path: Path) -> None:
    """A bundle that is missing or holds no certificate stops the start, and says which file."""
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "text.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
    )
    for name in ("missing.pem", "empty.pem", "text.pem"):
        config = Endpoint(base_url="https://x/v1", ca_file=str(tmp_path / name))
        with pytest.raises(ConfigError, match=f"endpoint 'fast': ca_file .*{name} holds no cert"):
            EndpointPool({}).open("fast", config)


async def test_proxy_is_used_only_when_configured(
    short_model: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY in a shell leads no ticket elsewhere; `proxy` in the config does."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, nowhere)
    async with endpoint(short_model.url) as server:
        assert (await server.post(ROUTE, BODY, 5.0)).body
    async with endpoint(short_model.url, proxy=nowhere) as server:
        assert await _kind(server) == "connect"
    with pytest.raises(ConfigError, match="proxy holds a password") as refused:
        EndpointPool({}).open("fast", Endpoint(base_url="http://x", proxy="http://u:canary@x"))
    assert "canary" not in str(refused.value)


def test_system_trust_verifies() -> None:
    """Without `ca_file` the system's authorities judge, names and all."""
    from classifier.paths.transport import system_trust  # noqa: PLC0415 -- read once a process

    assert system_trust().verify_mode is ssl.CERT_REQUIRED
    assert system_trust().check_hostname
