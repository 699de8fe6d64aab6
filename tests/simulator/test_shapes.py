from __future__ import annotations

import math

import httpx2
import openai
import pytest
from openai.types import Decision, Model
from openai.types.chat import ChatCompletion

from classifier.taxonomy import Taxonomy

TICKET = "Subject: Refund\n\nI want my money back, the parcel never came."
QUESTION = {
    "type": "choice",
    "name": "label",
    "instructions": "Classify the ticket.",
    "choices": [{"value": "refund"}, {"value": "shipping", "description": "parcels"}],
}


async def complete(
    sdk: openai.AsyncOpenAI, system: str = "Classify.", **options: object
) -> ChatCompletion:
    """One completion, checked field by field against the SDK's own model."""
    fields = {
        "model": "ft:a",
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": TICKET},
        ],
        **options,
    }
    found = await sdk.chat.completions.create(**fields)  # type: ignore[call-overload]
    return ChatCompletion.model_validate(found.model_dump(), strict=True)


async def decide(sdk: openai.AsyncOpenAI, **options: object) -> Decision:
    """One decision, checked field by field against the SDK's own model."""
    fields = {"model": "gpt-6-luna", "input": TICKET, "questions": [QUESTION], **options}
    found = await sdk.decisions.create(**fields)  # type: ignore[arg-type]
    return Decision.model_validate(found.model_dump(), strict=True)


async def test_completion_has_the_vendors_shape(
    sdk: openai.AsyncOpenAI, taxonomy: Taxonomy
) -> None:
    """The real SDK reads a completion without a field missing or of another type."""
    found = await complete(sdk, logprobs=True, top_logprobs=3)
    choice = found.choices[0]
    assert (found.object, found.system_fingerprint) == ("chat.completion", "simulated")
    assert choice.message.content in taxonomy.names
    assert (choice.message.refusal, choice.finish_reason) == (None, "stop")
    assert found.usage is not None
    assert found.usage.prompt_tokens_details is not None
    assert found.usage.prompt_tokens_details.cached_tokens == 0
    assert found.service_tier == "default"


async def test_tokens_of_the_logprobs_spell_the_answer(sdk: openai.AsyncOpenAI) -> None:
    """Each token has its bytes and at most as many rivals as were asked for, itself the first."""
    choice = (await complete(sdk, logprobs=True, top_logprobs=3)).choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert "".join(token.token for token in tokens) == choice.message.content
    assert all(bytes(token.bytes or []).decode() == token.token for token in tokens)
    assert tokens[0].top_logprobs[0].token == tokens[0].token
    assert len(tokens[0].top_logprobs) == 3
    assert sum(math.exp(rival.logprob) for rival in tokens[0].top_logprobs) <= 1.0


async def test_no_logprobs_unless_asked(sdk: openai.AsyncOpenAI) -> None:
    """Log probabilities are on the wire only for a request that wants them."""
    assert (await complete(sdk)).choices[0].logprobs is None


async def test_output_limit_cuts_the_answer(sdk: openai.AsyncOpenAI) -> None:
    """An answer longer than the limit ends early and says so."""
    found = await complete(sdk, system="Say cancellation.", max_completion_tokens=1)
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].message.content == "c"
    assert found.usage is not None
    assert found.usage.completion_tokens == 1


@pytest.mark.parametrize(("asked", "billed"), [("flex", "flex"), ("fast", "priority")])
async def test_service_tier_is_answered(sdk: openai.AsyncOpenAI, asked: str, billed: str) -> None:
    """The tier in the answer is the one that is billed."""
    assert (await complete(sdk, service_tier=asked)).service_tier == billed


async def test_decision_has_the_vendors_shape(sdk: openai.AsyncOpenAI) -> None:
    """The real SDK reads a decision; its probabilities stand in the order of the choices."""
    found = await decide(sdk)
    answer = found.answers[0]
    assert answer.type == "choice"
    assert (answer.name, answer.choice) == ("label", "refund")
    assert [one.value for one in answer.probabilities] == ["refund", "shipping"]
    assert sum(one.probability for one in answer.probabilities) == pytest.approx(1.0)
    assert answer.confidence == answer.probabilities[0].probability
    assert found.usage.output_tokens == 0


async def test_every_question_is_answered_in_turn(sdk: openai.AsyncOpenAI) -> None:
    """Several questions about one ticket get their answers in the same order."""
    other = {**QUESTION, "name": "second", "choices": [{"value": "login"}, {"value": "spam"}]}
    found = await decide(sdk, questions=[QUESTION, other])
    assert [answer.name for answer in found.answers] == ["label", "second"]


async def test_input_may_be_messages(sdk: openai.AsyncOpenAI) -> None:
    """Text in messages and parts is read like plain text."""
    parts = [{"role": "user", "content": [{"type": "input_text", "text": TICKET}]}]
    assert (await decide(sdk, input=parts)).answers == (await decide(sdk)).answers


async def test_models_are_listed(sdk: openai.AsyncOpenAI) -> None:
    """The list names the configured models, and the date when one of them ends."""
    found = [Model.model_validate(one.model_dump()) for one in (await sdk.models.list()).data]
    assert {one.id: one.shutdown_date for one in found} == {
        "ft:a": "2027-01-14",
        "gpt-6-luna": None,
    }


async def test_unsure_model_abstains(sdk: openai.AsyncOpenAI, taxonomy: Taxonomy) -> None:
    """Below its threshold a model says the abstain label, where that is on offer."""
    assert (await complete(sdk, model="shy")).choices[0].message.content == taxonomy.abstain
    assert (await decide(sdk, model="shy")).answers[0].choice == "refund"  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1/models", "/simulator/stats"])
async def test_every_answer_says_that_it_is_simulated(http: httpx2.AsyncClient, path: str) -> None:
    """No answer can be taken for a vendor's, and each carries the vendor's headers."""
    response = await http.get(path)
    assert response.headers["x-simulated"] == "1"
    assert "simulated" in response.text
    wanted = {"x-request-id", "openai-processing-ms", "x-ratelimit-remaining-requests"}
    assert wanted <= set(response.headers)


async def test_processing_time_is_the_drawn_one(sdk: openai.AsyncOpenAI) -> None:
    """The header tells the time that the model pretended to take."""
    raw = await sdk.chat.completions.with_raw_response.create(
        model="sluggish", messages=[{"role": "user", "content": TICKET}]
    )
    assert raw.headers["openai-processing-ms"] == "40"
