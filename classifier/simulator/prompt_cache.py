"""The vendor's prompt cache, simulated: static prompts from 1,024 tokens, in steps of 128."""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Struct

from classifier.tokens import CACHE_THRESHOLD_TOKENS

STEP_TOKENS = 128
LIFETIME_S = 300.0
_MOST_PREFIXES = 10_000


class Hit(Struct, frozen=True):
    """Tokens of one request that were read from the cache, or written to it."""

    read: int = 0
    written: int = 0


MISS = Hit()


class PromptCache:
    """Remembers prefixes for five minutes after their last use."""

    def __init__(self) -> None:
        self._seen_s: dict[Hashable, float] = {}

    def look(self, prefix: Hashable, tokens: int, now_s: float) -> Hit:
        """What a request with this prefix reads or writes; later ones find it there."""
        if tokens < CACHE_THRESHOLD_TOKENS:
            return MISS
        last_s = self._seen_s.pop(prefix, None)
        self._seen_s[prefix] = now_s  # popped and put back: the dict stays ordered by last use
        if len(self._seen_s) > _MOST_PREFIXES:
            del self._seen_s[next(iter(self._seen_s))]
        whole = tokens - tokens % STEP_TOKENS
        fresh = last_s is not None and now_s - last_s <= LIFETIME_S
        return Hit(read=whole) if fresh else Hit(written=whole)
