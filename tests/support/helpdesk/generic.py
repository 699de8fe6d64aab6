"""A receiver of the generic write-back: checks the signature, applies each `webhook-id` once."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, routed
from tests.support.helpdesk.store import FakeTicket, Store

SECRET = "whsec_" + b64encode(b"tc_test_secret_24_bytes!").decode()


class GenericDialect:
    """Refuses with 409 what an agent has labelled; keeps what it has seen."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"retry-after": f"{wait_s:g}"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("webhook-signature", "").startswith("v1,")

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(self.routes, call, store)

    @property
    def routes(self) -> list[Route]:
        return [("POST", "/", self._classified)]

    def _classified(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        id, at = call.headers["webhook-id"], call.headers["webhook-timestamp"]
        digest = hmac.digest(
            b64decode(SECRET.removeprefix("whsec_")), f"{id}.{at}.".encode() + call.raw, "sha256"
        )
        if call.headers["webhook-signature"] != "v1," + b64encode(digest).decode():
            return Reply(401)
        data = call.body["data"]
        if store.find(data["id"]) is None:
            return Reply(404)
        if any(tag.startswith("tc_") for tag in store.tickets[data["id"]].tags):
            return Reply(200 if id in self.seen else 409)
        self.seen.add(id)
        store.change(data["id"], lambda ticket: _apply(ticket, data), "api")
        return Reply(204)


def _apply(ticket: FakeTicket, data: dict[str, Any]) -> None:
    ticket.tags += data["tags"]
    ticket.notes += [data["note"]] if data.get("note") else []
