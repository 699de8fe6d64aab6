"""HubSpot's API over the fake's tickets: properties one by one, notes as objects of their own."""

from __future__ import annotations

import re
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

KEY = "hubspot-private-app-token"
_PRIORITY, _OWNER = "hs_ticket_priority", "hubspot_owner_id"


class HubSpotDialect:
    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"retry-after": f"{wait_s:g}", "x-hubspot-ratelimit-remaining": "0"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == f"Bearer {KEY}"

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(ROUTES, call, store)


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    every: dict[str, Any] = {
        "subject": shown.subject, "content": shown.body, _PRIORITY: shown.priority,
        _OWNER: shown.group, "createdate": "2026-11-22T10:00:00Z", **shown.fields,
    }  # fmt: skip
    wanted = call.query["properties"].split(",")
    body: dict[str, Any] = {
        "id": shown.id, "properties": {name: every.get(name) for name in wanted},
        "updatedAt": shown.stamp,
    }  # fmt: skip
    if call.query.get("associations") == "notes" and shown.notes:
        ids = [{"id": f"{shown.id}-{place}"} for place in range(len(shown.notes))]
        body["associations"] = {"notes": {"results": ids}}
    return Reply(200, body, ticket_read=shown.id)


def _patch(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    properties = dict(call.body["properties"])

    def edit(ticket: FakeTicket) -> None:
        ticket.priority = properties.pop(_PRIORITY, ticket.priority)
        ticket.group = properties.pop(_OWNER, ticket.group)
        ticket.fields |= properties

    store.change(shown.id, edit, "api")
    return Reply(200, {})


def _read_notes(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    found = []
    for each in call.body["inputs"]:
        id, _, place = each["id"].partition("-")
        found.append({"properties": {"hs_note_body": store.tickets[id].notes[int(place)]}})
    return Reply(200, {"results": found})


def _note(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    (association,) = call.body["associations"]
    id, text = association["to"]["id"], call.body["properties"]["hs_note_body"]
    if store.find(id) is None:
        return Reply(404)
    store.change(id, lambda ticket: ticket.notes.append(text), "api")
    return Reply(201, {})


_ONE = r"/crm/v3/objects/tickets/(\d+)"
ROUTES: list[Route] = [
    ("GET", _ONE, about_ticket(_show)),
    ("PATCH", _ONE, about_ticket(_patch)),
    ("POST", "/crm/v3/objects/notes/batch/read", _read_notes),
    ("POST", "/crm/v3/objects/notes", _note),
]
