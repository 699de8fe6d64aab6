"""Help Scout's API over the fake's tickets: tags and fields are replaced whole, no lock."""

from __future__ import annotations

import re
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

TOKEN = "helpscout-access-token"
CLIENT_SECRET = "helpscout-client-secret"


class HelpScoutDialect:
    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"x-ratelimit-retry-after": f"{wait_s:g}", "x-ratelimit-remaining-minute": "0"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") in (None, f"Bearer {TOKEN}")

    def answer(self, call: ApiCall, store: Store) -> Reply:
        if "authorization" not in call.headers and "oauth2" not in call.path:
            return Reply(401)
        return routed(ROUTES, call, store)


def _token(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    good = call.body["client_secret"] == CLIENT_SECRET
    return Reply(200, {"access_token": TOKEN, "expires_in": 172_800}) if good else Reply(401)


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    fields = [{"id": int(id), "name": id, "value": value} for id, value in shown.fields.items()]
    body: dict[str, Any] = {
        "id": int(shown.id), "type": "email", "subject": shown.subject, "preview": shown.body,
        "tags": [{"id": 1, "tag": tag} for tag in shown.tags], "customFields": fields,
        "createdAt": "2026-11-22T10:00:00Z", "userUpdatedAt": shown.stamp,
        **({"assignee": {"id": int(shown.group), "type": "team"}} if shown.group else {}),
    }  # fmt: skip
    return Reply(200, body, ticket_read=shown.id)


def _threads(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    threads = [{"type": "note", "body": note} for note in reversed(shown.notes)]
    threads.append({"type": "customer", "body": shown.body})
    return Reply(200, {"_embedded": {"threads": threads}})


def _change(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    rest = call.path.rpartition(shown.id)[2]
    store.change(shown.id, lambda ticket: _update(ticket, rest, call.body), "api")
    return Reply(204)


def _update(ticket: FakeTicket, rest: str, body: dict[str, Any]) -> None:
    match rest:
        case "/tags":
            ticket.tags = list(body["tags"])
        case "/fields":
            ticket.fields = {str(each["id"]): each["value"] for each in body["fields"]}
        case "/notes":
            ticket.notes.append(body["text"])
        case "":
            assert (body["op"], body["path"]) == ("replace", "/assignTo")
            ticket.group = str(body["value"])


_ONE = r"/v2/conversations/(\d+)"
ROUTES: list[Route] = [
    ("POST", "/v2/oauth2/token", _token),
    ("GET", _ONE, about_ticket(_show)),
    ("GET", _ONE + "/threads", about_ticket(_threads)),
    ("PUT", _ONE + "/(?:tags|fields)", about_ticket(_change)),
    ("PATCH", _ONE, about_ticket(_change)),
    ("POST", _ONE + "/notes", about_ticket(_change)),
]
