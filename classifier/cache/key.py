"""Cache keys: a keyed hash of the normalised text and of everything that can change the answer."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

SCHEMA = "1"  # of the cached value; a new shape is a new key


def normalised(text: str) -> str:
    """Unicode NFKC and single spaces. Digits, negations, case and punctuation stay: they matter."""
    if not text.isascii():  # NFKC costs 280 us for 2 kB and changes nothing in ASCII
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split())


def text_digest(text: str, secret: bytes) -> str:
    """32 hex digits of keyed BLAKE2b: without the secret nobody can test guesses of short tickets."""
    if len(secret) > blake2b.MAX_KEY_SIZE:  # 64 bytes; a longer key is hashed first, as in HMAC
        secret = blake2b(secret).digest()
    data = normalised(text).encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=16, key=secret).hexdigest()


def cache_key(digest: str, plan_fingerprint: str) -> str:
    """`classifier:1:<what answers>:<what is asked>`."""
    return f"classifier:{SCHEMA}:{plan_fingerprint}:{digest}"
