"""Chatwoot's API over the fake's tickets: labels and attributes are replaced whole, no lock."""

from __future__ import annotations

import re
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

KEY = "chatwoot-access-token"
_PAGE = 2


class ChatwootDialect:
    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"retry-after": f"{wait_s:g}"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("api_access_token") == KEY

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(ROUTES, call, store)


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, _shown(shown), ticket_read=shown.id)


def _show_messages(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, {"payload": _messages(shown)})


def _change(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    rest = call.path.rpartition("/")[2]
    store.change(shown.id, lambda ticket: _post(ticket, rest, call.body), "api")
    return Reply(200, {"payload": []})


def _post(ticket: FakeTicket, rest: str, body: dict[str, Any]) -> None:
    match rest:
        case "labels":
            ticket.tags = list(body["labels"])
        case "custom_attributes":
            ticket.fields = dict(body["custom_attributes"])
        case "toggle_priority":
            ticket.priority = body["priority"]
        case "assignments":
            ticket.group = str(body["team_id"])
        case "messages":
            assert body["private"] is True, "a customer would see this note"
            ticket.notes.append(body["content"])
        case _:
            raise AssertionError(f"no such call: {rest}")


def _messages(ticket: FakeTicket) -> list[dict[str, Any]]:
    first = {"id": 1, "content": ticket.body, "message_type": 0, "private": False}
    notes = [
        {"id": 2 + place, "content": note, "message_type": 1, "private": True}
        for place, note in enumerate(ticket.notes)
    ]
    return [first, *notes]


def _shown(ticket: FakeTicket) -> dict[str, Any]:
    return {
        "id": int(ticket.id), "account_id": 1, "status": "open", "labels": ticket.tags,
        "custom_attributes": ticket.fields, "priority": ticket.priority,
        "additional_attributes": {"mail_subject": ticket.subject},
        "meta": {"team": {"id": int(ticket.group)} if ticket.group else None},
        "created_at": ticket.created_s, "updated_at": ticket.created_s + ticket.version,
    }  # fmt: skip


def _listed(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    every = sorted(
        (ticket for ticket in store.tickets.values() if not ticket.gone),
        key=lambda ticket: -ticket.created_s,
    )
    start = (int(call.query["page"]) - 1) * _PAGE
    page = every[start : start + _PAGE]
    return Reply(200, {"data": {"payload": [_shown(ticket) for ticket in page]}})


_BASE = "/api/v1/accounts/1/conversations"
ROUTES: list[Route] = [
    ("GET", _BASE, _listed),
    ("GET", _BASE + r"/(\d+)", about_ticket(_show)),
    ("GET", _BASE + r"/(\d+)/messages", about_ticket(_show_messages)),
    ("POST", _BASE + r"/(\d+)/\w+", about_ticket(_change)),
]
