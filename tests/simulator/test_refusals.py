from __future__ import annotations

import httpx2
import openai
import pytest

CHAT = {"model": "ft:a", "messages": [{"role": "user", "content": "hello"}]}
CHOICES = [{"value": "a"}, {"value": "b"}]
CHOICE = {"type": "choice", "instructions": "", "choices": CHOICES}
DECISION = {"model": "gpt-6-luna", "input": "hello", "questions": [CHOICE]}


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"stream": True}, 400, "does not stream"),
        ({"messages": []}, 400, "messages"),
        ({"messages": None}, 400, "messages"),
        ({"model": "gpt-99"}, 404, "gpt-99"),
        ({"top_logprobs": 21}, 400, "top_logprobs"),
        ({"messages": [{"role": "user", "content": "x" * 900_000}]}, 400, "too long"),
        ({"messages": [{"role": "user", "content": "x" * 4_200_000}]}, 413, "too large"),
    ],
)
async def test_wrong_completions_are_refused(
    http: httpx2.AsyncClient, change: dict[str, object], status: int, says: str
) -> None:
    """What a real server refuses is refused here too, in the vendor's error shape."""
    response = await http.post("/v1/chat/completions", json=CHAT | change)
    error = response.json()["error"]
    assert response.status_code == status
    assert says in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"questions": []}, 400, "questions"),
        ({"questions": [{"type": "predicate", "instructions": "true?"}]}, 400, "predicate"),
        ({"questions": [CHOICE | {"choices": CHOICES[:1]}]}, 400, "2 to 255"),
        ({"questions": [CHOICE | {"choices": CHOICES[:1] * 2}]}, 400, "different"),
        ({"model": "only-chat"}, 404, "only-chat"),
    ],
)
async def test_wrong_decisions_are_refused(
    http: httpx2.AsyncClient, change: dict[str, object], status: int, says: str
) -> None:
    """A decision that cannot be made is refused, never guessed."""
    response = await http.post("/v1/decisions", json=DECISION | change)
    assert response.status_code == status
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": "\xff"}', b"[" * 5_000])
async def test_what_is_not_json_is_refused(http: httpx2.AsyncClient, body: bytes) -> None:
    """Whatever arrives, it is a 400 and not the simulator's failure."""
    assert (await http.post("/v1/chat/completions", content=body)).status_code == 400
    assert (await http.post("/v1/decisions", content=body)).status_code == 400


@pytest.mark.parametrize("key", ["", "Bearer", "Basic abc", "Bearer invalid"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/decisions"])
async def test_a_key_is_needed(address: str, path: str, key: str) -> None:
    """No key or the key `invalid` is 401 before anything else is looked at."""
    async with httpx2.AsyncClient(base_url=address) as client:
        response = await client.post(path, headers={"authorization": key}, content=b"{")
    assert response.status_code == 401


async def test_the_sdk_understands_the_errors(address: str) -> None:
    """The vendor's client raises its own error with the code from the body."""
    async with openai.AsyncOpenAI(api_key="invalid", base_url=f"{address}/v1") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
    assert caught.value.code == "invalid_api_key"


async def test_unknown_places_are_named(http: httpx2.AsyncClient) -> None:
    """A wrong path or method gets an error that says what there is."""
    assert (await http.get("/v1/completions")).status_code == 404
    wrong_method = await http.get("/v1/decisions")
    assert wrong_method.status_code == 405
    assert "POST" in wrong_method.json()["error"]["message"]
