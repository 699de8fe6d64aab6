"""Intercom's API over the fake's tickets: tags by id, one call each; conversations only."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

KEY = "intercom-access-token"
ADMIN = "814"


class IntercomDialect:
    """Keeps the workspace's tags; a ticket's tags in the store are names."""

    def __init__(self) -> None:
        self.tags = {"tc_billing": "91", "vip": "92"}

    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"x-ratelimit-reset": f"{time.time() + wait_s:.0f}", "x-ratelimit-remaining": "0"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == f"Bearer {KEY}"

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(self.routes, call, store)

    @property
    def routes(self) -> list[Route]:
        one = r"/conversations/(\d+)"
        return [
            ("GET", "/tags", self._list_tags),
            ("POST", "/tags", self._make_tag),
            ("GET", one, about_ticket(self._show)),
            ("PUT", one, about_ticket(_put)),
            ("POST", one + "/tags", about_ticket(self._tag)),
            ("DELETE", one + r"/tags/(\d+)", self._untag),
            ("POST", one + "/parts", about_ticket(_assign)),
            ("POST", one + "/reply", about_ticket(_note)),
        ]

    def _list_tags(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        return Reply(200, {"data": [{"id": id, "name": name} for name, id in self.tags.items()]})

    def _make_tag(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        id = self.tags.setdefault(call.body["name"], str(100 + len(self.tags)))
        return Reply(200, {"id": id, "name": call.body["name"]})

    def _name(self, id: str) -> str:
        return next(name for name, known in self.tags.items() if known == id)

    def _tag(self, call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
        assert call.body["admin_id"] == ADMIN
        name = self._name(call.body["id"])

        def add(ticket: FakeTicket) -> None:
            if name not in ticket.tags:
                ticket.tags.append(name)

        store.change(shown.id, add, "api")
        return Reply(200, {"id": call.body["id"], "name": name})

    def _untag(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        name = self._name(match[2])

        def remove(ticket: FakeTicket) -> None:
            ticket.tags = [tag for tag in ticket.tags if tag != name]

        store.change(match[1], remove, "api")
        return Reply(200, {})

    def _show(self, call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
        notes = [{"part_type": "note", "body": f"<p>{note}</p>"} for note in shown.notes]
        tags = [{"id": self.tags.get(tag, "1"), "name": tag} for tag in shown.tags]
        body: dict[str, Any] = {
            "type": "conversation", "id": shown.id, "created_at": shown.created_s,
            "updated_at": shown.created_s + shown.version,
            "source": {"type": "email", "subject": shown.subject, "body": f"<p>{shown.body}</p>"},
            "tags": {"type": "tag.list", "tags": tags}, "custom_attributes": shown.fields,
            "team_assignee_id": int(shown.group or 0), "priority": shown.priority or "not_priority",
            "conversation_parts": {"conversation_parts": notes},
        }  # fmt: skip
        return Reply(200, body, ticket_read=shown.id)


def _put(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    values = call.body["custom_attributes"]
    store.change(shown.id, lambda ticket: ticket.fields.update(values), "api")
    return Reply(200, {})


def _assign(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    assert call.body["type"] == "team"

    def assign(ticket: FakeTicket) -> None:
        ticket.group = call.body["assignee_id"]

    store.change(shown.id, assign, "api")
    return Reply(200, {})


def _note(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    assert call.body["message_type"] == "note", "a customer would see this"
    store.change(shown.id, lambda ticket: ticket.notes.append(call.body["body"]), "api")
    return Reply(200, {})
