"""Zammad: trigger webhooks in, signed when a token is set; one update and single tags out.

Payload and headers: zammad/zammad (trigger_webhook_job) and its admin and API documentation.
"""

from __future__ import annotations

from typing import Any, ClassVar

from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import FixedLogin
from classifier.helpdesks.port import Delivery, Event, Held, HelpdeskFailed, Manners, Parsed
from classifier.helpdesks.prose import text_of
from classifier.helpdesks.rates import RateHeaders
from classifier.records import Ticket

SCHEME = signatures.Scheme("sha1", "hex", "sha1=")
SIGNATURE = "x-hub-signature"
_QUIET = {"x-zammad-suppress-notifications": "true"}


class Zammad(Desk):
    vendor = "zammad"
    # Five attempts in all, 10 to 40 s apart; 4 s to connect, 60 s in all.
    manners = Manners(resends=True, ack_deadline_s=30.0)
    rate = RateHeaders()
    logins: ClassVar = {"bearer": lambda _, key: FixedLogin("authorization", f"Token token={key}")}
    usual_priorities = ("2 normal",)
    self_hosted = True

    def _check_signature(self, delivery: Delivery) -> None:
        sent = delivery.headers.get(SIGNATURE)
        signatures.check_hmac(SCHEME, sent, delivery.body, self.account.secrets)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: SCHEME.sign(secret, body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        body = read(delivery.body)
        found, article = body.at("ticket"), body.at("article")
        id = found.ticket_id("id")
        if not id:
            return (self._ignored(f"unknown:{found.text('number')}", "unknown"),)
        actor = found.some("updated_by", "id")
        if self._own(actor):
            return (self._changed(found, id, actor),)
        if _is_customers(found, article, actor):
            return (self._arrived(found, article, id, actor),)
        return (self._changed(found, id, actor),)

    def _arrived(self, found: Body, article: Body, id: str, actor: str | None) -> Event:
        """A trigger may fire twice for a new ticket: the ticket's key lets one through."""
        return Event(
            key=f"article:{article.text('id')}" if self.entry.replies else f"ticket:{id}",
            kind="arrived", account=self.name, ticket_id=id,
            ticket=_ticket(found, article, id), actor=actor, own=self._own(actor),
            stamp=found.text("updated_at"), happened_at_s=found.time_s("updated_at"),
        )  # fmt: skip

    def _changed(self, found: Body, id: str, actor: str | None) -> Event:
        return Event(
            key=f"updated:{id}:{found.text('updated_at')}", kind="changed", account=self.name,
            ticket_id=id, held=self._held(found, found.words("tags")), actor=actor,
            own=self._own(actor), stamp=found.text("updated_at"),
            happened_at_s=found.time_s("updated_at"),
        )  # fmt: skip

    def _held(self, found: Body, tags: tuple[str, ...]) -> Held:
        """Groups and priorities by name, in a webhook's nested form or the API's expanded one."""
        field = self.rules.actions.field
        return Held(
            tags=tags,
            field=found.some(field.id) if field else None,
            priority=found.some("priority", "name") or found.some("priority"),
            group=found.some("group", "name") or found.some("group"),
        )

    # ------------------------------------------------------------------------------ out

    async def _read(self, ticket_id: str) -> Snapshot:
        tags = await self._tags(ticket_id)
        path = f"/api/v1/tickets/{ticket_id}"
        found = (await self.api.call("GET", path, query={"expand": "true"})).body
        return Snapshot(self._held(found, tags), found, found.text("updated_at"))

    async def _tags(self, ticket_id: str) -> tuple[str, ...]:
        query = {"object": "Ticket", "o_id": ticket_id}
        found = await self.api.call("GET", "/api/v1/tags", query=query)
        return found.body.words("tags")

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        articles = await self._articles(ticket_id)
        return any(mark in each.text("body") for each in articles)

    async def _articles(self, ticket_id: str) -> list[Body]:
        path = f"/api/v1/ticket_articles/by_ticket/{ticket_id}"
        return list((await self.api.call("GET", path)).body.items())

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        if todo.add or todo.drop:
            return frozenset({"tags"}), await self._tag(ticket_id, todo)
        change: dict[str, Any] = {}
        field = self.rules.actions.field
        if todo.field is not None and field is not None:
            change[field.id] = todo.field
        if todo.priority is not None:
            change["priority"] = todo.priority
        if todo.group is not None:
            change["group"] = todo.group
        if todo.note is not None:
            change["article"] = {"body": todo.note, "type": "note", "internal": True}
        path = f"/api/v1/tickets/{ticket_id}"
        return todo.parts - {"tags"}, await self.api.call("PUT", path, change, headers=_QUIET)

    async def _tag(self, ticket_id: str, todo: Missing) -> Answered:
        """One call per tag; each adds or takes off that one tag."""
        answered = None
        calls = [("POST", "add", tag) for tag in todo.add]
        calls += [("DELETE", "remove", tag) for tag in todo.drop]
        for method, verb, tag in calls:
            body = {"object": "Ticket", "o_id": int(ticket_id), "item": tag}
            answered = await self.api.call(method, f"/api/v1/tags/{verb}", body, headers=_QUIET)
        if answered is None:
            raise HelpdeskFailed("refused")
        return answered

    async def fetch(self, ticket_id: str) -> Event:
        path = f"/api/v1/tickets/{ticket_id}"
        found = (await self.api.call("GET", path, query={"expand": "true"})).body
        articles = await self._articles(ticket_id)
        said = [each for each in articles if each.text("sender") == "Customer"]
        if not said:
            raise HelpdeskFailed("gone")
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=_ticket(found, said[0], ticket_id), stamp=found.text("updated_at"),
            happened_at_s=found.time_s("created_at"),
        )  # fmt: skip


def _is_customers(found: Body, article: Body, actor: str | None) -> bool:
    """The customer wrote it, and nobody but the customer touched the ticket since."""
    customer = found.text("customer", "id")
    return (
        article.text("sender") == "Customer"
        and not article.truth("internal")
        and (not actor or not customer or actor == customer)
    )


def _ticket(found: Body, article: Body, id: str) -> Ticket:
    text = article.text("body")
    return ticket(
        id=id, subject=found.text("title"),
        body=text_of(text) if article.text("content_type") == "text/html" else text,
        channel=article.some("type"), tags=found.words("tags"),
    )  # fmt: skip
