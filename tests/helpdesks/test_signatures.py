"""Proofs of a delivery: known signatures verify, and nothing near them does."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import Doubt, NotGenuine
from classifier.helpdesks import signatures
from tests.helpdesks.vectors import (
    HOUSE,
    HOUSE_BODY,
    HOUSE_SECRET,
    HOUSE_TIME_S,
    PUBLISHED,
    SHA256_BASE64,
    Vector,
)

VECTORS = PUBLISHED + HOUSE


def doubt(check: Callable[[], object]) -> Doubt:
    """Why this was not believed."""
    with pytest.raises(NotGenuine) as caught:
        check()
    return caught.value.doubt


def test_the_house_body_is_the_documented_one() -> None:
    """A vector that failed would otherwise only tell that its body was retyped."""
    digest = hashlib.sha256(HOUSE_BODY).hexdigest()
    assert (len(HOUSE_BODY), digest) == (
        48,
        "ca2359fb8bac1648576c784d0c74a40250018bfb4b49bb3a1d644632b42ef75e",
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_every_known_signature_verifies(vector: Vector) -> None:
    """What a vendor or its client publishes is accepted, also as the second secret of a rotation."""
    for secrets in ((vector.secret,), (b"the next one", vector.secret)):
        signatures.check_hmac(vector.scheme, vector.signature, vector.message, secrets)


@given(vector=st.sampled_from(VECTORS), data=st.data())
def test_one_changed_byte_does_not_verify(vector: Vector, data: st.DataObject) -> None:
    """Neither a byte of the message, nor of the secret, nor of the signature may differ."""
    parts = [vector.message, vector.secret, vector.signature.encode()]
    part = data.draw(st.integers(0, 2))
    place = data.draw(st.integers(0, len(parts[part]) - 1))
    other = data.draw(st.integers(1, 255))
    changed = bytearray(parts[part])
    changed[place] ^= other
    parts[part] = bytes(changed)
    message, secret, signature = parts
    with pytest.raises(NotGenuine):
        signatures.check_hmac(vector.scheme, signature.decode("latin-1"), message, (secret,))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s[:0], "missing"),
        (lambda s: s[:-1], "malformed"),
        (lambda s: s + s[-1], "malformed"),
        (lambda s: " " + s, "malformed"),
        (lambda s: "md5=" + s, "malformed"),
        (lambda s: "é" * len(s), "malformed"),
    ],
)
def test_what_is_no_signature_is_called_so(
    vector: Vector, change: Callable[[str], str], expected: Doubt
) -> None:
    """The counter tells a header that is missing or cut from a wrong secret."""
    sent = change(vector.signature)
    check = lambda: signatures.check_hmac(  # noqa: E731 -- one line that is called below
        vector.scheme, sent, vector.message, (vector.secret,)
    )
    assert doubt(check) == expected


def test_another_spelling_of_the_same_base64_is_refused() -> None:
    """Base64 of 32 bytes has two bits to spare; only the vendor's spelling is a signature."""
    signature = SHA256_BASE64.sign(HOUSE_SECRET, HOUSE_BODY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = signature[:42] + alphabet[alphabet.index(signature[42]) ^ 1] + "="
    assert doubt(
        lambda: signatures.check_hmac(SHA256_BASE64, twin, HOUSE_BODY, (HOUSE_SECRET,))
    ) == ("mismatch")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("1795341600", signatures.seconds),
        ("1795341600000", signatures.milliseconds),
        ("2026-11-22T10:00:00Z", signatures.iso),
        ("2026-11-22T11:00:00+01:00", signatures.iso),
    ],
)
def test_a_signed_time_holds_for_its_window_only(sent: str, read: Callable[[str], float]) -> None:
    """A replay is refused, and so is a time from the future, in every format there is."""
    for late_s in (-300, 0, 300):
        assert signatures.check_time(sent, read, HOUSE_TIME_S + late_s, 300.0) == sent
    for late_s in (-301, 301, 10**12):
        check = lambda now=HOUSE_TIME_S + late_s: signatures.check_time(sent, read, now, 300.0)  # noqa: E731
        assert doubt(check) == "stale"


@given(
    sent=st.text(max_size=60),
    read=st.sampled_from([signatures.seconds, signatures.milliseconds, signatures.iso]),
)
def test_no_text_breaks_the_reading_of_a_time(sent: str, read: Callable[[str], float]) -> None:
    """Whatever stands in a time header is a time or a reason to refuse, never another error."""
    with suppress(NotGenuine):
        assert signatures.check_time(sent, read, 0.0, 300.0) == sent


def test_shared_secrets_in_a_header_or_as_a_password() -> None:
    """Vendors that sign nothing prove themselves with a secret that somebody typed into a rule."""
    secrets = (b"an-old-shared-secret", b"a-new-shared-secret")
    basic = b64encode(b"classifier:a-new-shared-secret").decode()
    signatures.check_header({"x-secret": "a-new-shared-secret"}, "X-Secret", secrets)
    signatures.check_basic({"authorization": f"Basic {basic}"}, "classifier", secrets)
    for headers, expected in (
        ({}, "missing"),
        ({"authorization": f"Bearer {basic}"}, "malformed"),
        ({"authorization": f"Basic {basic[:-4]}"}, "mismatch"),
        ({"authorization": "Basic é€\udcff"}, "mismatch"),
    ):
        check = lambda sent=headers: signatures.check_basic(sent, "classifier", secrets)  # noqa: E731
        assert doubt(check) == expected
    assert doubt(lambda: signatures.check_header({"x-secret": "é"}, "X-Secret", secrets)) == (
        "mismatch"
    )
