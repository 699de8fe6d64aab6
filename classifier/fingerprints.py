"""Short, stable names for content: what changed gets another name."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

_encode = msgspec.json.Encoder(order="deterministic").encode


def fingerprint(*parts: object) -> str:
    """16 hex digits over anything msgspec can encode: equal content, equal name."""
    return blake2b(_encode(parts), digest_size=8).hexdigest()
