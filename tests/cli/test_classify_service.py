"""`classify --service`: a running service is asked, waited for, and agrees to the nano-dollar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from classifier.money import nanodollars
from tests.support.commands import (
    Command,
    numbered,
    patient,
    rows_of,
    started,
    threaded,
    wait_until,
    write_tickets,
)
from tests.support.house import write_config
from tests.support.redis_server import free_port
from tests.support.upstream import Call, Scripted, Upstream, completion

KEY = "a-key-of-this-test"


class Running:
    """A service in a process of its own, over two scripted models."""

    def __init__(self, short: Upstream, long: Upstream) -> None:
        self.short = short
        self.long = long
        self.url = f"http://127.0.0.1:{free_port()}"

    def metrics(self) -> dict[str, float]:
        """Sample name with labels -> value."""
        page = httpx2.get(f"{self.url}/metrics").text
        lines = [line for line in page.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def is_up(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz").is_success
        except httpx2.HTTPError:
            return False


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process for all tests here; it wants a key."""
    with threaded(Upstream()) as short, threaded(Upstream()) as long:
        running = Running(short, long)
        config = patient(write_config(tmp_path_factory.mktemp("service"), short.url, long.url))
        port = running.url.rsplit(":", 1)[1]
        with started(
            "serve", "--config", config, "--port", port,
            CLASSIFIER_AUTH="bearer", CLASSIFIER_API_KEYS=KEY, CLASSIFIER_LOG_LEVEL="warning",
        ):  # fmt: skip
            wait_until(running.is_up)
            yield running


@pytest.fixture
def ask(command: Command, service: Running, tmp_path: Path) -> Command:
    """`classify --service` with the key; no config of its own is needed."""
    for model in (service.short, service.long):
        model.answers(completion("billing"))
        model.calls.clear()

    def run(*arguments: str | Path, **variables: str) -> Any:
        variables = {"CLASSIFIER_API_KEYS": KEY, **variables}
        return command("classify", "--service", service.url, *arguments, **variables)

    return run


def unsure(label: str) -> dict[str, Any]:
    """A completion whose label has a probability of about 0.14."""
    body = completion(label)
    body["choices"][0]["logprobs"]["content"][0]["logprob"] = -2.0
    return body


def troubled(model: Upstream) -> None:
    """Unsure on every third ticket, breaks the connection once on every fourth."""
    broken: set[str] = set()

    async def respond(call: Call) -> Scripted:
        number = int(call.ticket.rsplit(" ", 1)[1])
        if number % 4 == 0 and call.ticket not in broken:
            broken.add(call.ticket)
            return Scripted(completion("billing"), headers={"content-length": "9999"})
        return Scripted(unsure("billing") if number % 3 == 0 else completion("billing"))

    model.respond = respond


class Deltas:
    """By how much the service's metrics grow inside the block."""

    def __init__(self, service: Running) -> None:
        self._service = service

    def __enter__(self) -> Self:
        self._before = self._service.metrics()
        return self

    def __exit__(self, *_: object) -> None:
        self._after = self._service.metrics()

    def of(self, name: str, *labels: str) -> float:
        """All samples of a name that carry these labels."""
        return sum(
            value - self._before.get(sample, 0.0)
            for sample, value in self._after.items()
            if sample.split("{")[0] == name and all(label in sample for label in labels)
        )


def test_sums_are_those_of_the_service(ask: Command, service: Running, tmp_path: Path) -> None:
    """With escalations, retries, repeats and unknown costs, file, table and metrics say the same."""
    troubled(service.short)
    file = write_tickets(tmp_path / "in.jsonl", *numbered(24), *numbered(6))
    with Deltas(service) as grown:
        result = ask(file, "-o", tmp_path / "out.jsonl")
    answers = rows_of(tmp_path / "out.jsonl")
    assert result.code == 0
    assert {answer.get("escalated_from") for answer in answers} == {None, "short"}

    tokens_in = sum(answer["usage"]["input_tokens"] for answer in answers)
    tokens_out = sum(answer["usage"]["output_tokens"] for answer in answers)
    cost = sum(nanodollars(answer["cost_usd"]) for answer in answers)
    unknown = [answer for answer in answers if answer["cost_status"] == "partial"]
    assert tokens_in == grown.of("classifier_tokens_total", 'kind="input"') == 3_200
    assert tokens_out == grown.of("classifier_tokens_total", 'kind="output"') == 64
    assert cost == round(grown.of("classifier_cost_dollars_total") * 1e9)
    assert cost == 24 * 32_400 + 8 * 16_200  # 24 times ft:base, 8 escalations to base
    assert len(unknown) == grown.of("classifier_uncertain_costs_total") == 6

    assert f"{tokens_in} tokens in, {tokens_out} out, $0.0009072" in result.err
    assert "+?: 6 answers hold an attempt of unknown cost, not counted" in result.err
    assert grown.of("classifier_attempts_total", 'reason="escalation"') == 8
    assert grown.of("classifier_attempts_total", 'reason="retry"') == 6
    assert grown.of("classifier_tickets_total") == 30


