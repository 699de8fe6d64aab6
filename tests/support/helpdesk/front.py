"""Front's API over the fake's tickets: tags are added by id, fields erased when left out."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.support.helpdesk.server import ApiCall, Reply, Route, about_ticket, routed
from tests.support.helpdesk.store import FakeTicket, Store

KEY = "front-api-token"
_PAGE = 2


class FrontDialect:
    """Keeps the company's tags; a ticket's tags in the store are names, its group an inbox."""

    def __init__(self) -> None:
        self.tags = {"tc_billing": "tag_1", "vip": "tag_2", "tc_shipping": "tag_3"}

    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        return {"x-ratelimit-reset": f"{time.time() + wait_s:.3f}", "x-ratelimit-remaining": "0"}

    def authorised(self, headers: dict[str, str]) -> bool:
        return headers.get("authorization") == f"Bearer {KEY}"

    def answer(self, call: ApiCall, store: Store) -> Reply:
        return routed(self.routes, call, store)

    @property
    def routes(self) -> list[Route]:
        one = r"/conversations/(\w+)"
        return [
            ("GET", "/tags", self._list_tags),
            ("POST", "/tags", self._make_tag),
            ("GET", "/conversations", self._listed),
            ("GET", one, about_ticket(self._show)),
            ("GET", one + "/inboxes", about_ticket(_inboxes)),
            ("GET", one + "/comments", about_ticket(_comments)),
            ("GET", one + "/messages", about_ticket(_messages)),
            ("PATCH", one, about_ticket(_patch)),
            ("POST", one + "/tags", about_ticket(self._tag)),
            ("DELETE", one + "/tags", about_ticket(self._tag)),
            ("POST", one + "/comments", about_ticket(_comment)),
        ]

    def _list_tags(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        """Two a page, so that the second page counts."""
        start = int(call.query.get("page_token", "0"))
        page = list(self.tags.items())[start : start + _PAGE]
        more = start + _PAGE < len(self.tags)
        body = {
            "_results": [{"id": id, "name": name} for name, id in page],
            "_pagination": _next("tags", start, more=more),
        }
        return Reply(200, body)

    def _make_tag(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        id = self.tags.setdefault(call.body["name"], f"tag_{10 + len(self.tags)}")
        return Reply(201, {"id": id, "name": call.body["name"]})

    def _tag(self, call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
        names = [name for name, id in self.tags.items() if id in call.body["tag_ids"]]

        def edit(ticket: FakeTicket) -> None:
            left = [tag for tag in ticket.tags if tag not in names]
            ticket.tags = left + (names if call.method == "POST" else [])

        store.change(shown.id, edit, "api")
        return Reply(204)

    def _shown(self, ticket: FakeTicket) -> dict[str, Any]:
        return {
            "id": ticket.id, "subject": ticket.subject, "status": "unassigned",
            "tags": [{"id": self.tags.get(tag, "tag_0"), "name": tag} for tag in ticket.tags],
            "custom_fields": ticket.fields, "created_at": float(ticket.created_s),
            "updated_at": float(ticket.created_s + ticket.version),
        }  # fmt: skip

    def _show(self, call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
        return Reply(200, self._shown(shown), ticket_read=shown.id)

    def _listed(self, call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        every = sorted(store.tickets.values(), key=lambda ticket: -ticket.created_s)
        start = int(call.query.get("page_token", "0"))
        page = every[start : start + _PAGE]
        more = start + _PAGE < len(every)
        body = {
            "_results": [self._shown(ticket) for ticket in page],
            "_pagination": _next("conversations", start, more=more),
        }
        return Reply(200, body)


def _next(path: str, start: int, *, more: bool) -> dict[str, Any]:
    """The next page's address is on another host: only its token may be used."""
    url = f"https://elsewhere.example.com/{path}?page_token={start + _PAGE}"
    return {"next": url if more else None}


def _inboxes(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, {"_results": [{"id": shown.group}] if shown.group else []})


def _comments(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    return Reply(200, {"_results": [{"body": note} for note in reversed(shown.notes)]})


def _messages(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    message = {"type": "email", "is_inbound": True, "text": shown.body}
    return Reply(200, {"_results": [{"is_inbound": False, "text": "hello"}, message]})


def _patch(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    def edit(ticket: FakeTicket) -> None:
        ticket.fields = dict(call.body.get("custom_fields", ticket.fields))
        ticket.group = call.body.get("inbox_id", ticket.group)

    store.change(shown.id, edit, "api")
    return Reply(204)


def _comment(call: ApiCall, store: Store, shown: FakeTicket) -> Reply:
    store.change(shown.id, lambda ticket: ticket.notes.append(call.body["body"]), "api")
    return Reply(201, {})
