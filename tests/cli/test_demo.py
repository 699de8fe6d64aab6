"""`demo`: two servers, 368 tickets and a table, and nothing left behind."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
import msgspec
import psutil  # type: ignore[import-untyped]
import pytest

from classifier.cli.demo import TICKETS
from tests.support.commands import Command, Result, ended, started, wait_until
from tests.support.redis_server import RedisServer, free_port

PHRASE = re.compile(r"\w+(?:\W+\w+){4}")  # five words in a row are a ticket's, not chance


def phrases() -> set[str]:
    """Five words of every sample ticket."""
    bodies = [msgspec.json.decode(line)["body"] for line in TICKETS.read_bytes().splitlines()]
    return {found.group() for body in bodies if (found := PHRASE.search(body))}


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The servers that a demo has started."""
    return list(psutil.Process(process.pid).children(recursive=True))


def is_free(port: int) -> bool:
    """Whether somebody else could listen there."""
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Standard output up to the line with these words."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if words in line:
            return read
    raise AssertionError(f"ended before it said {words!r}: {read}")


@contextmanager
def watched(redis: RedisServer) -> Iterator[bytearray]:
    """All that Redis is told, as MONITOR shows it."""
    seen = bytearray()
    connection = socket.create_connection(("127.0.0.1", redis.port))
    connection.sendall(b"MONITOR\r\n")

    def read() -> None:
        while chunk := connection.recv(65_536):
            seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        connection.shutdown(socket.SHUT_RDWR)
        reader.join()
        connection.close()


def readable(monitor: bytearray) -> str:
    """MONITOR's escapes undone."""
    return bytes(monitor).decode("unicode_escape").encode("latin-1").decode(errors="replace")


def keys_of(redis: RedisServer) -> list[str]:
    """All keys, in the order of the moment."""
    return re.findall(r"\$\d+\r\n([^\r]+)\r\n", redis.command("KEYS", "*").decode())


def check_table(text: str) -> None:
    """The table, the sums and the claim, all of it marked as simulated."""
    assert "simulated models: these figures show the service, not a vendor" in text
    assert re.search(r"^ +short +model +\d+ +[\d.]+ ", text, re.MULTILINE)
    assert re.search(r"^ +all +368 ", text, re.MULTILINE)
    assert "368 tickets answered, 0 failed" in text
    assert re.search(r"labels right: \d+ of \d+ held-out tickets", text)
    assert re.search(r"saving \d+%; the claim of 90 % (holds|does not hold) here; simulated", text)


def test_demo_once_and_for_good(redis_server: RedisServer) -> None:
    """Both ways side by side: the table, the cache in Redis without a word of a ticket, a clean end."""
    port, other = free_port(), free_port()
    variables = {"CLASSIFIER_REDIS_URL": redis_server.url, "CLASSIFIER_API_KEYS": "short"}
    with (
        watched(redis_server) as monitor,
        started("demo", "--port", str(port), **variables) as serving,
        started("demo", "--once", "--port", str(other)) as once,
    ):
        said = read_until(serving, "API: ")
        check_table(said)
        assert f"still serving; try (ctrl-c ends it):\n\ncurl -s http://127.0.0.1:{port}" in said
        check_redis(redis_server, readable(monitor))
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            ticket = {"subject": "Invoice 4471", "body": "You charged my card twice this month!"}
            assert client.post("/classify", json=ticket).json()["simulated"] is True
        check_end(serving, port)
        result = ended(once, within_s=120)
    check_table(result.out)
    assert (result.code, is_free(other)) == (0, True)
    assert re.fullmatch(r"(simulated models on .*\n)?", result.err)


def check_redis(redis: RedisServer, told: str) -> None:
    """Answers are there, under hashes, and nothing that a customer has written."""
    keys = keys_of(redis)
    assert len(keys) > 300
    kept = "".join(redis.command("GET", key).decode() for key in keys)
    assert '"label"' in kept
    words = phrases()
    assert len(words) > 300
    assert [word for word in words if word in told or word in kept] == []


def check_end(process: subprocess.Popen[str], port: int) -> None:
    """Ctrl-C ends it with 0; both children are gone and the port is free."""
    servers = children(process)
    assert len(servers) == 2
    process.send_signal(signal.SIGINT)
    result: Result = ended(process)
    assert result.code == 0
    assert "Traceback" not in result.err
    assert [server for server in servers if server.is_running()] == []
    assert is_free(port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_while_it_starts_ends_everything(number: signal.Signals) -> None:
    """Ctrl-C, or a closed terminal, before the table stands: no child stays, no traceback."""
    with started("demo", "--port", str(free_port())) as process:
        wait_until(lambda: children(process))
        servers = children(process)
        process.send_signal(number)
        result = ended(process, within_s=15)
    assert result.code == 130
    assert "Traceback" not in result.err
    assert [server for server in servers if server.is_running()] == []


def test_wrong_cache_settings_are_told_first(command: Command) -> None:
    """What would keep the service from starting is told before the simulator has learned for seconds."""
    redis = {"CLASSIFIER_REDIS_URL": "redis://127.0.0.1"}
    port = str(free_port())
    result = command("demo", "--port", port, CLASSIFIER_CACHE_SECRET="short", **redis)
    assert (result.code, result.out) == (2, "")
    assert "CLASSIFIER_CACHE_SECRET needs at least 16 characters" in result.err
