"""Proofs of a delivery: HMAC schemes, signed times, shared secrets. Pure, constant time, no I/O.

Signatures are compared as they are written, not decoded: base64 has several spellings of the
same bytes, and only one of them is what the vendor sends.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from classifier.errors import NotGenuine

Secrets = tuple[bytes, ...]
_DIGITS = re.compile(r"[0-9]{1,16}")
_LONGEST_TIME = 40  # characters
_FORMS = {
    ("sha1", "hex"): re.compile(r"[0-9a-f]{40}"),
    ("sha1", "base64"): re.compile(r"[A-Za-z0-9+/]{27}="),
    ("sha256", "hex"): re.compile(r"[0-9a-f]{64}"),
    ("sha256", "base64"): re.compile(r"[A-Za-z0-9+/]{43}="),
}


class Scheme(Struct, frozen=True):
    """An HMAC and how it is written into its header."""

    algorithm: Literal["sha1", "sha256"]
    encoding: Literal["hex", "base64"]
    prefix: str = ""

    def sign(self, secret: bytes, message: bytes) -> str:
        digest = hmac.digest(secret, message, self.algorithm)
        return self.prefix + (
            digest.hex() if self.encoding == "hex" else b64encode(digest).decode()
        )

    def could_be(self, sent: str) -> bool:
        """Whether this has the form of a signature: prefix, length and alphabet."""
        form = _FORMS[self.algorithm, self.encoding]
        return sent.startswith(self.prefix) and bool(form.fullmatch(sent[len(self.prefix) :]))


def check_hmac(scheme: Scheme, sent: str | None, message: bytes, secrets: Secrets) -> None:
    """Returns when `sent` is the signature of `message` by any secret, else raises NotGenuine."""
    if not sent:
        raise NotGenuine("missing")
    if not scheme.could_be(sent):
        raise NotGenuine("malformed")
    check_any(sent.encode(), (scheme.sign(secret, message).encode() for secret in secrets))


def check_any(sent: bytes, valid: Iterable[bytes]) -> None:
    """Raises NotGenuine when `sent` is none of them."""
    if not is_any(sent, valid):
        raise NotGenuine("mismatch")


def is_any(sent: bytes, valid: Iterable[bytes]) -> bool:
    """Compares with every one, so that the time does not tell which one was near."""
    equal = [hmac.compare_digest(sent, each) for each in valid]
    return any(equal)


def seconds(value: str) -> float:
    """Unix seconds."""
    return float(_digits(value))


def milliseconds(value: str) -> float:
    """Unix milliseconds."""
    return _digits(value) / 1_000


def iso(value: str) -> float:
    """ISO 8601 with a zone."""
    try:
        moment = datetime.fromisoformat(value[:_LONGEST_TIME])
        if moment.tzinfo is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise NotGenuine("malformed")


def check_time(
    sent: str | None, read: Callable[[str], float], now_s: float, window_s: float
) -> str:
    """The signed time as it was sent. Raises NotGenuine when it is missing, unreadable or not now."""
    if not sent:
        raise NotGenuine("missing")
    if abs(read(sent) - now_s) > window_s:
        raise NotGenuine("stale")
    return sent


def _digits(value: str) -> int:
    if not _DIGITS.fullmatch(value):
        raise NotGenuine("malformed")
    return int(value)


def raw(value: str) -> bytes:
    """A header's value as the bytes that were sent: headers are read as Latin-1."""
    return value.encode("latin-1", "replace")


def check_header(headers: Mapping[str, str], name: str, secrets: Secrets) -> None:
    """A shared secret in a header of its own, for vendors that sign nothing."""
    sent = headers.get(name.lower())
    if not sent:
        raise NotGenuine("missing")
    # Digests have one length: the comparison's time does not tell the secret's.
    check_any(sha256(raw(sent)).digest(), (sha256(secret).digest() for secret in secrets))


def check_basic(headers: Mapping[str, str], user: str, secrets: Secrets) -> None:
    """HTTP basic authentication with a secret as the password (RFC 7617)."""
    sent = headers.get("authorization")
    if not sent:
        raise NotGenuine("missing")
    scheme, _, credentials = sent.partition(" ")
    if scheme.lower() != "basic":
        raise NotGenuine("malformed")
    valid = (b64encode(user.encode() + b":" + secret) for secret in secrets)
    check_any(sha256(raw(credentials.strip())).digest(), (sha256(v).digest() for v in valid))


def proof_headers(
    proof: str | None, header: str, user: str, secret: bytes
) -> dict[str, str] | None:
    """What a vendor sends for a shared secret; None where it signs."""
    if proof == "header":
        return {header.lower(): secret.decode("latin-1")}
    if proof == "basic":
        pair = b64encode(user.encode() + b":" + secret).decode()
        return {"authorization": f"Basic {pair}"}
    return None
