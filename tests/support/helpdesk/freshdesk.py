"""Freshdesk's API over the fake's tickets: an update replaces the tags, no lock."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

KEY = "freshdesk-api-key"
_LOGIN = "Basic " + b64encode(f"{KEY}:X".encode()).decode()


class FreshdeskDialect:
    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {
            "retry-after": f"{wait_s:g}", "x-ratelimit-total": "80", "x-ratelimit-remaining": "0"
        }  # fmt: skip

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == _LOGIN

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(ROUTES, call, store)


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, _shown(shown), ticket_read=shown.id)


def _conversations(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, [{"body": note, "private": True} for note in shown.notes])


def _put(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    ticket = store.change(shown.id, lambda ticket: _update(ticket, call.body), "api")
    return Reply(200, _shown(ticket))


def _note(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    assert call.body["private"] is True, "a customer would see this note"
    store.change(shown.id, lambda ticket: ticket.notes.append(call.body["body"]), "api")
    return Reply(201, {"id": 1})


def _update(ticket: FakeTicket, change: dict[str, Any]) -> None:
    ticket.tags = list(change.get("tags", ticket.tags))
    ticket.fields |= change.get("custom_fields", {})
    ticket.priority = str(change["priority"]) if "priority" in change else ticket.priority
    ticket.group = str(change["group_id"]) if "group_id" in change else ticket.group


def _shown(ticket: FakeTicket) -> dict[str, Any]:
    return {
        "id": int(ticket.id), "subject": ticket.subject, "description": f"<div>{ticket.body}</div>",
        "description_text": ticket.body, "tags": ticket.tags, "custom_fields": ticket.fields,
        "priority": int(ticket.priority or 1), "source": 1,
        "group_id": int(ticket.group) if ticket.group else None,
        "created_at": "2026-11-22T10:00:00Z", "updated_at": ticket.stamp,
    }  # fmt: skip


_ONE = r"/api/v2/tickets/(\d+)"
ROUTES: list[Route] = [
    ("GET", _ONE, about_ticket(_show)),
    ("GET", _ONE + "/conversations", about_ticket(_conversations)),
    ("PUT", _ONE, about_ticket(_put)),
    ("POST", _ONE + "/notes", about_ticket(_note)),
]
