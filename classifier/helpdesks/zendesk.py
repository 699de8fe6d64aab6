"""Zendesk: event subscriptions and trigger webhooks in; one locked write per ticket out.

Paths and calls: developer.zendesk.com (ticket events, tickets, tags, incremental exports); the
bodies of change events and `metadata` are common knowledge that nobody could try here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from classifier.errors import NotGenuine
from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot, failed
from classifier.helpdesks.effects import Missing, Part, missing, outcome
from classifier.helpdesks.logins import FixedLogin, TokenLogin, basic, bearer
from classifier.helpdesks.port import (
    Answer,
    Change,
    Delivery,
    Event,
    Held,
    HelpdeskFailed,
    Manners,
    Order,
    Outcome,
    Page,
    Parsed,
)
from classifier.helpdesks.rates import RateHeaders
from classifier.helpdesks.zendesk_jobs import add_tags

SCHEME = signatures.Scheme("sha256", "base64")
SIGNATURE = "x-zendesk-webhook-signature"
TIME = "x-zendesk-webhook-signature-timestamp"
# Vendor's page on verifying: the secret of test sends, known to everybody. Refused as a secret.
TEST_SECRET = b"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
_TYPE = "zen:event-type:ticket."
_OVER = frozenset({"closed", "deleted", "solved"})


def _token_login(client_id: str, client_secret: str) -> TokenLogin:
    """OAuth client credentials: the only login that outlives 2027-04-30, when API tokens stop."""
    return TokenLogin("/oauth/tokens", client_id, client_secret, "tickets:read tickets:write")


def _key_login(user: str, key: str) -> FixedLogin:
    """An API token, while there are any: `E-MAIL/token` and the token."""
    return basic(user if user.endswith("/token") else f"{user}/token", key)


class Zendesk(Desk):
    vendor = "zendesk"
    # Retried: 409, and 429 or 503 with Retry-After under 60 s. A plain 500 is not.
    manners = Manners(resends=True, ack_deadline_s=12.0, busy=Answer(503, {"retry-after": "30"}))
    rate = RateHeaders(
        limit="ratelimit-limit", remaining="ratelimit-remaining", reset="ratelimit-reset"
    )
    logins: ClassVar = {
        "client_credentials": _token_login,
        "basic": _key_login,
        "bearer": lambda _, key: bearer(key),
    }
    writes_per_minute = 100.0  # per account; what agents save counts too
    locks = True
    max_batch = 100
    reconciles = True

    def _check_signature(self, delivery: Delivery) -> None:
        headers, entry = delivery.headers, self.entry
        sent = headers.get(SIGNATURE)
        at = signatures.check_time(
            headers.get(TIME), signatures.iso, delivery.received_at_s, entry.replay_window_s
        )
        message = signatures.raw(at) + delivery.body
        try:
            signatures.check_hmac(SCHEME, sent, message, self.account.secrets)
        except NotGenuine as error:
            if error.doubt == "mismatch" and SCHEME.sign(TEST_SECRET, message) == sent:
                raise NotGenuine("test_secret") from None
            raise

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
        return {TIME: at, SIGNATURE: SCHEME.sign(secret, at.encode() + body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        body = read(delivery.body)
        kind = body.text("type")
        if kind:
            return (self._subscribed(body, kind),)
        return (self._triggered(body),)

    def _subscribed(self, body: Body, kind: str) -> Event:
        """An event subscription: a fixed envelope."""
        key, id = body.text("id"), body.ticket_id("detail", "id")
        account = body.some("account_id")
        if not kind.startswith(_TYPE) or not key or not id:
            return self._ignored(key, "unknown")
        if self.entry.account_id not in (None, account):
            return self._ignored(key, "foreign", id)
        topic = kind.removeprefix(_TYPE)
        if topic == "created":
            return self._arrived(body, _first(id), id, body.text("detail", "description"))
        if topic == "comment_added":
            return self._commented(body, key, id)
        changes = _changes(topic, body.at("event"), self.rules.actions.field)
        if not changes:
            return self._ignored(key, "unknown", id)
        actor = body.some("detail", "actor_id")
        return Event(
            key=key, kind="changed", account=self.name, ticket_id=id, changes=changes,
            actor=actor, own=self._own(actor), stamp=body.text("detail", "updated_at"),
            happened_at_s=body.time_s("time"),
        )  # fmt: skip

    def _commented(self, body: Body, key: str, id: str) -> Event:
        comment = body.at("event", "comment")
        if not self.entry.replies:
            return self._ignored(key, "reply", id)
        if not comment.truth("is_public") or comment.truth("author", "is_staff"):
            return self._ignored(key, "agent", id)
        return self._arrived(body, key, id, comment.text("body"))

    def _arrived(self, body: Body, key: str, id: str, text: str) -> Event:
        detail = body.at("detail")
        actor = detail.some("actor_id")
        return Event(
            key=key, kind="arrived", account=self.name, ticket_id=id,
            ticket=ticket(
                id=id, subject=detail.text("subject"), body=text,
                channel=detail.some("via", "channel"), tags=detail.words("tags"),
            ),
            actor=actor, own=self._own(actor), stamp=detail.text("updated_at"),
            happened_at_s=body.time_s("time"),
        )  # fmt: skip

    def _triggered(self, body: Body) -> Event:
        """A trigger's body, as `setup.body` makes it: only ids, so that no text can break it."""
        id, topic, actor = body.ticket_id("ticket_id"), body.text("event"), body.some("actor_id")
        stamp = body.text("updated_at")
        if not id or topic != "created":
            return self._ignored(f"trigger:{topic}:{id}", "unknown", id)
        return Event(
            key=_first(id), kind="arrived",
            account=self.name, ticket_id=id, actor=actor, own=self._own(actor), stamp=stamp,
            happened_at_s=body.time_s("updated_at"),
        )  # fmt: skip

    # ------------------------------------------------------------------------------ out

    async def _read(self, ticket_id: str) -> Snapshot:
        found = await self.api.call("GET", f"/api/v2/tickets/{ticket_id}")
        return self._snapshot(found.body.at("ticket"))

    def _snapshot(self, found: Body) -> Snapshot:
        if found.text("status") == "deleted":
            raise HelpdeskFailed("gone")
        return Snapshot(
            Held(
                tags=found.words("tags"),
                field=_custom_field(found, self.rules.actions.field),
                priority=found.some("priority"),
                group=found.some("group_id"),
            ),
            found,
            found.text("updated_at"),
        )

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        path = f"/api/v2/tickets/{ticket_id}/comments"
        found = await self.api.call("GET", path, query={"sort_order": "desc", "per_page": 100})
        return any(mark in each.text("body") for each in found.body.items("comments"))

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        """Everything in one write. `tags` replaces the list, so it goes with the lock only."""
        change: dict[str, Any] = {"safe_update": True, "updated_stamp": seen.stamp}
        if todo.add or todo.drop:
            change["tags"] = todo.tags(seen.held.tags)
        field = self.rules.actions.field
        if todo.field is not None and field is not None:
            change["custom_fields"] = [{"id": _number(field.id), "value": todo.field}]
        if todo.priority is not None:
            change["priority"] = todo.priority
        if todo.group is not None:
            change["group_id"] = _number(todo.group)
        if todo.note is not None:
            change["comment"] = {"body": todo.note, "public": False}
        answered = await self.api.call("PUT", f"/api/v2/tickets/{ticket_id}", {"ticket": change})
        return todo.parts, answered

    def batch_key(self, order: Order) -> str | None:
        """Tags alone can be added to many tickets at once without overwriting anything."""
        effect = order.effect
        others = effect.field or effect.priority or effect.group or effect.note
        if others or order.before is not None:
            return None
        return msgspec.json.encode((effect.tags, effect.suggests)).decode()

    async def write_many(self, orders: Sequence[Order]) -> Sequence[Outcome]:
        """One `update_many` for the tickets that still lack their tags; the job is waited for."""
        try:
            return await self._write_many(orders)
        except HelpdeskFailed as error:
            return [failed(order, error) for order in orders]

    async def _write_many(self, orders: Sequence[Order]) -> Sequence[Outcome]:
        ids = ",".join(order.ticket_id for order in orders)
        found = await self.api.call("GET", "/api/v2/tickets/show_many.json", query={"ids": ids})
        held = {each.text("id"): each for each in found.body.items("tickets")}
        outcomes: dict[int, Outcome] = {}
        waiting: list[tuple[int, Order]] = []
        for place, order in enumerate(orders):
            if order.ticket_id not in held:
                outcomes[place] = Outcome(status="gone")
                continue
            todo = missing(order, self._snapshot(held[order.ticket_id]).held, self.rules)
            if todo:
                waiting.append((place, order))
            else:
                outcomes[place] = outcome(order, todo.kept, wrote=False, rate=found.rate)
        if waiting:
            results = await self._add_tags([order for _, order in waiting])
            outcomes |= {place: result for (place, _), result in zip(waiting, results, strict=True)}
        return [outcomes[place] for place in range(len(orders))]

    async def _add_tags(self, orders: list[Order]) -> list[Outcome]:
        effect = orders[0].effect
        ids = [order.ticket_id for order in orders]
        tags = [*effect.tags, *effect.suggests]
        failed_ids, rate = await add_tags(self.api, ids, tags, self.entry.call_timeout_s)
        return [
            Outcome(status="unavailable", rate=rate)
            if order.ticket_id in failed_ids
            else outcome(order, (), wrote=True, rate=rate)
            for order in orders
        ]

    async def fetch(self, ticket_id: str) -> Event:
        found = await self.api.call("GET", f"/api/v2/tickets/{ticket_id}")
        return self._polled(found.body.at("ticket"))

    def _polled(self, found: Body) -> Event:
        id = found.ticket_id("id")
        return Event(
            key=_first(id), kind="arrived", account=self.name, ticket_id=id,
            ticket=ticket(
                id=id, subject=found.text("subject"), body=found.text("description"),
                channel=found.some("via", "channel"), tags=found.words("tags"),
            ),
            held=self._snapshot(found).held, stamp=found.text("updated_at"),
            happened_at_s=found.time_s("created_at"),
        )  # fmt: skip

    async def poll(self, cursor: str) -> Page:
        """The incremental ticket export: at most 10 a minute, and without the last minute."""
        start = int(time.time() - self.entry.reconcile_back_s)
        query = {"cursor": cursor} if cursor else {"start_time": start}
        found = await self.api.call("GET", "/api/v2/incremental/tickets/cursor.json", query=query)
        events = tuple(
            self._polled(each)
            for each in found.body.items("tickets")
            if each.ticket_id("id") and each.text("status") not in _OVER
        )
        more = found.body.at("end_of_stream").value is False
        return Page(events, found.body.text("after_cursor") or cursor, more)


def _first(id: str) -> str:
    """The key of a ticket's arrival, which an event, a trigger and a poll may all tell."""
    return f"ticket:{id}"


def _changes(topic: str, event: Body, field: Any) -> tuple[Change, ...]:
    """A change event's members as ours; empty for changes that no label hangs on."""
    if topic == "tags_changed":
        return (Change("tag", event.words("tags_added"), event.words("tags_removed")),)
    added = tuple(filter(None, (event.text("current"),)))
    removed = tuple(filter(None, (event.text("previous"),)))
    if topic == "custom_field_changed" and field and event.text("field", "id") == field.id:
        return (Change("field", added, removed),)
    if topic == "priority_changed":  # upper case here, lower case in the API
        low = tuple(word.lower() for word in added), tuple(word.lower() for word in removed)
        return (Change("priority", *low),)
    if topic == "group_assignment_changed":
        return (Change("group", added, removed),)
    return ()


def _custom_field(found: Body, field: Any) -> str | None:
    for each in found.items("custom_fields"):
        if field is not None and each.text("id") == field.id:
            return each.some("value")
    return None


def _number(id: str) -> int | str:
    return int(id) if id.isdecimal() else id
