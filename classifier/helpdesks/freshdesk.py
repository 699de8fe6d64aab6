"""Freshdesk: automation rules in, proven by a shared secret; one update and one note out.

Freshdesk signs nothing. The body is the rule's own (freshdesk.toml) or its "simple" form, whose
keys come from one secondary source. Bodies of calls are common knowledge; nobody could try them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from classifier.errors import NotGenuine
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import basic
from classifier.helpdesks.port import Delivery, Event, Held, HelpdeskFailed, Manners, Parsed
from classifier.helpdesks.prose import text_of
from classifier.helpdesks.rates import RateHeaders


class Freshdesk(Desk):
    vendor = "freshdesk"
    # Two sources agree that a failed call is made again, not on when.
    manners = Manners(resends=True)
    rate = RateHeaders(limit="x-ratelimit-total", remaining="x-ratelimit-remaining")
    logins: ClassVar = {"basic": lambda _, key: basic(key, "X")}
    named_logins = frozenset()
    usual_priorities = ("1",)
    writes_per_minute = 80.0
    signs = False

    def _check_signature(self, delivery: Delivery) -> None:
        raise NotGenuine("missing")  # the config never lets it come to this

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        return {}

    def parse(self, delivery: Delivery) -> Parsed:
        whole = read(delivery.body)
        body = whole.at("freshdesk_webhook") if whole.at("freshdesk_webhook").value else whole
        id, topic = body.ticket_id("ticket_id"), body.text("event") or "created"
        stamp = body.text("updated_at")
        if not id:
            return (self._ignored(f"{topic}:{stamp}", "unknown"),)
        if topic == "updated":
            return (self._changed(body, id, stamp),)
        if topic != "created":
            return (self._ignored(f"{topic}:{id}", "unknown", id),)
        return (self._arrived(body, f"created:{id}", id),)

    def _arrived(self, body: Body, key: str, id: str) -> Event:
        text = text_of(body.text("ticket_description"))
        found = ticket(
            id=id, subject=body.text("ticket_subject"), body=text,
            channel=body.some("ticket_source"), tags=_listed(body.text("ticket_tags")),
        )  # fmt: skip
        return Event(
            key=key, kind="arrived", account=self.name, ticket_id=id,
            ticket=found if text else None, stamp=body.text("updated_at"),
            happened_at_s=body.time_s("updated_at"),
        )  # fmt: skip

    def _changed(self, body: Body, id: str, stamp: str) -> Event:
        actor = body.some("actor_id")
        return Event(
            key=f"updated:{id}:{stamp}", kind="changed", account=self.name, ticket_id=id,
            held=Held(tags=_listed(body.text("ticket_tags")), field=body.some("field")),
            actor=actor, own=self._own(actor), stamp=stamp, happened_at_s=body.time_s("updated_at"),
        )  # fmt: skip

    async def _read(self, ticket_id: str) -> Snapshot:
        found = (await self.api.call("GET", f"/api/v2/tickets/{ticket_id}")).body
        if found.truth("deleted") or found.truth("spam"):
            raise HelpdeskFailed("gone")
        field = self.rules.actions.field
        held = Held(
            tags=found.words("tags"),
            field=found.some("custom_fields", field.id) if field else None,
            priority=found.some("priority"),
            group=found.some("group_id"),
        )
        return Snapshot(held, found, found.text("updated_at"))

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        path = f"/api/v2/tickets/{ticket_id}/conversations"
        found = await self.api.call("GET", path, query={"per_page": 100})
        return any(mark in each.text("body") for each in found.body.items())

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        change: dict[str, Any] = {}
        if todo.add or todo.drop:
            change["tags"] = todo.tags(seen.held.tags)  # the whole list: it replaces
        field = self.rules.actions.field
        if todo.field is not None and field is not None:
            change["custom_fields"] = {field.id: todo.field}
        if todo.priority is not None:
            change["priority"] = int(todo.priority)
        if todo.group is not None:
            change["group_id"] = int(todo.group)
        path = f"/api/v2/tickets/{ticket_id}"
        if change:
            return todo.parts - {"note"}, await self.api.call("PUT", path, change)
        note = {"body": todo.note, "private": True}
        return frozenset({"note"}), await self.api.call("POST", f"{path}/notes", note)

    async def fetch(self, ticket_id: str) -> Event:
        found = (await self.api.call("GET", f"/api/v2/tickets/{ticket_id}")).body
        text = found.text("description_text") or text_of(found.text("description"))
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=ticket(
                id=ticket_id, subject=found.text("subject"), body=text,
                channel=_SOURCES.get(found.text("source")), tags=found.words("tags"),
            ),
            stamp=found.text("updated_at"), happened_at_s=found.time_s("created_at"),
        )  # fmt: skip


_SOURCES = {"1": "email", "2": "portal", "3": "phone", "7": "chat", "9": "widget"}


def _listed(tags: str) -> tuple[str, ...]:
    """A placeholder's `one, two`."""
    return tuple(filter(None, (tag.strip() for tag in tags.split(","))))
