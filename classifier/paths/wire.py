"""What both backend kinds share on the wire: strict about numbers, blind to everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from classifier.errors import AttemptFailed, ConfigError
from classifier.ports import RawReply

# A count that no real answer exceeds: a server that sends more, or less than 0, is broken.
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
T = TypeVar("T")


class InputDetails(Struct):
    """How much of the input was read from or written to the vendor's prompt cache."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None


def refuse_keys(extra_body: Mapping[str, Any], *keys: str) -> None:
    """Raises ConfigError for keys of `extra_body` that would lose the ticket or the answer."""
    for key in keys:
        if key in extra_body:
            raise ConfigError(f"extra_body: {key!r} is the service's own to set; leave it out")


def json_string(text: str) -> bytes:
    """Any text as JSON. Half of a surrogate pair has no UTF-8 form and becomes U+FFFD."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return msgspec.json.encode(whole)


def decode(decoder: msgspec.json.Decoder[T], raw: RawReply) -> T:
    """Reads a 200 answer. Raises AttemptFailed("garbage") for anything else."""
    try:
        return decoder.decode(raw.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise garbage(raw) from error


def garbage(raw: RawReply) -> AttemptFailed:
    return AttemptFailed("garbage", may_be_charged=True, simulated=raw.simulated)
