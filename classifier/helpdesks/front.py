"""Front: application and rule webhooks in, two schemes; tags that add, fields that replace, out.

Schemas: frontapp/front-api-specs (core-api) and dev.frontapp.com. The fields of a message are
common knowledge. Front has no priority; a group is an inbox, and a move shows in its own list.
"""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar

from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Account, Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import bearer
from classifier.helpdesks.names import NamedTags, next_token
from classifier.helpdesks.port import (
    Answer,
    Change,
    Delivery,
    Event,
    Handshake,
    Held,
    HelpdeskFailed,
    Manners,
    Page,
    Parsed,
)
from classifier.helpdesks.prose import text_of
from classifier.helpdesks.rates import RateHeaders

APPLICATION = signatures.Scheme("sha256", "base64")
RULE = signatures.Scheme("sha1", "base64")
SIGNATURE = "x-front-signature"
TIME = "x-front-request-timestamp"
CHALLENGE = "x-front-challenge"
_TOKEN = re.compile(r"[A-Za-z0-9+/=._-]{1,256}")
_CHANGES = {"tag", "untag", "custom_field_updated", "move"}
_MOST_PAGES = 20


class Front(Desk):
    vendor = "front"
    # An application's delivery is sent again up to three times, a rule's never: count on neither.
    manners = Manners(resends=False)
    rate = RateHeaders(
        limit="x-ratelimit-limit",
        remaining="x-ratelimit-remaining",
        reset="x-ratelimit-reset",
        reset_is="unix",
    )
    logins: ClassVar = {"bearer": lambda _, key: bearer(key)}
    usual_url = "https://api2.frontapp.com"
    targets = frozenset({"tag", "field", "group", "note"})
    reconciles = True
    writes_per_minute = 50.0

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._names = NamedTags("_results")

    def _check_signature(self, delivery: Delivery) -> None:
        """With a time it is an application's, without one a rule's."""
        headers, secrets = delivery.headers, self.account.secrets
        sent, at = headers.get(SIGNATURE), headers.get(TIME)
        if at is None:
            signatures.check_hmac(RULE, sent, delivery.body, secrets)
            return
        window_s = self.entry.replay_window_s
        signatures.check_time(at, signatures.milliseconds, delivery.received_at_s, window_s)
        signatures.check_hmac(APPLICATION, sent, at.encode() + b":" + delivery.body, secrets)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        at = str(int(now_s * 1_000))
        return {TIME: at, SIGNATURE: APPLICATION.sign(secret, at.encode() + b":" + body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        whole = read(delivery.body)
        if whole.text("type") == "sync":
            return _challenged(delivery)
        event = whole.at("payload") if whole.at("payload").value else whole
        key, topic = event.text("id"), event.text("type")
        conversation = event.at("conversation")
        id = conversation.ticket_id("id")
        if not id or not key:
            return (self._ignored(key, "unknown"),)
        if topic == "inbound":
            return (self._arrived(event, conversation, key, id),)
        if topic not in _CHANGES:
            return (self._ignored(key, "unknown", id),)
        source = event.at("source")
        return (
            Event(
                key=key, kind="changed", account=self.name, ticket_id=id,
                changes=_changes(topic, event), held=self._held(conversation),
                actor=source.some("data", "id"),
                own=source.text("_meta", "type") != "teammate",  # only people correct
                stamp=conversation.text("updated_at"), happened_at_s=event.time_s("emitted_at"),
            ),
        )  # fmt: skip

    def _arrived(self, event: Body, conversation: Body, key: str, id: str) -> Event:
        """Nothing tells a first message from the next: the conversation's key lets one through."""
        message = event.at("target", "data")
        text = _text(message)
        found = ticket(
            id=id, subject=conversation.text("subject") or message.text("subject"), body=text,
            channel=message.some("type"), tags=_tags(conversation),
        )  # fmt: skip
        return Event(
            key=key if self.entry.replies else f"conversation:{id}", kind="arrived",
            account=self.name, ticket_id=id, ticket=found if text else None,
            stamp=conversation.text("updated_at"), happened_at_s=event.time_s("emitted_at"),
        )  # fmt: skip

    def _held(self, conversation: Body, group: str | None = None) -> Held:
        field = self.rules.actions.field
        value = conversation.some("custom_fields", field.id) if field else None
        return Held(tags=_tags(conversation), field=value, group=group)

    # ------------------------------------------------------------------------------ out

    async def _read(self, ticket_id: str) -> Snapshot:
        group = await self._inbox(ticket_id) if self.rules.actions.group else None
        found = (await self.api.call("GET", f"/conversations/{ticket_id}")).body
        return Snapshot(self._held(found, group), found, found.text("updated_at"))

    async def _inbox(self, ticket_id: str) -> str | None:
        found = await self.api.call("GET", f"/conversations/{ticket_id}/inboxes")
        return found.body.some("_results", 0, "id")

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        found = await self.api.call("GET", f"/conversations/{ticket_id}/comments")
        return any(mark in each.text("body") for each in found.body.items("_results"))

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        path = f"/conversations/{ticket_id}"
        if todo.add or todo.drop:
            return frozenset({"tags"}), await self._tag(f"{path}/tags", todo)
        change: dict[str, Any] = {}
        field = self.rules.actions.field
        if todo.field is not None and field is not None:  # fields that are left out are erased
            held = seen.whole.at("custom_fields").value
            change["custom_fields"] = {
                **(held if isinstance(held, dict) else {}),
                field.id: todo.field,
            }
        if todo.group is not None:
            change["inbox_id"] = todo.group
        if change:
            return todo.parts - {"note"}, await self.api.call("PATCH", path, change)
        note = {"body": todo.note}
        return frozenset({"note"}), await self.api.call("POST", f"{path}/comments", note)

    async def _tag(self, path: str, todo: Missing) -> Answered:
        ids = await self._names.ids(self.api, (*todo.add, *todo.drop))
        if todo.drop:
            gone = {"tag_ids": [ids[tag] for tag in todo.drop]}
            answered = await self.api.call("DELETE", path, gone)
        if todo.add:
            new = {"tag_ids": [ids[tag] for tag in todo.add]}
            answered = await self.api.call("POST", path, new)
        return answered

    async def fetch(self, ticket_id: str) -> Event:
        found = (await self.api.call("GET", f"/conversations/{ticket_id}")).body
        messages = await self.api.call("GET", f"/conversations/{ticket_id}/messages")
        said = [
            each for each in messages.body.items("_results")
            if each.truth("is_inbound") and _text(each)
        ]  # fmt: skip
        if not said:
            raise HelpdeskFailed("gone")
        first = said[-1]  # newest first
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=ticket(
                id=ticket_id, subject=found.text("subject"), body=_text(first),
                channel=first.some("type"), tags=_tags(found),
            ),
            stamp=found.text("updated_at"), happened_at_s=found.time_s("created_at"),
        )  # fmt: skip

    async def poll(self, cursor: str) -> Page:
        """Conversations, newest first, back to the cursor's moment."""
        since_s = float(cursor) if cursor else time.time() - self.entry.reconcile_back_s
        newest_s, events = since_s, []
        query: dict[str, Any] = {"limit": 100}
        for _ in range(_MOST_PAGES):
            found = (await self.api.call("GET", "/conversations", query=query)).body
            times = [(each, each.time_s("created_at") or 0.0) for each in found.items("_results")]
            events += [self._listed(each) for each, at_s in times if at_s >= since_s]
            newest_s = max([newest_s, *(at_s for _, at_s in times)])
            token = next_token(found)
            if not token or min(at_s for _, at_s in times) < since_s:
                break
            query["page_token"] = token
        return Page(tuple(event for event in events if event.ticket_id), str(newest_s))

    def _listed(self, conversation: Body) -> Event:
        id = conversation.ticket_id("id")
        return Event(
            key=f"conversation:{id}", kind="arrived", account=self.name, ticket_id=id,
            held=self._held(conversation), stamp=conversation.text("updated_at"),
            happened_at_s=conversation.time_s("created_at"),
        )  # fmt: skip


def _challenged(delivery: Delivery) -> Handshake:
    """The set-up asks for its challenge back. Only a plain token is echoed, and as plain text."""
    challenge = delivery.headers.get(CHALLENGE, "")
    body = challenge.encode() if _TOKEN.fullmatch(challenge) else b""
    headers = {"content-type": "text/plain", "x-content-type-options": "nosniff"}
    return Handshake(Answer(200, headers, body))


def _changes(topic: str, event: Body) -> tuple[Change, ...]:
    """A tag event says which tag; the others only what stands there now."""
    name = event.text("target", "data", "name")
    if topic == "tag" and name:
        return (Change("tag", (name,)),)
    return (Change("tag", (), (name,)),) if topic == "untag" and name else ()


def _text(message: Body) -> str:
    return message.text("text").strip() or text_of(message.text("body"))


def _tags(conversation: Body) -> tuple[str, ...]:
    return tuple(name for tag in conversation.items("tags") if (name := tag.text("name")))
