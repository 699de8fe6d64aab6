"""Counts tokens offline, where the `tokens` extra is installed; never on a ticket's way.

o200k_base is the vocabulary of the current OpenAI models. A chat message costs 3 tokens and its
role's name on top, the reply's head 3 more; counts are estimates until the endpoint's usage says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from classifier.prompts import Prompt
from classifier.taxonomy import Taxonomy

CACHE_THRESHOLD_TOKENS = 1_024  # prompts below this are never cached by the vendor
_CHAT_OVERHEAD_TOKENS = 11  # two messages: 3 + 2 * (3 + 1)
_SENTENCE = "My camera is broken."

Count = Callable[[str], int]


@lru_cache(maxsize=1)
def tokenizer() -> Count | None:
    """A counting function, or None without the `tokens` extra. Takes 140 MB and about a second, once."""
    try:
        from bpe_openai import get_encoding
    except ImportError:
        return None
    encoding = get_encoding("o200k_base")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def static_text(kind: str, prompt: Prompt, taxonomy: Taxonomy) -> str:
    """All that a model reads before the ticket's message."""
    static = prompt.static
    if kind == "decisions":
        static += "".join(f"\n{label.name}: {label.description}" for label in taxonomy.labels)
    return static


def count_static(kind: str, prompt: Prompt, taxonomy: Taxonomy) -> int | None:
    """Tokens of a path's prompt without the ticket; None when nothing can count them."""
    count = tokenizer()
    if count is None:
        return None
    overhead = _CHAT_OVERHEAD_TOKENS if kind == "chat" else 0
    # A tag shares a token with the ticket's last full stop: counted as it mostly stands.
    framed = count(f"{prompt.before}{_SENTENCE}{prompt.after}") - count(_SENTENCE)
    return count(static_text(kind, prompt, taxonomy)) + framed + overhead
