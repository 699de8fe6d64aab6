"""Every fault as the service's own client sees it."""

from __future__ import annotations

import pytest

from classifier.config.load import SHIPPED
from classifier.config.schema import Endpoint, Options
from classifier.errors import AttemptFailed
from classifier.paths.chat import ChatCodec
from classifier.paths.decisions import DecisionsCodec
from classifier.paths.endpoint import OpenAIEndpoint
from classifier.ports import Codec
from classifier.prompts import render
from classifier.records import Reply
from classifier.simulator.faults import NAMES
from classifier.taxonomy import LabelReader, Taxonomy

FAILURES = {
    "rate_limited": "rate_limited",
    "quota": "quota",
    "loading": "loading",
    "bad_request": "refused",
    "content_filter": "refused",
    "unauthorised": "unauthorised",
    "model_gone": "model_gone",
    "server_error": "server_error",
    "overloaded": "server_error",
    "html": "server_error",
    "login_page": "garbage",
    "hang": "timeout",
    "slow": "timeout",
    "slow_body": "timeout",
    "cut": "reset",
    "garbage": "garbage",
    "oversize": "garbage",
}
NO_FAILURES = {
    "empty_choices", "wrong_label", "sentence", "refusal", "plain_text",
    "missing_usage", "missing_details", "no_logprobs",
}  # fmt: skip
PATIENT_S, IMPATIENT_S = 5.0, 0.15

both_kinds = pytest.mark.parametrize("kind", ["chat", "decisions"])


@pytest.fixture
def codecs(taxonomy: Taxonomy) -> dict[str, Codec]:
    """The service's codecs, one of each kind."""
    text = (SHIPPED / "prompts/short.txt").read_text(encoding="utf-8")
    prompt = render("short.txt", text, taxonomy)
    return {
        "chat": ChatCodec("ft:a", prompt, Options(), 12_000),
        "decisions": DecisionsCodec("gpt-6-luna", prompt, Options(), 12_000, taxonomy),
    }


async def ask(address: str, codec: Codec, fault: str, timeout_s: float = PATIENT_S) -> Reply:
    """One attempt as the service makes it."""
    headers = {"x-simulate-fault": fault} if fault else {}
    endpoint = OpenAIEndpoint(Endpoint(base_url=f"{address}/v1", headers=headers), "key")
    try:
        body = codec.encode("Where is my refund?")
        return codec.decode(await endpoint.post(codec.route, body, timeout_s))
    finally:
        await endpoint.aclose()


def test_every_fault_is_tried_here() -> None:
    """A new fault is not forgotten below."""
    assert set(FAILURES) | NO_FAILURES == set(NAMES)


@both_kinds
@pytest.mark.parametrize(("fault", "kind_of_failure"), FAILURES.items())
async def test_fault_is_seen_as(
    address: str, codecs: dict[str, Codec], kind: str, fault: str, kind_of_failure: str
) -> None:
    """The client tells every fault apart as its kind of failure."""
    timeout_s = IMPATIENT_S if kind_of_failure == "timeout" else PATIENT_S
    with pytest.raises(AttemptFailed) as caught:
        await ask(address, codecs[kind], fault, timeout_s)
    assert caught.value.kind == kind_of_failure
    assert caught.value.may_be_charged == (kind_of_failure in {"timeout", "reset", "garbage"})


async def test_rate_limit_says_when(address: str, codecs: dict[str, Codec]) -> None:
    """A rate limit tells how long to wait; an exhausted quota does not."""
    waits = []
    for fault in ("rate_limited", "quota"):
        with pytest.raises(AttemptFailed) as caught:
            await ask(address, codecs["chat"], fault)
        waits.append((caught.value.retry_after_s, caught.value.simulated))
    assert waits == [(1.0, True), (None, True)]


@both_kinds
async def test_good_answer_is_read_whole(
    address: str, codecs: dict[str, Codec], taxonomy: Taxonomy, kind: str
) -> None:
    """Without a fault the service finds label, usage with details, confidence and the mark."""
    reply = await ask(address, codecs[kind], "")
    assert reply.text in taxonomy.names
    assert reply.usage is not None
    assert reply.usage.cached_input_tokens == 0
    assert reply.token_logprobs or reply.probabilities
    assert reply.simulated
    assert reply.server_time_s is not None


@both_kinds
@pytest.mark.parametrize("fault", ["wrong_label", "sentence", "empty_choices", "refusal"])
async def test_no_label_can_be_read(
    address: str, codecs: dict[str, Codec], taxonomy: Taxonomy, kind: str, fault: str
) -> None:
    """These answers arrive well and hold no label of the taxonomy."""
    reply = await ask(address, codecs[kind], fault)
    assert LabelReader(taxonomy).read(reply.text) is None
    assert reply.refused or fault != "refusal"


@both_kinds
async def test_missing_parts_are_unknown(address: str, codecs: dict[str, Codec], kind: str) -> None:
    """Usage, its details and the confidence go missing one at a time; the label stays."""
    codec = codecs[kind]
    no_usage = await ask(address, codec, "missing_usage")
    no_details = await ask(address, codec, "missing_details")
    no_logprobs = await ask(address, codec, "no_logprobs")
    assert no_usage.usage is None
    assert no_details.usage is not None
    assert no_details.usage.cached_input_tokens is None
    assert no_logprobs.token_logprobs is None
    assert no_logprobs.probabilities is None
    assert no_usage.text == no_details.text == no_logprobs.text
