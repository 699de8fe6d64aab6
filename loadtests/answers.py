"""What came back, read into a sample: status, stages from Server-Timing, path, cost, label."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from loadtests.samples import Sample
from loadtests.schedule import Arrival

_STAGE = re.compile(r"([a-z]+);dur=([0-9.]+)")
_OK = 200


class Answer(NamedTuple):
    """An HTTP answer, or what kept it from coming (`status` 0)."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    error: str = ""


class Times(NamedTuple):
    """Moments of one clock, in seconds: due ≤ sent ≤ ended, and the start of the run."""

    start: float
    due: float
    sent: float
    ended: float


def read_answer(arrival: Arrival, answer: Answer, times: Times) -> Sample:
    """Never raises: what cannot be read is a failed sample that says why."""
    sample = Sample(
        at_s=times.due - times.start,
        late_ms=1e3 * (times.sent - times.due),
        latency_ms=1e3 * (times.ended - times.due),
        round_trip_ms=1e3 * (times.ended - times.sent),
        status=answer.status,
        arm=arrival.arm.name,
        tickets=len(arrival.labels),
        failed=len(arrival.labels),
        problem=answer.error,
        retry_after="retry-after" in answer.headers,
    )
    try:
        if answer.status != _OK:
            return sample._replace(problem=answer.error or _problem(answer.content))
        if arrival.arm.door:  # acknowledged; what becomes of it is told by nobody
            return sample._replace(failed=0, path=arrival.arm.name, source="acknowledged")
        if sample.tickets > 1:
            return _read_batch(sample, arrival, answer.content)
        body = json.loads(answer.content)
        return _read_stages(_read_ticket(sample, arrival, body), answer.headers, body)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        return sample._replace(problem=f"unreadable answer: {type(error).__name__}")


def _problem(content: bytes) -> str:
    try:
        found = json.loads(content)
        return str(found["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return "not a problem document"


def _read_ticket(sample: Sample, arrival: Arrival, body: dict[str, Any]) -> Sample:
    cost, usage, expected = body["cost_usd"], body["usage"], arrival.labels[0]
    return sample._replace(
        failed=0,
        path=body["path"],
        source=body["source"],
        escalated="escalated_from" in body,
        nanodollars=None if cost is None else _nanodollars(cost),
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        right=None if expected is None else body["label"] == expected,
        simulated=body["simulated"],
    )


def _read_stages(sample: Sample, headers: Mapping[str, str], body: dict[str, Any]) -> Sample:
    """The service's own stages: from the header, or from the body where a proxy dropped it."""
    found = dict(_STAGE.findall(headers.get("server-timing", ""))) or body["latency_ms"]
    stages = {name: float(value) for name, value in found.items()}
    return sample._replace(
        total_ms=stages.get("total"),
        model_ms=stages.get("model"),
        cache_ms=stages.get("cache"),
        overhead_ms=stages.get("overhead"),
    )


def _read_batch(sample: Sample, arrival: Arrival, content: bytes) -> Sample:
    """A batch is one sample: the sums of its lines."""
    lines = [json.loads(line) for line in content.splitlines()]
    good = [line for line in lines if "label" in line]
    costs = [line["cost_usd"] for line in good]
    return sample._replace(
        failed=len(arrival.labels) - len(good),
        path="several",
        source="several",
        nanodollars=None if None in costs else sum(map(_nanodollars, costs)),
        input_tokens=sum(line["usage"]["input_tokens"] for line in good),
        output_tokens=sum(line["usage"]["output_tokens"] for line in good),
        simulated=any(line["simulated"] for line in good),
        problem="" if len(good) == len(arrival.labels) else "failed lines",
    )


def _nanodollars(usd: str) -> int:
    return int(Decimal(usd) * 10**9)
