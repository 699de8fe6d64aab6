"""Zendesk's API over the fake's tickets: locked updates, tags, jobs, the incremental export."""

from __future__ import annotations

import re
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

_MOST_IDS = 100
TOKEN = "zendesk-access-token"
CLIENT_SECRET = "zendesk-client-secret"


class ZendeskDialect:
    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}

    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {
            "retry-after": f"{wait_s:g}", "ratelimit-limit": "100",
            "ratelimit-remaining": "0", "ratelimit-reset": f"{wait_s:g}",
        }  # fmt: skip

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") in (None, f"Bearer {TOKEN}")

    def answer(self, call: ApiCall, store: Store) -> Reply:
        if "authorization" not in call.headers and call.path != "/oauth/tokens":
            return Reply(401)
        return routed(self.routes, call, store)

    @property
    def routes(self) -> list[Route]:
        return [
            ("POST", "/oauth/tokens", _token),
            ("GET", "/api/v2/tickets/show_many.json", _show_many),
            ("PUT", "/api/v2/tickets/update_many.json", self._update_many),
            ("GET", r"/api/v2/job_statuses/(\w+)", self._job),
            ("GET", "/api/v2/incremental/tickets/cursor.json", _exported),
            ("GET", r"/api/v2/tickets/(\d+)", about_ticket(_show)),
            ("PUT", r"/api/v2/tickets/(\d+)", about_ticket(_put)),
            ("GET", r"/api/v2/tickets/(\d+)/comments", about_ticket(_comments)),
        ]

    def _job(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        return Reply(200, {"job_status": self.jobs[match[1]]})

    def _update_many(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        ids = call.query["ids"].split(",")
        tags = call.body["ticket"]["additional_tags"]
        if len(ids) > _MOST_IDS:
            return Reply(400, {"error": "TooManyValues"})
        results: list[dict[str, Any]] = []
        for id in ids:
            if store.find(id) is None:
                results.append({"id": int(id), "success": False, "error": "TicketNotFound"})
                continue
            store.change(id, lambda ticket: _add(ticket, tags), "api")
            results.append({"id": int(id), "success": True, "status": "Updated"})
        id = f"job{len(self.jobs)}"
        self.jobs[id] = {"id": id, "status": "completed", "results": results}
        return Reply(200, {"job_status": {"id": id, "status": "queued", "results": None}})


def _token(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    good = call.body["client_secret"] == CLIENT_SECRET
    return Reply(200, {"access_token": TOKEN, "expires_in": 1800}) if good else Reply(401)


def _show_many(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    found = [store.read(id) for id in call.query["ids"].split(",")]
    return Reply(200, {"tickets": [_shown(ticket) for ticket in found if ticket]})


def _show(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, {"ticket": _shown(shown)}, ticket_read=shown.id)


def _comments(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, {"comments": [{"body": note} for note in reversed(shown.notes)]})


def _put(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    change = call.body["ticket"]
    stamp = store.tickets[shown.id].stamp
    if change.get("safe_update") and change["updated_stamp"] != stamp:
        return Reply(409, {"error": "UpdateConflict"})
    ticket = store.change(shown.id, lambda ticket: _update(ticket, change), "api")
    return Reply(200, {"ticket": _shown(ticket), "audit": {}})


def _update(ticket: FakeTicket, change: dict[str, Any]) -> None:
    if "tags" in change:
        ticket.tags = list(change["tags"])
    for each in change.get("custom_fields", ()):
        ticket.fields[str(each["id"])] = each["value"]
    ticket.priority = change.get("priority", ticket.priority)
    if "group_id" in change:
        ticket.group = str(change["group_id"])
    if "comment" in change:
        assert change["comment"]["public"] is False, "a customer would see this note"
        ticket.notes.append(change["comment"]["body"])


def _add(ticket: FakeTicket, tags: list[str]) -> None:
    ticket.tags += [tag for tag in tags if tag not in ticket.tags]


def _shown(ticket: FakeTicket) -> dict[str, Any]:
    fields = [{"id": int(id), "value": value} for id, value in ticket.fields.items()]
    return {
        "id": int(ticket.id), "subject": ticket.subject, "description": ticket.body,
        "tags": ticket.tags, "custom_fields": fields, "priority": ticket.priority,
        "group_id": int(ticket.group) if ticket.group else None, "status": "new",
        "via": {"channel": "web"}, "created_at": "2026-11-22T10:00:00Z",
        "updated_at": ticket.stamp,
    }  # fmt: skip


def _exported(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
    """Two tickets a page; the cursor is the place in the list."""
    start = int(call.query.get("cursor", "0"))
    every = [ticket for ticket in store.tickets.values() if not ticket.gone]
    page = every[start : start + 2]
    end = start + len(page)
    return Reply(
        200,
        {
            "tickets": [_shown(ticket) for ticket in page],
            "after_cursor": str(end),
            "end_of_stream": end >= len(every),
        },
    )
