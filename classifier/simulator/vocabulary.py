"""Tokens of o200k_base, counted and taken apart: what the simulated usage and logprobs rest on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from classifier.errors import ConfigError
from classifier.simulator.extras import NEEDED, require
from classifier.tokens import tokenizer

MAX_CHARS = 900_000  # bpe-openai 0.1.4 refuses texts from 1,000,000 characters on


class Vocabulary:
    """Counts tokens; takes short texts apart into the bytes of their tokens."""

    def __init__(self) -> None:
        """Loads the tables (0.1 to 1.4 s). Raises ConfigError without the `simulator` extra."""
        require(*NEEDED)
        count = tokenizer()
        if count is None:
            raise ConfigError("bpe-openai is there but cannot be loaded: reinstall it")
        self.count: Callable[[str], int] = count
        self.pieces = lru_cache(maxsize=4_096)(_splitter())  # asked for labels, over and over


def _splitter() -> Callable[[str], tuple[bytes, ...]]:
    from bpe_openai import get_encoding  # noqa: PLC0415 (an optional library)

    encoding = get_encoding("o200k_base")

    def split(text: str) -> tuple[bytes, ...]:
        return tuple(encoding.decode_tokens_bytes(encoding.encode(text, disallowed_special=())))

    return split
