"""The page that Prometheus reads: well-formed, closed in its labels, and right to the last token."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from bisect import bisect_left
from collections import Counter
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as ReferenceHistogram
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from classifier.metrics.edge import KEY_FAULTS, REASONS
from classifier.metrics.histogram import LATENCY_BOUNDS_S, RATIO_BOUNDS, Histogram
from classifier.metrics.money import DollarCounter
from tests.support.house import Service, edited, service, trusting, write_config
from tests.support.upstream import Call, Respond, Scripted, Upstream, completion
from tests.support.waiting import eventually

# Every value that a label of ours may take, by hand; others only name numbers, versions and prints.
CLOSED = {
    "door": {"classify", "batch"},
    "path": {"short", "long", "none"},
    "source": {"model", "cache", "coalesced", "none"},
    "reason": {
        "answer", "escalation", "fallback", "retry", "hedge", "shadow", "probe", "open", "paused", "probing",
        "deadline", "slow", "recovered", "timeout", "connect", "reset", "quota", "unauthorised",
        "model_gone", "server_error", "garbage", *REASONS, *KEY_FAULTS,
    },
    "state": {"closed", "half_open", "open"},
    "replied": {"yes", "no"},
    "outcome": {
        "labelled", "abstained", "not_a_label", "refusal", "no_label", "no_path_answered",
        "out_of_time", "internal", "timeout", "connect", "reset", "rate_limited", "quota", "loading", "refused",
        "unauthorised", "model_gone", "server_error", "garbage", "hit", "miss", "stored", "live",
        "unchanged", "skipped", "dropped", "error", "granted", "denied_budget", "denied_deadline",
        "denied_breaker", "denied_busy", "won", "lost", "neither", "cancelled", "written", "failed",
    },
    "label": {"billing", "login", "other"},
    "kind": {
        "input", "cached_input", "cache_write", "output", "classification", "correction",
        "corrected", "removed", "echo",
    },
    "status": {"exact", "upper_bound", "estimated", "partial", "unknown", "2xx", "4xx", "5xx"},
    "route": {
        "/classify", "/classify/batch", "/healthz", "/readyz", "/metrics", "/schema", "/",
        "/schema/openapi.json", "/schema/{path}", "/console/state", "unmatched",
    },
    "tier": {"memory", "redis"},
    "operation": {"get", "put"},
    "priority": {"interactive", "webhook", "batch"},
    "bound": {"min", "max"},
}  # fmt: skip
FREE = {"le", "version", "config", "taxonomy", "generation", "implementation"} | {
    "major", "minor", "patchlevel",
}  # fmt: skip


def _usage(rng: random.Random) -> dict[str, Any]:
    prompt = rng.randrange(50, 2_000)
    details = {"cached_tokens": rng.randrange(0, 50)}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": rng.randrange(1, 9),
        "prompt_tokens_details": details,
    }


async def _page(house: Service) -> str:
    answer = await house.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def _samples(page: str) -> list[Sample]:
    return [s for family in text_string_to_metric_families(page) for s in family.samples]


async def _busy(house: Service, short: Upstream, long: Upstream, mark: str) -> None:
    """Tickets, batches and requests that try to get something of theirs into a label."""
    hostile = [f'{mark}"\n\\', f"{mark}{{le=}}", f"{mark}-é☃", f"../{mark}"]

    async def respond(call: Call) -> Scripted:
        if "fail" in call.ticket:
            return Scripted({"error": {"message": mark, "type": mark}}, 500, {"x-label": mark})
        text = mark if "odd" in call.ticket else "billing"
        reply = completion(text, model=mark, service_tier=mark, system_fingerprint=mark)
        return Scripted(reply, headers={"openai-processing-ms": "12"})

    short.respond = long.respond = respond
    for word in (*hostile, f"odd {mark}", f"fail {mark}"):
        ticket = {
            "body": word, "id": word, "subject": word, "language": word, "channel": word,
            "tags": [word], "metadata": {word: word},
        }  # fmt: skip
        for params in ({}, {"path": word}, {"path": "long"}, {word: word}, {"cache": word}):
            headers = {"X-Request-Id": mark, "X-Timeout-Ms": mark} if "cache" in params else {}
            await house.client.post("/classify", json=ticket, params=params, headers=headers)
        line = json.dumps(ticket).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        await house.client.post("/classify/batch", content=line + b"\n{", headers=headers)
        await house.client.get(f"/{mark}")
        await house.client.get(f"/schema/{mark}")
        await house.client.request(mark.upper(), "/classify")
        await house.client.get("/healthz", params={mark: mark})


async def test_promtool_finds_nothing(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """The page of a busy service passes `promtool check metrics` without a word."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is missing: apt-get install prometheus (it is in that package)")
    await _busy(house, short_model, long_model, "mark")
    page = await _page(house)
    process = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate(page.encode())
    assert (process.returncode, output.decode()) == (0, "")


