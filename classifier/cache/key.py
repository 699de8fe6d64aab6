"""Cache keys: a keyed hash of the normalised text and of everything that can change the answer."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

from classifier.text import few_marks

SCHEMA = "1"  # of the cached value; a new shape is a new key


def normalised(text: str) -> str:
    """Unicode NFKC and single spaces. Digits, negations, case and punctuation stay: they matter."""
    # NFKC changes nothing in ASCII, and takes quadratic time on long runs of combining marks: 50 s
    # for one hostile ticket (2026-11). Such text is taken as it is; no language writes it.
    if not text.isascii() and few_marks(text) == text:
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
