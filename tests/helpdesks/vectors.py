"""Signatures of known origin: published by vendors, and the house's own for the others.

Sources: each vendor's page or official client, recomputed; the house vectors share one secret,
one body and one moment.
"""

from __future__ import annotations

from typing import NamedTuple

from classifier.helpdesks.signatures import Scheme

HOUSE_SECRET = b"tc_test_secret"
HOUSE_BODY = '{"ticket":{"id":4711,"subject":"Réfund €20"}}'.encode()
HOUSE_TIME_S = 1_795_341_600  # 2026-11-22T10:00:00Z

SHA1_HEX = Scheme("sha1", "hex", "sha1=")
SHA1_BASE64 = Scheme("sha1", "base64")
SHA256_HEX = Scheme("sha256", "hex", "sha256=")
SHA256_BASE64 = Scheme("sha256", "base64")


class Vector(NamedTuple):
    name: str
    scheme: Scheme
    secret: bytes
    message: bytes
    signature: str


HUBSPOT_SECRET = b"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
HUBSPOT_URL = "https://www.example.com/webhook_uri"
HUBSPOT_BODY = b"{'example_field':'example_value'}"
HUBSPOT_TIME_MS = "1693657560000"

PUBLISHED = [
    Vector(
        "jira", SHA256_HEX, b"It's a Secret to Everybody", b"Hello World!",
        "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
    ),
    Vector(
        "helpscout", SHA1_BASE64, b"your secret key",
        b'{"firstName":"Jackie","lastName":"Chan","email":"jackie.chan@somewhere.com","gender":"male"}',
        "2iFmnzC8SCNVF/iNiMnSe19yceU=",
    ),
    Vector(
        "hubspot v3", SHA256_BASE64, HUBSPOT_SECRET,
        b"POST" + HUBSPOT_URL.encode() + HUBSPOT_BODY + HUBSPOT_TIME_MS.encode(),
        "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
    ),
]  # fmt: skip

HOUSE = [
    Vector(
        "zendesk", SHA256_BASE64, HOUSE_SECRET, b"2026-11-22T10:00:00Z" + HOUSE_BODY,
        "vQH/3uzA3MnW/YmRHRs21UC3dS9gZGVvQ5ol9/pHHU0=",
    ),
    Vector(
        "intercom, zammad", SHA1_HEX, HOUSE_SECRET, HOUSE_BODY,
        "sha1=83e061d886c5aba7519cff0fdad5a69f53a69839",
    ),
    Vector(
        "helpscout, front rule", SHA1_BASE64, HOUSE_SECRET, HOUSE_BODY,
        "g+Bh2IbFq6dRnP8P2tWmn1OmmDk=",
    ),
    Vector(
        "front application", SHA256_BASE64, HOUSE_SECRET, b"1795341600000:" + HOUSE_BODY,
        "RYnOMcill4FSJSCJ0ZFtFlsNiXHtznfLoAkvhD1/CpY=",
    ),
    Vector(
        "chatwoot", SHA256_HEX, HOUSE_SECRET, b"1795341600." + HOUSE_BODY,
        "sha256=14c3980271e7a1f4c55dc61c6a7734e3008994c09c0fa2c6266914a4f8c63859",
    ),
    Vector(
        "jira", SHA256_HEX, HOUSE_SECRET, HOUSE_BODY,
        "sha256=d181f6acde4cb5b6f14de87cf9c906474236a8e3dec3daf04422a92c0ca67381",
    ),
    Vector(
        "hubspot v3", SHA256_BASE64, HOUSE_SECRET,
        b"POSThttps://tc.example.com/hooks/hubspot" + HOUSE_BODY + b"1795341600000",
        "/reEgHdTAso8ljpxe6b/gfIUrEK/5dvqXxvYIIwBBPY=",
    ),
]  # fmt: skip

# An outdated page of Zendesk's: body before the time. Today's order is the other way round.
ZENDESK_OUTDATED_SECRET = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="
ZENDESK_OUTDATED_TIME = "2021-07-25T10:00:00Z"
ZENDESK_OUTDATED_BODY = b'{"say": "hello"}'
ZENDESK_OUTDATED = "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw="
ZENDESK_TEST_SECRET = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
