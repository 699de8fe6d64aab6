"""Zammad's API over the fake's tickets: single tags, one update for the rest, no lock."""

from __future__ import annotations

import re
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

KEY = "zammad-access-token"


class ZammadDialect:
    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"retry-after": f"{wait_s:g}"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == f"Token token={KEY}"

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(ROUTES, call, store)


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    assert call.query["expand"] == "true"
    body: dict[str, Any] = {
        "id": int(shown.id), "title": shown.subject, "group": shown.group,
        "priority": shown.priority or "2 normal", "created_at": "2026-11-22T10:00:00.120Z",
        "updated_at": shown.stamp, **shown.fields,
    }  # fmt: skip
    return Reply(200, body, ticket_read=shown.id)


def _tags(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    shown = store.read(call.query["o_id"])
    return Reply(200, {"tags": shown.tags}) if shown else Reply(404)


def _tag(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    id, item = str(call.body["o_id"]), call.body["item"]
    if store.find(id) is None:
        return Reply(404)

    def edit(ticket: FakeTicket) -> None:
        left = [tag for tag in ticket.tags if tag != item]
        ticket.tags = left + ([item] if match[1] == "add" else [])

    store.change(id, edit, "api")
    return Reply(201, {})


def _articles(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    first = {
        "sender": "Customer",
        "type": "email",
        "content_type": "text/plain",
        "body": shown.body,
    }
    notes = [{"sender": "Agent", "internal": True, "body": note} for note in shown.notes]
    return Reply(200, [first, *notes])


def _put(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    change = dict(call.body)
    note = change.pop("article", None)
    assert note is None or note["internal"] is True, "a customer would see this note"

    def edit(ticket: FakeTicket) -> None:
        ticket.priority = change.pop("priority", ticket.priority)
        ticket.group = change.pop("group", ticket.group)
        ticket.fields |= change
        ticket.notes += [note["body"]] if note else []

    store.change(shown.id, edit, "api")
    return Reply(200, {})


_ONE = r"/api/v1/tickets/(\d+)"
ROUTES: list[Route] = [
    ("GET", _ONE, about_ticket(_show)),
    ("PUT", _ONE, about_ticket(_put)),
    ("GET", "/api/v1/tags", _tags),
    ("POST", "/api/v1/tags/(add)", _tag),
    ("DELETE", "/api/v1/tags/(remove)", _tag),
    ("GET", r"/api/v1/ticket_articles/by_ticket/(\d+)", about_ticket(_articles)),
]