async def test_names_and_types_are_regular(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """Every metric is ours or the process's, has a help text, and counters end in _total."""
    await _busy(house, short_model, long_model, "mark")
    page = await _page(house)
    assert page.endswith("\n")
    families = list(text_string_to_metric_families(page))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.startswith(("classifier_", "process_", "python_"))
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            assert not sample.name.endswith("_created")
            assert (family.type == "counter") == sample.name.endswith("_total")
    types = {line.split()[2]: line.split()[3] for line in page.splitlines() if "# TYPE" in line}
    assert types["classifier_tickets_total"] == "counter"
    assert types["classifier_cost_dollars_total"] == "counter"
    assert types["classifier_ticket_duration_seconds"] == "histogram"


def _series(samples: list[Sample]) -> set[tuple[str, str]]:
    return {(s.name, json.dumps(s.labels, sort_keys=True)) for s in samples}


async def test_labels_come_from_closed_sets(
    config_file: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Nothing that a caller or a model says becomes a label value or a new series."""
    # Retries hang on a budget, and that on what was before: the second round would have fewer.
    untried = edited(config_file, "timeout_s = 1.0", "timeout_s = 1.0\nretries = 0")
    async with service(trusting(untried)) as house:
        await _busy(house, short_model, long_model, "zebra")
        await _page(house)  # from now on the page itself is counted
        before = _samples(await _page(house))
        await _busy(house, short_model, long_model, "giraffe")
        page = await _page(house)
    after = _samples(page)
    for sample in after:
        for name, value in sample.labels.items():
            assert name in FREE or value in CLOSED[name], (sample.name, name, value)
    assert _series(after) == _series(before)
    assert "zebra" not in page
    assert "giraffe" not in page


Tokens = Counter[tuple[str, str]]


def _reporting(path: str, reported: Tokens, rng: random.Random) -> Respond:
    """A model that keeps a record of the usage that it reports."""

    async def respond(call: Call) -> Scripted:
        usage = _usage(rng)
        reported[path, "input"] += usage["prompt_tokens"]
        reported[path, "cached_input"] += usage["prompt_tokens_details"]["cached_tokens"]
        reported[path, "output"] += usage["completion_tokens"]
        return Scripted(completion(rng.choice(["billing", "login", "what?"]), usage=usage))

    return respond


def _booked_tokens(page: str) -> Tokens:
    booked: Tokens = Counter()
    for sample in _samples(page):
        if sample.name == "classifier_tokens_total" and sample.value:
            booked[sample.labels["path"], sample.labels["kind"]] += int(sample.value)
    return booked


def _booked_dollars(page: str) -> Decimal:
    """From the text itself: a float would hide the last digits."""
    lines = [x for x in page.splitlines() if x.startswith("classifier_cost_dollars_total{")]
    return sum((Decimal(line.rsplit(" ", 1)[1]) for line in lines), Decimal(0))


async def test_totals_are_what_the_models_reported(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """Tokens to the token and dollars to the nano-dollar, over 150 tickets with escalations."""
    rng = random.Random(3)
    reported: Tokens = Counter()
    short_model.respond = _reporting("short", reported, rng)
    long_model.respond = _reporting("long", reported, rng)
    for start in range(0, 150, 15):
        texts = [f"ticket {n // 2}" for n in range(start, start + 15)]
        await asyncio.gather(*map(house.classify, texts))
    page = await _page(house)
    assert _booked_tokens(page) == reported
    # nano-dollars per plain, cached and output token, as the config has them
    rates = {"short": (300, 150, 1_200), "long": (150, 75, 600)}
    nanodollars = sum(
        (reported[path, "input"] - reported[path, "cached_input"]) * plain
        + reported[path, "cached_input"] * cached
        + reported[path, "output"] * output
        for path, (plain, cached, output) in rates.items()
    )
    assert _booked_dollars(page) * 1_000_000_000 == nanodollars
    calls = len(short_model.calls) + len(long_model.calls)
    assert await house.metric("classifier_attempts_total") == calls
    assert await house.metric("classifier_model_duration_seconds_count") == calls
    assert await house.metric("classifier_tickets_total") == 150
    assert await house.metric("classifier_ticket_duration_seconds_count") == 150


async def test_claims_stand_beside_the_measurements(house: Service) -> None:
    """The claimed 0.1 s, 0.4 s, 0.9 and 50,000 are exported, and buckets end exactly there."""
    assert await house.metric("classifier_claim_seconds", path="short") == 0.1
    assert await house.metric("classifier_claim_seconds", path="long") == 0.4
    assert await house.metric("classifier_claim_savings_ratio") == 0.9
    assert await house.metric("classifier_claim_tickets_per_day") == 50_000
    bucket = partial(bisect_left, LATENCY_BOUNDS_S)
    assert bucket(0.1) != bucket(0.13)
    assert bucket(0.33) != bucket(0.4)
    ratios = [upper / lower for lower, upper in pairwise(LATENCY_BOUNDS_S[:-1])]
    assert all(1.1 < ratio < 1.3 for ratio in ratios)


async def test_counterfactual_costs_are_right(house: Service, short_model: Upstream) -> None:
    """What the same ticket would have cost on each path alone, from the model and from the cache."""
    short_model.answers(
        completion(
            "billing",
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 50},
            },
        )
    )
    # static_tokens are 60 on short and 800 on long, so the ticket itself has 40:
    # short (60 + 40) x 0.30 + 2 x 1.20, long (800 + 40) x 0.15 + 2 x 0.60 dollars per million
    for source, text in (("model", "first"), ("cache", "first"), ("cache", "first")):
        assert (await house.classify(text)).json()["source"] == source
    name = "classifier_counterfactual_cost_dollars_total"
    assert await house.metric(name, path="short", source="model") == 0.0000324
    assert await house.metric(name, path="long", source="model") == 0.0001272
    assert await house.metric(name, path="short", source="cache") == 0.0000648
    assert await house.metric(name, path="long", source="cache") == 0.0002544
    # paid: 50 x 0.30 + 50 x 0.15 + 2 x 1.20
    assert await house.metric("classifier_cost_dollars_total") == 0.0000249


async def test_unknown_counterfactuals_are_counted(house: Service, short_model: Upstream) -> None:
    """An answer without usage has no counterfactual: counted as unknown, not priced as 0."""
    short_model.answers(completion("billing", usage=None))
    await house.classify("x")
    for path in ("short", "long"):
        assert await house.metric("classifier_counterfactual_unknown_total", path=path) == 1
    assert await house.metric("classifier_counterfactual_cost_dollars_total") == 0
    assert await house.metric("classifier_uncertain_costs_total", status="unknown") == 1


async def test_simulated_answers_are_marked(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """An answer with `x-simulated` marks its path, itself, and no other path."""
    short_model.answers(completion("billing"), headers={"x-simulated": "true"})
    assert (await house.classify("a")).json()["simulated"] is True
    assert (await house.classify("b", path="long")).json()["simulated"] is False
    assert await house.metric("classifier_simulated", path="short") == 1
    assert await house.metric("classifier_simulated", path="long") == 0


async def test_tickets_under_way_are_shown(house: Service, short_model: Upstream) -> None:
    """The gauge of tickets under way rises and falls back to 0."""
    short_model.delay_s = 0.3
    asking = [asyncio.create_task(house.classify(f"{n}")) for n in range(5)]

    async def five() -> bool:
        return await house.metric("classifier_tickets_in_flight") == 5

    await eventually(five)
    await asyncio.gather(*asking)
    assert await house.metric("classifier_tickets_in_flight") == 0


async def test_failures_are_booked_by_reason(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """A failed ticket counts under its problem's name, its attempts under what went wrong."""
    short_model.answers({"error": {"message": "x"}}, status=500)
    long_model.answers(completion("nonsense"))
    assert (await house.classify("a")).status_code == 503
    page = await house.metrics()
    attempts = {
        name: value for name, value in page.items() if name.startswith("classifier_attempts_total")
    }
    assert attempts == {
        'classifier_attempts_total{outcome="server_error",path="short",reason="answer"}': 1,
        'classifier_attempts_total{outcome="not_a_label",path="long",reason="fallback"}': 1,
    }
    failed = 'classifier_tickets_total{door="classify",outcome="no_path_answered",path="none",source="none"}'
    assert page[failed] == 1


async def test_label_of_the_taxonomy_is_escaped(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A label with quotes, backslashes and line breaks comes out of the page as it went in."""
    label = 'bil"l\\in{g}\n☃'
    config = write_config(tmp_path, short_model.url, long_model.url)
    text = config.read_text().replace('"billing"', json.dumps(label, ensure_ascii=False))
    config.write_text(text)
    short_model.answers(completion(label))
    async with service(config) as house:
        assert (await house.classify("x")).json()["label"] == label
        found = [s for s in _samples(await _page(house)) if s.name == "classifier_labels_total"]
    assert [(s.labels["label"], s.value) for s in found] == [(label, 1)]


# ------------------------------------------------------------------------- our own collectors

_values = st.floats(-1.0, 20.0) | st.sampled_from([*LATENCY_BOUNDS_S, *RATIO_BOUNDS])
_label = st.text(max_size=12)


def _comparable(samples: list[Sample]) -> dict[tuple[str, str], float]:
    """Samples by name and labels; bounds as numbers, since they may be written in several ways."""
    found = {}
    for sample in samples:
        labels = {k: str(float(v)) if k == "le" else v for k, v in sample.labels.items()}
        found[sample.name, json.dumps(labels, sort_keys=True)] = sample.value
    return found


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(
    observations=st.lists(st.tuples(_label, _label, _values), max_size=40),
    bounds=st.sampled_from([LATENCY_BOUNDS_S, RATIO_BOUNDS, (1.0,)]),
)
def test_own_histogram_equals_the_reference(
    observations: list[tuple[str, str, float]], bounds: tuple[float, ...]
) -> None:
    """Sample by sample what prometheus_client would say, for any values and any label texts."""
    ours = Histogram("x_seconds", "Help.", ("path", "source"), bounds)
    registry = CollectorRegistry()
    theirs = ReferenceHistogram(
        "x_seconds", "Help.", ("path", "source"), registry=registry, buckets=bounds
    )
    for path, source, value in observations:
        ours.series(path, source).observe(value)
        theirs.labels(path, source).observe(value)
    expected = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    text = "\n".join(ours.lines()) + "\n"
    assert _comparable(_samples(text)) == _comparable(expected)


def test_histogram_takes_exactly_its_labels() -> None:
    """A forgotten or superfluous label value is an error at once, not a broken page later."""
    histogram = Histogram("x_seconds", "Help.", ("path",), (1.0,))
    for values in ((), ("a", "b")):
        with pytest.raises(ValueError, match="has labels"):
            histogram.series(*values)
    assert list(histogram.lines()) == ["# HELP x_seconds Help.", "# TYPE x_seconds histogram"]


@settings(max_examples=100, derandomize=True, database=None)
@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_dollar_counter_adds_up_exactly(amounts: list[int]) -> None:
    """A sum of nano-dollars comes out as the nearest dollar figure, with no drift on the way."""
    counter = DollarCounter("x_dollars_total", "Help.", ("path",))
    for amount in amounts:
        counter.add(amount, "short")
    ((family),) = counter.collect()
    values = [sample.value for sample in family.samples]
    assert values == ([float(Decimal(sum(amounts)) / 10**9)] if amounts else [])
