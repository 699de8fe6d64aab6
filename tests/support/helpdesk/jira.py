"""Jira's API over the fake's tickets: labels are added and removed one by one, no lock."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

USER, KEY = "bot@example.org", "jira-api-token"
_LOGIN = "Basic " + b64encode(f"{USER}:{KEY}".encode()).decode()


class JiraDialect:
    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"retry-after": f"{wait_s:g}", "x-ratelimit-remaining": "0"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == _LOGIN

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(ROUTES, call, store)


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    fields: dict[str, Any] = {
        "summary": shown.subject, "labels": shown.tags,
        "description": {"type": "doc", "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": shown.body}]}
        ]},
        "priority": {"id": "3", "name": shown.priority or "Medium"},
        "created": "2026-11-22T10:00:00.000+0000", "updated": shown.stamp,
        **{name: {"value": value} for name, value in shown.fields.items()},
    }  # fmt: skip
    wanted = call.query.get("fields", ",".join(fields)).split(",")
    found = {name: value for name, value in fields.items() if name in wanted}
    return Reply(200, {"key": shown.id, "fields": found}, ticket_read=shown.id)


def _put(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    store.change(shown.id, lambda ticket: _update(ticket, call.body), "api")
    return Reply(204)


def _update(ticket: FakeTicket, change: dict[str, Any]) -> None:
    for each in change.get("update", {}).get("labels", ()):
        label = each.get("add") or each["remove"]
        ticket.tags = [tag for tag in ticket.tags if tag != label]
        ticket.tags += [label] if "add" in each else []
    for name, value in change.get("fields", {}).items():
        if name == "priority":
            ticket.priority = value["name"]
        else:
            ticket.fields[name] = value["value"]


def _comments(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, {"values": [{"body": note, "public": False} for note in shown.notes]})


def _comment(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    assert call.body["public"] is False, "a customer would see this note"
    store.change(shown.id, lambda ticket: ticket.notes.append(call.body["body"]), "api")
    return Reply(201, {})


_ONE = r"/rest/api/3/issue/([\w-]+)"
_REQUEST = r"/rest/servicedeskapi/request/([\w-]+)/comment"
ROUTES: list[Route] = [
    ("GET", _ONE, about_ticket(_show)),
    ("PUT", _ONE, about_ticket(_put)),
    ("GET", _REQUEST, about_ticket(_comments)),
    ("POST", _REQUEST, about_ticket(_comment)),
]
