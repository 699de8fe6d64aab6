"""Answers of the service are read as it writes them; whatever else comes back is a failure."""

from __future__ import annotations

import msgspec
import pytest

from classifier.api.answers import answered, server_timing
from classifier.api.problems import problem
from classifier.errors import NoPathAnswered
from classifier.records import Answer as Decided
from classifier.records import Classification, Cost, Stages, Usage
from loadtests.answers import Answer, Times, read_answer
from loadtests.samples import Sample
from loadtests.scenario import Arm
from loadtests.schedule import Arrival

TIMES = Times(start=10.0, due=11.0, sent=11.002, ended=11.102)
STAGES = Stages(total_s=0.0975, model_s=0.0950, cache_s=0.0004)


def arrival(batch: int = 1) -> Arrival:
    """A routed request of so many tickets, all of them about billing."""
    labels: tuple[str | None, ...] = ("billing",) * batch
    return Arrival(1.0, Arm(name="routed", share=1, batch=batch), "/classify", "", b"", labels)


def body(label: str = "billing", escalated_from: str | None = None) -> bytes:
    """As the service encodes it."""
    decided = Decided(
        label, 0.9, "short", "ft:x", "lumio@1", "short.txt@1", simulated=True,
        escalated_from=escalated_from,
    )  # fmt: skip
    found = Classification(
        "t-1", decided, "model", Usage(70, 1, 0, 0), Cost(21_900), STAGES, "default"
    )
    return msgspec.json.encode(answered(found))


def read(answer: Answer, batch: int = 1) -> Sample:
    """The answer to such a request, 100 ms after it was sent 2 ms late."""
    return read_answer(arrival(batch), answer, TIMES)


def test_answer_becomes_a_sample() -> None:
    """Path, money to the nano-dollar, tokens and whether the label was right."""
    found = read(Answer(200, body(), {"server-timing": server_timing(STAGES)}))
    assert found.ok
    assert (found.path, found.source, found.escalated) == ("short", "model", False)
    assert (found.nanodollars, found.input_tokens, found.output_tokens) == (21_900, 70, 1)
    assert (found.right, found.simulated) == (True, True)


def test_latency_counts_from_the_instant_due() -> None:
    """Waiting to be sent is part of it, and shown apart."""
    found = read(Answer(200, body(), {}))
    assert found.at_s == pytest.approx(1.0)
    assert found.late_ms == pytest.approx(2.0)
    assert found.latency_ms == pytest.approx(102.0)
    assert found.round_trip_ms == pytest.approx(100.0)


@pytest.mark.parametrize("headers", [{"server-timing": server_timing(STAGES)}, {}])
def test_stages_are_the_services_own(headers: dict[str, str]) -> None:
    """From Server-Timing, or from the body where a proxy dropped the header."""
    found = read(Answer(200, body(), headers))
    assert (found.total_ms, found.model_ms, found.overhead_ms) == (97.5, 95.0, 2.5)
    assert found.cache_ms == (0.4 if headers else None)


def test_wrong_label_is_an_answer_that_is_wrong() -> None:
    """Answered, not right; escalation is seen."""
    found = read(Answer(200, body("refund", escalated_from="short"), {}))
    assert (found.ok, found.right, found.escalated) == (True, False, True)


def test_refusal_keeps_its_problem() -> None:
    """The problem's name and whether it says when to come back."""
    content = msgspec.json.encode(problem(NoPathAnswered("try later", retry_after_s=2)))
    found = read(Answer(503, content, {"retry-after": "2"}))
    assert (found.ok, found.failed) == (False, 1)
    assert (found.problem, found.retry_after) == ("no-path-answered", True)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Answer(0, b"", {}, "ConnectionRefusedError"), "ConnectionRefusedError"),
        (Answer(502, b"<html>", {}), "not a problem document"),
        (Answer(200, b"<html>", {}), "unreadable"),
        (Answer(200, b"[]", {}), "unreadable"),
        (Answer(200, b'{"label": "billing"}', {}), "unreadable"),
    ],
)
def test_anything_else_is_a_failure(answer: Answer, word: str) -> None:
    """Never an exception: a run ends with all its samples."""
    found = read(answer)
    assert not found.ok
    assert word in found.problem


def test_batch_is_one_sample_of_its_lines() -> None:
    """Sums of tokens and money; a line that failed is a ticket that failed."""
    good = read(Answer(200, body() + b"\n" + body() + b"\n", {}), batch=2)
    assert (good.ok, good.tickets, good.nanodollars, good.input_tokens) == (True, 2, 43_800, 140)
    bad = read(Answer(200, body() + b'\n{"line": 2, "error": {}}\n', {}), batch=2)
    assert (bad.ok, bad.failed, bad.nanodollars) == (False, 1, 21_900)


def test_short_batch_answer_is_a_failure() -> None:
    """Lines that never came are tickets without a label."""
    assert read(Answer(200, body(), {}), batch=3).failed == 2
