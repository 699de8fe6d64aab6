"""What both backend kinds read from the wire: strict about numbers, blind to everything else."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from classifier.errors import AttemptFailed
from classifier.ports import RawReply

# A count that no real answer exceeds: a server that sends more, or less than 0, is broken.
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
T = TypeVar("T")


class InputDetails(Struct):
    """How much of the input was read from or written to the vendor's prompt cache."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None


def decode(decoder: msgspec.json.Decoder[T], raw: RawReply) -> T:
    """Reads a 200 answer. Raises AttemptFailed("garbage") for anything else."""
    try:
        return decoder.decode(raw.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AttemptFailed("garbage", may_be_charged=True, simulated=raw.simulated) from error
