from __future__ import annotations

import httpx2
import pytest
from bpe_openai import get_encoding

from classifier.config.load import SHIPPED
from classifier.config.schema import Options
from classifier.paths.chat import ChatCodec
from classifier.paths.decisions import DecisionsCodec
from classifier.ports import Codec, RawReply
from classifier.prompts import Prompt, render
from classifier.records import Usage
from classifier.taxonomy import Taxonomy
from classifier.tokens import count_static

TICKETS = (
    "Where is my parcel?",
    "Rechnung doppelt abgebucht, bitte prüfen!",
    "支払いが二重です 🙂",
    "",
)


def tokens(text: str) -> int:
    """An independent count."""
    return len(get_encoding("o200k_base").encode(text, disallowed_special=()))


def prompt(taxonomy: Taxonomy, name: str = "short.txt") -> Prompt:
    """A shipped prompt over the shipped labels."""
    return render(name, (SHIPPED / "prompts" / name).read_text(encoding="utf-8"), taxonomy)


async def usage(http: httpx2.AsyncClient, codec: Codec, ticket: str) -> Usage:
    """What the service's own codec reads of the answer."""
    response = await http.post(f"/v1{codec.route}", content=codec.encode(ticket))
    found = codec.decode(RawReply(response.content)).usage
    assert found is not None
    return found


@pytest.mark.parametrize("ticket", TICKETS)
async def test_chat_tokens_are_counted_exactly(
    http: httpx2.AsyncClient, taxonomy: Taxonomy, ticket: str
) -> None:
    """Input is 3 for the reply, and per message 3, its role and its content."""
    static = prompt(taxonomy).static
    message = f"<ticket>{ticket}</ticket>"
    codec = ChatCodec("ft:a", prompt(taxonomy), Options(), 12_000)
    found = await usage(http, codec, ticket)
    assert found.input_tokens == 3 + (3 + 1 + tokens(static)) + (3 + 1 + tokens(message))


async def test_output_tokens_are_the_labels(http: httpx2.AsyncClient) -> None:
    """A label of two tokens costs two."""
    messages = [
        {"role": "system", "content": "cancellation"},
        {"role": "user", "content": "stop it"},
    ]
    only = {"model": "ft:a", "messages": messages}
    response = await http.post("/v1/chat/completions", json=only)
    assert response.json()["usage"]["completion_tokens"] == tokens("cancellation") == 2


@pytest.mark.parametrize("kind", ["chat", "decisions"])
async def test_what_the_service_expects_is_what_is_counted(
    http: httpx2.AsyncClient, taxonomy: Taxonomy, kind: str
) -> None:
    """Static tokens as the service counts them, and those of a ticket of sentences, add up to the usage."""
    text = "My camera is broken."
    shown = prompt(taxonomy)
    codec: Codec = ChatCodec("ft:a", shown, Options(), 12_000)
    if kind == "decisions":
        codec = DecisionsCodec("gpt-6-luna", shown, Options(), 12_000, taxonomy)
    static = count_static(kind, shown, taxonomy)
    assert static is not None
    assert (await usage(http, codec, text)).input_tokens == static + tokens(text)


async def test_long_static_prompts_are_cached(http: httpx2.AsyncClient, taxonomy: Taxonomy) -> None:
    """The second call reads what the first one wrote, in steps of 128; another key has its own."""
    long = prompt(taxonomy, "long.txt")
    static = Prompt("p", long.static + " Be brief." * 200, "", "", "p@1")
    codec = ChatCodec("gpt-6-luna", static, Options(), 999)
    keyed = ChatCodec("gpt-6-luna", static, Options(prompt_cache_key="k"), 999)
    found = [
        await usage(http, one, text) for one, text in ((codec, "1"), (codec, "2"), (keyed, "3"))
    ]
    whole = (tokens(static.static) + 4) // 128 * 128
    assert whole >= 1_024
    assert [one.cached_input_tokens for one in found] == [0, whole, 0]
    assert [one.cache_write_tokens for one in found] == [whole, 0, whole]


async def test_writes_are_free_for_older_models(
    http: httpx2.AsyncClient, taxonomy: Taxonomy
) -> None:
    """A model without `cache_writes` reads from the cache and never bills a write."""
    static = Prompt("p", "Be brief. " * 600, "", "", "p@1")
    codec = ChatCodec("ft:writes", static, Options(), 999)
    found = [await usage(http, codec, ticket) for ticket in ("one", "two")]
    assert [one.cache_write_tokens for one in found] == [0, 0]
    assert found[1].cached_input_tokens
