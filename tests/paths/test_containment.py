"""Nothing that a model server sends leads out of the taxonomy: not its words, nor its numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import AttemptFailed
from classifier.ports import Codec, RawReply
from classifier.records import Reply, Usage
from tests.support.parts import TAXONOMY, chat, decisions, path
from tests.support.upstream import Upstream, completion, decision

NAMES = TAXONOMY.names
WORDS = st.one_of(
    st.none(),
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [*NAMES, *" \n\"'`{}[]:,.", "label", "<", "refund", "not", "\u200b", "\uff42illing"]
        ),
        max_size=6,
    ).map("".join),
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
REPLIES = st.builds(
    Reply,
    text=WORDS,
    usage=st.none() | st.just(Usage(1, 1)),
    refused=st.booleans(),
    token_logprobs=st.none() | st.lists(st.tuples(st.text(max_size=8), NUMBERS), max_size=4).map(tuple),
    probabilities=st.none() | st.dictionaries(st.sampled_from([*NAMES, "refund", ""]), NUMBERS),
)  # fmt: skip
PATH = path("short", Upstream())  # type: ignore[arg-type]  # nothing is sent here


def contained(reply: Reply) -> None:
    """What leaves the label check: a label of ours or none, and a share or nothing."""
    found = PATH.read(reply)
    assert found.label is None or found.label in NAMES
    assert (found.label is None) == (found.outcome in ("refusal", "not_a_label"))
    assert found.confidence is None or 0.0 <= found.confidence <= 1.0


@given(REPLIES)
def test_any_reply_is_a_label_or_nothing(reply: Reply) -> None:
    """Any words, probabilities and logarithms, also such as no model has: a label or nothing."""
    contained(reply)


def _put(body: dict[str, Any], place: tuple[Any, ...], value: Any) -> bytes:
    inner: Any = body
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    # JSON has no NaN: such a server's answer is no JSON, and that is for the decoder to refuse
    return json.dumps(body).encode("utf-8", "surrogatepass")


CHAT_PLACES = st.sampled_from(
    [
        ("choices",), ("choices", 0), ("choices", 0, "message"), ("choices", 0, "message", "content"),
        ("choices", 0, "logprobs"), ("choices", 0, "finish_reason"), ("usage",), ("service_tier",),
        ("choices", 0, "logprobs", "content", 0, "logprob"), ("usage", "prompt_tokens"),
    ]
)  # fmt: skip
DECISION_PLACES = st.sampled_from(
    [
        ("answers",), ("answers", 0), ("answers", 0, "choice"), ("answers", 0, "confidence"),
        ("answers", 0, "probabilities"), ("answers", 0, "probabilities", 0, "probability"),
        ("answers", 0, "type"), ("usage",), ("usage", "input_tokens"),
    ]
)  # fmt: skip


def _read(codec: Codec, body: bytes) -> None:
    try:
        reply = codec.decode(RawReply(body))
    except AttemptFailed as failed:
        kind = failed.kind
    else:
        contained(reply)
        assert reply.usage is None or 0 <= reply.usage.input_tokens <= 1_000_000_000
        return
    assert kind == "garbage"


@given(CHAT_PLACES, JSON)
def test_any_completion_is_a_label_or_nothing(place: tuple[Any, ...], value: Any) -> None:
    """Whatever stands in whichever field of a completion: a label, nothing, or garbage that is named."""
    _read(chat(), _put(completion("billing"), place, value))


@given(DECISION_PLACES, JSON)
def test_any_decision_is_a_label_or_nothing(place: tuple[Any, ...], value: Any) -> None:
    """Whatever stands in whichever field of a decision: likewise."""
    _read(decisions(), _put(decision("billing"), place, value))


@pytest.mark.parametrize("codec", [chat(), decisions()], ids=["chat", "decisions"])
def test_any_bytes_are_garbage(codec: Codec) -> None:
    """Bytes that are no answer are named as what they are; nothing else is raised."""
    for body in (b"", b"\xff", b"[]", b"null", b"{", b"[" * 100_000, b'{"x":' * 10_000, b"NaN"):
        with pytest.raises(AttemptFailed):
            codec.decode(RawReply(body))


def test_likely_is_what_the_arithmetic_allows() -> None:
    """The stand-ins above do reach the interesting places: a label with a confidence comes out."""
    reply = Reply("billing", None, probabilities={"billing": math.inf})
    assert PATH.read(reply).label == "billing"
    assert PATH.read(reply).confidence == 1.0
