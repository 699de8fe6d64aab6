"""A generic helpdesk that sends: a ticket as an event, signed as Standard Webhooks says."""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256

ACCOUNT = "load"
ROUTE = f"/webhooks/{ACCOUNT}"


def signed(secret: str, body: bytes, at_s: float | None = None) -> dict[str, str]:
    """Headers for one delivery. `secret`: `whsec_` and base64.

    Its id is the body's hash: a ticket of another run is another event.
    """
    id = f"msg_{sha256(body).hexdigest()[:24]}"
    at = str(int(time.time() if at_s is None else at_s))
    key = b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{at}.".encode() + body, "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


def event(ticket: Mapping[str, object]) -> dict[str, object]:
    """The documented body of a new ticket."""
    return {"type": "ticket.created", "data": ticket}
