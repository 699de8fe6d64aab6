"""`serve`: what it refuses to begin with, what it logs, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.support.commands import Command, ended, started, threaded, wait_until
from tests.support.upstream import Upstream

SECRET_TEXT = "My card 4929 was charged twice, says Aloysius"


@pytest.fixture
def model() -> Iterator[Upstream]:
    """A scripted model that speaks for the vendor."""
    with threaded(Upstream()) as upstream:
        yield upstream


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ([], {}, "endpoint 'openai' has no key: set OPENAI_API_KEY, or `api_key_file`"),
        ([], {}, "to try the service without a key: classifier demo"),
        (
            [],
            {"CLASSIFIER_REDIS_ULR": "x"},
            "unknown variable CLASSIFIER_REDIS_ULR; did you mean CL",
        ),
        ([], {"CLASSIFIER_PORT": "http"}, "CLASSIFIER_PORT: Expected `int`"),
        (["--port", "70000"], {}, "CLASSIFIER_PORT: Expected `int` <= 65535"),
        (["--config", "none.toml"], {}, "the config file none.toml does not exist"),
        (
            ["--host", "0.0.0.0"],  # noqa: S104 -- that is what is refused
            {"OPENAI_API_KEY": "sk-test"},
            'auth = "none" is refused on 0.0.0.0: set CLASSIFIER_AUTH=bearer and',
        ),
        (
            [],
            {"OPENAI_API_KEY": "sk-test", "CLASSIFIER_AUTH": "bearer"},
            'auth = "bearer" needs keys: set CLASSIFIER_API_KEYS',
        ),
        (
            [],
            {"OPENAI_API_KEY": "sk-test", "CLASSIFIER_REDIS_URL": "redis://localhost"},
            "CLASSIFIER_REDIS_URL without CLASSIFIER_CACHE_SECRET",
        ),
        (
            [],
            {"OPENAI_API_KEY": "sk-test", "CLASSIFIER_ENDPOINT_OPNAI_URL": "http://x/v1"},
            "CLASSIFIER_ENDPOINT_OPNAI_URL names no endpoint; there are: openai",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    arguments: list[str], variables: dict[str, str], message: str, command: Command
) -> None:
    """Before anything is opened, one line says exactly what to set: exit code 2, no traceback."""
    result = command("serve", *arguments, **variables)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.startswith("classifier: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("doing", ["serve", "simulate", "demo"])
def test_taken_port_is_told(doing: str, command: Command) -> None:
    """A port that somebody else listens on is named, with what to do; nothing is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command(doing, "--port", str(port), OPENAI_API_KEY="sk-test")
    assert result.code == 2
    assert result.err == (
        f"classifier: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another: --port N\n"
    )


@pytest.mark.parametrize("doing", ["simulate", "demo"])
@pytest.mark.parametrize("port", ["-1", "65536"])
def test_impossible_port_is_told(doing: str, port: str, command: Command) -> None:
    """A port that no machine has is no traceback either."""
    result = command(doing, "--port", port)
    assert result.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}: bind(): port must be 0-65535" in result.err


def test_key_and_url_are_enough(model: Upstream) -> None:
    """With nothing but a key and a URL the shipped config serves, logs, and ends well on SIGTERM."""
    variables = {"OPENAI_API_KEY": "sk-test", "CLASSIFIER_ENDPOINT_OPENAI_URL": model.url}
    with started("serve", CLASSIFIER_PORT="0", **variables) as process:
        assert process.stderr is not None
        starting, ready = (json.loads(process.stderr.readline()) for _ in range(2))
        assert (starting["event"], ready["event"]) == ("service.starting", "service.ready")
        assert ready["ready"] is True
        with httpx2.Client(base_url=starting["url"]) as client, ThreadPoolExecutor() as pool:
            for path in ("short", "long", "decide"):
                answer = client.post(f"/classify?path={path}", json={"body": SECRET_TEXT})
                assert (answer.status_code, answer.json()["path"]) == (200, path)
            model.delay_s = 1.0
            asked = len(model.calls)
            late = pool.submit(client.post, "/classify", json={"body": "finish this"})
            wait_until(lambda: len(model.calls) > asked)
            process.send_signal(signal.SIGTERM)
            assert late.result().json()["label"] == "billing"
        result = ended(process)
    assert (result.code, result.out) == (0, "")
    assert {call.headers["authorization"] for call in model.calls} == {"Bearer sk-test"}

    events = [json.loads(line) for line in result.err.splitlines()]
    tickets = [event for event in events if event["event"] == "ticket.classified"]
    assert [event["path"] for event in tickets] == ["short", "long", "decide", "short"]
    assert [event["attempts"] for event in tickets[:2]] == [
        ["short:answer:labelled"],
        ["long:answer:labelled"],
    ]
    assert set(tickets[0]) == {
        "ts", "level", "event", "request_id", "label", "confidence", "path", "route", "source",
        "attempts", "input_tokens", "output_tokens", "cost_usd", "total_ms", "model_ms", "simulated",
    }  # fmt: skip
    assert [word for word in SECRET_TEXT.split() if word in result.err] == []