def test_busy_service_is_waited_for(ask: Command, service: Running, tmp_path: Path) -> None:
    """503 with Retry-After is waited out: the ticket is answered, not failed."""
    slow_down = Scripted({"error": {}}, 429, {"retry-after": "1"})
    service.short.answers_in_turn(slow_down, Scripted(completion("login")))
    service.long.answers_in_turn(slow_down, slow_down, Scripted(completion("login")))
    result = ask(write_tickets(tmp_path / "in.jsonl", {"body": "waited for"}))
    assert (result.code, result.answers[0]["label"]) == (0, "login")
    assert len(service.short.calls) == 2


def test_key_is_needed(ask: Command, service: Running, tmp_path: Path) -> None:
    """Without the service's key every ticket says so, and no model is asked."""
    file = write_tickets(tmp_path / "in.jsonl", *numbered(2))
    result = ask(file, CLASSIFIER_API_KEYS="another-key-of-sixteen")
    assert result.code == 1
    assert {line["error"]["status"] for line in result.answers} == {401}
    assert "failed 2 times: Not authenticated; the first: send a valid key" in result.err
    assert service.short.calls == []


def test_wishes_reach_the_service(ask: Command, service: Running, tmp_path: Path) -> None:
    """`--path` and `--no-cache` mean the same as without a service."""
    file = write_tickets(tmp_path / "in.jsonl", *[{"body": "twice the same"}] * 2)
    result = ask(file, "--path", "long", "--no-cache", "--concurrency", "1")
    assert [line["path"] for line in result.answers] == ["long", "long"]
    assert [line["source"] for line in result.answers] == ["model", "model"]
    assert len(service.long.calls) == 2
    assert {line["error"]["status"] for line in ask(file, "--path", "slow").answers} == {404}


def test_no_proxy_stands_before_this_machine(ask: Command, tmp_path: Path) -> None:
    """A company's proxy is not asked the way to 127.0.0.1."""
    file = write_tickets(tmp_path / "in.jsonl", {"body": "by no proxy"})
    assert ask(file, HTTP_PROXY=f"http://127.0.0.1:{free_port()}").code == 0


def test_absent_service_is_told_per_ticket(command: Command, tmp_path: Path) -> None:
    """Nobody there: every ticket says where it was sent and what to look at; exit code 1."""
    url = f"http://127.0.0.1:{free_port()}"
    file = write_tickets(tmp_path / "in.jsonl", *numbered(2))
    result = command("classify", file, "--service", url)
    assert result.code == 1
    assert {line["error"]["detail"] for line in result.answers} == {
        f"no answer from {url} (ConnectError); does the service run?"
    }
    assert f"failed 2 times: No answer; the first: no answer from {url}" in result.err


@pytest.mark.parametrize("body", [{"object": "list"}, b"<html>Bad gateway</html>"])
@pytest.mark.parametrize("status", [200, 400])
def test_another_server_is_recognised(
    body: Any, status: int, command: Command, tmp_path: Path, short: Upstream
) -> None:
    """Whatever answers there, it is reported as not being the service; no traceback."""
    short.answers(body, status)
    url = f"http://127.0.0.1:{short.port}"
    result = command("classify", write_tickets(tmp_path / "in", *numbered(1)), "--service", url)
    assert result.code == 1
    detail = f"{url}/classify answered {status}, but not as this service does"
    assert result.answers[0]["error"]["detail"] == detail


def test_pauses_are_read_with_care(command: Command, tmp_path: Path, short: Upstream) -> None:
    """A Retry-After that is a date or nonsense costs a second, not the run."""
    problem = {"type": "t", "title": "Busy", "status": 503, "detail": "later"}
    dates = ("Wed, 21 Oct 2026 07:28:00 GMT", "nan", "-5")
    busy = [Scripted(problem, 503, {"retry-after": date}) for date in dates]
    short.answers_in_turn(*busy, Scripted(problem, 403))
    url = f"http://127.0.0.1:{short.port}"
    result = command("classify", write_tickets(tmp_path / "in", *numbered(1)), "--service", url)
    assert result.answers[0]["error"]["title"] == "Busy"
    assert len(short.calls) == 4
