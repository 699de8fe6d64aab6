"""Chatwoot: account webhooks in, signed from 4.11.2 on; labels and fields out, one call each.

Events and paths: chatwoot/chatwoot (webhook_listener, event_data_presenter) and its OpenAPI file.
That a conversation shows `labels` and `meta.team`, and that `custom_attributes` replaces the
whole table, is common knowledge that nobody could try here: the whole table is sent.
"""

from __future__ import annotations

import time
from typing import ClassVar

from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import FixedLogin
from classifier.helpdesks.port import (
    Change,
    Delivery,
    Event,
    Held,
    HelpdeskFailed,
    Manners,
    Page,
    Parsed,
)
from classifier.helpdesks.rates import RateHeaders

SCHEME = signatures.Scheme("sha256", "hex", "sha256=")
SIGNATURE = "x-chatwoot-signature"
TIME = "x-chatwoot-timestamp"
_MOST_PAGES = 20
_TARGETS = {"label_list": "tag", "priority": "priority", "team_id": "group"}


class Chatwoot(Desk):
    vendor = "chatwoot"
    manners = Manners(resends=False, ack_deadline_s=5.0)
    rate = RateHeaders()
    logins: ClassVar = {"bearer": lambda _, key: FixedLogin("api_access_token", key)}
    usual_url = "https://app.chatwoot.com"
    self_hosted = True
    wants_account = True
    writes_per_minute = 3_000.0
    reconciles = True

    def _check_signature(self, delivery: Delivery) -> None:
        at = signatures.check_time(
            delivery.headers.get(TIME),
            signatures.seconds,
            delivery.received_at_s,
            self.entry.replay_window_s,
        )
        message = at.encode() + b"." + delivery.body
        sent = delivery.headers.get(SIGNATURE)
        signatures.check_hmac(SCHEME, sent, message, self.account.secrets)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        at = str(int(now_s))
        return {TIME: at, SIGNATURE: SCHEME.sign(secret, at.encode() + b"." + body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        body = read(delivery.body)
        kind = body.text("event")
        if self.entry.account_id not in (None, body.some("account", "id")):
            return (self._ignored(f"{kind}:{body.text('id')}", "foreign"),)
        if kind == "message_created":
            return (self._message(body),)
        if kind == "conversation_created":
            return (self._created(body),)
        if kind == "conversation_updated":
            return (self._updated(body),)
        return (self._ignored(f"{kind}:{body.text('id')}", "unknown"),)

    def _message(self, body: Body) -> Event:
        conversation = body.at("conversation")
        id, key = conversation.ticket_id("id"), f"message:{body.text('id')}"
        if body.text("message_type") != "incoming" or body.truth("private"):
            return self._ignored(key, "agent", id)
        return self._arrived(conversation, key, body)

    def _created(self, body: Body) -> Event:
        message = body.at("messages", -1)
        if message.at("message_type").value not in (0, "incoming"):
            return self._ignored(f"created:{body.text('id')}", "empty", body.ticket_id("id"))
        return self._arrived(body, f"message:{message.text('id')}", message)

    def _arrived(self, conversation: Body, key: str, message: Body) -> Event:
        """Nothing tells a first message from the next: the conversation's key lets one through."""
        id, text = conversation.ticket_id("id"), message.text("content")
        if not id or not text.strip():
            return self._ignored(key, "empty" if id else "unknown", id)
        return Event(
            key=key if self.entry.replies else f"conversation:{id}", kind="arrived",
            account=self.name, ticket_id=id,
            ticket=ticket(
                id=id, body=text,
                subject=conversation.text("additional_attributes", "mail_subject"),
                language=conversation.some(
                    "additional_attributes", "browser", "browser_language"
                ),
                channel=_channel(conversation), tags=conversation.words("labels"),
            ),
            stamp=conversation.text("updated_at"), happened_at_s=message.time_s("created_at"),
        )  # fmt: skip

    def _updated(self, body: Body) -> Event:
        id, stamp = body.ticket_id("id"), body.text("updated_at")
        key = f"updated:{id}:{stamp}"
        changes = tuple(
            change for each in body.items("changed_attributes") for change in self._changes(each)
        )
        if not id or not changes:
            return self._ignored(key, "unknown", id)
        return Event(
            key=key, kind="changed", account=self.name, ticket_id=id, changes=changes,
            held=self._held(body), stamp=stamp, happened_at_s=body.time_s("updated_at"),
        )  # fmt: skip

    def _changes(self, attribute: Body) -> list[Change]:
        found = []
        for name, target in _TARGETS.items():
            before, after = (_words(attribute.at(name, side)) for side in _SIDES)
            if before != after:
                added = tuple(word for word in after if word not in before)
                removed = tuple(word for word in before if word not in after)
                found.append(Change(target, added, removed))  # type: ignore[arg-type]
        field = self.rules.actions.field
        if field is not None:
            path = (attribute.at("custom_attributes", side, field.id) for side in _SIDES)
            before, after = map(_words, path)
            if before != after:
                found.append(Change("field", after, before))
        return found

    def _held(self, conversation: Body) -> Held:
        field = self.rules.actions.field
        return Held(
            tags=conversation.words("labels"),
            field=conversation.some("custom_attributes", field.id) if field else None,
            priority=conversation.some("priority"),
            group=conversation.some("meta", "team", "id"),
        )

    # ------------------------------------------------------------------------------ out

    def _path(self, ticket_id: str, rest: str = "") -> str:
        return f"/api/v1/accounts/{self.entry.account_id}/conversations/{ticket_id}{rest}"

    async def _read(self, ticket_id: str) -> Snapshot:
        found = (await self.api.call("GET", self._path(ticket_id))).body
        return Snapshot(self._held(found), found, found.text("updated_at"))

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        found = await self.api.call("GET", self._path(ticket_id, "/messages"))
        return any(mark in each.text("content") for each in found.body.items("payload"))

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        field = self.rules.actions.field
        if "tags" in todo.parts:  # replaces the list
            part, rest = "tags", "/labels"
            body: dict[str, object] = {"labels": todo.tags(seen.held.tags)}
        elif todo.field is not None and field is not None:
            part, rest = "field", "/custom_attributes"
            held = seen.whole.at("custom_attributes").value
            held = held if isinstance(held, dict) else {}
            body = {"custom_attributes": {**held, field.id: todo.field}}
        elif todo.priority is not None:
            part, rest, body = "priority", "/toggle_priority", {"priority": todo.priority}
        elif todo.group is not None:
            part, rest, body = "group", "/assignments", {"team_id": int(todo.group)}
        else:
            part, rest = "note", "/messages"
            body = {"content": todo.note, "private": True, "message_type": "outgoing"}
        answered = await self.api.call("POST", self._path(ticket_id, rest), body)
        return frozenset({part}), answered  # type: ignore[arg-type]

    async def fetch(self, ticket_id: str) -> Event:
        found = (await self.api.call("GET", self._path(ticket_id))).body
        messages = await self.api.call("GET", self._path(ticket_id, "/messages"))
        for message in messages.body.items("payload"):
            if message.at("message_type").value in (0, "incoming"):
                return self._arrived(found, f"message:{message.text('id')}", message)
        raise HelpdeskFailed("gone")

    async def poll(self, cursor: str) -> Page:
        """Open conversations, newest first, back to the cursor's moment."""
        since_s = float(cursor) if cursor else time.time() - self.entry.reconcile_back_s
        newest_s, events = since_s, []
        for page in range(1, _MOST_PAGES + 1):
            query = {"status": "open", "assignee_type": "all", "page": page}
            path = f"/api/v1/accounts/{self.entry.account_id}/conversations"
            found = (await self.api.call("GET", path, query=query)).body
            times = [
                (each, each.time_s("created_at") or 0.0) for each in found.items("data", "payload")
            ]
            events += [self._listed(each) for each, at_s in times if at_s >= since_s]
            newest_s = max([newest_s, *(at_s for _, at_s in times)])
            if not times or min(at_s for _, at_s in times) < since_s:
                break
        return Page(tuple(event for event in events if event.ticket_id), str(newest_s))

    def _listed(self, conversation: Body) -> Event:
        id = conversation.ticket_id("id")
        return Event(
            key=f"conversation:{id}", kind="arrived", account=self.name, ticket_id=id,
            held=self._held(conversation), stamp=conversation.text("updated_at"),
            happened_at_s=conversation.time_s("created_at"),
        )  # fmt: skip


_SIDES = ("previous_value", "current_value")


def _words(value: Body) -> tuple[str, ...]:
    return value.words() or tuple(filter(None, (value.text(),)))


def _channel(conversation: Body) -> str | None:
    """`Channel::WebWidget` as `webwidget`."""
    return conversation.text("channel").removeprefix("Channel::").lower() or None
