"""Intercom: conversations and tickets in, signed with SHA-1 and no time; tags and fields out.

Schemas and calls: intercom/Intercom-OpenAPI 2.15. Two kinds of object have calls of their own, so
a ticket's id here is `conversation-ID` or `ticket-ID`. No documented call writes a priority.
"""

from __future__ import annotations

from typing import ClassVar

from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Account, Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import bearer
from classifier.helpdesks.names import NamedTags
from classifier.helpdesks.port import (
    Answer,
    Change,
    Delivery,
    Event,
    Handshake,
    Held,
    HelpdeskFailed,
    Manners,
    Parsed,
)
from classifier.helpdesks.prose import text_of
from classifier.helpdesks.rates import RateHeaders
from classifier.records import Ticket

SCHEME = signatures.Scheme("sha1", "hex", "sha1=")
SIGNATURE = "x-hub-signature"
_FIRST = frozenset({"conversation.user.created", "ticket.created"})
_LATER = frozenset({"conversation.user.replied", "ticket.contact.replied"})
_UNSET = frozenset({"", "0"})


class Intercom(Desk):
    vendor = "intercom"
    # Sends again once, after a minute. Answers under 500 ms get priority. 429 would throttle for
    # up to two hours, 410 would end the subscription.
    manners = Manners(resends=True, ack_deadline_s=5.0)
    rate = RateHeaders(
        limit="x-ratelimit-limit",
        remaining="x-ratelimit-remaining",
        reset="x-ratelimit-reset",
        reset_is="unix",
    )
    logins: ClassVar = {"bearer": lambda _, key: bearer(key)}
    usual_url = "https://api.intercom.io"
    targets = frozenset({"tag", "field", "group", "note"})
    wants_own_user = True
    writes_per_minute = 10_000.0

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._names = NamedTags("data")

    def verify(self, delivery: Delivery) -> None:
        """The set-up's HEAD is not signed and says nothing, so there is nothing to believe."""
        if delivery.method != "HEAD":
            super().verify(delivery)

    def _check_signature(self, delivery: Delivery) -> None:
        sent = delivery.headers.get(SIGNATURE)
        signatures.check_hmac(SCHEME, sent, delivery.body, self.account.secrets)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: SCHEME.sign(secret, body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        if delivery.method == "HEAD":
            return Handshake(Answer(200))
        body = read(delivery.body)
        key, topic = body.text("id"), body.text("topic")
        if topic == "ping" or not key:
            return Handshake(Answer(200))
        if self.entry.account_id not in (None, body.some("app_id")):
            return (self._ignored(key, "foreign"),)
        item = body.at("data", "item")
        if item.at("ticket").value:  # some topics wrap the ticket
            item = item.at("ticket")
        id = _id(topic, item)
        if not id:
            return (self._ignored(key, "unknown"),)
        if topic in _FIRST or topic in _LATER:
            return (self._arrived(item, key, id, topic, body),)
        return (self._changed(item, key, id, topic, body),)

    def _arrived(self, item: Body, key: str, id: str, topic: str, body: Body) -> Event:
        if topic in _LATER and not self.entry.replies:
            return self._ignored(key, "reply", id)
        text = _latest(item) if topic in _LATER else _first(item)
        return Event(
            key=key, kind="arrived", account=self.name, ticket_id=id,
            ticket=self._ticket(item, id, text) if text else None,
            stamp=item.text("updated_at"), happened_at_s=body.time_s("created_at"),
        )  # fmt: skip

    def _ticket(self, item: Body, id: str, text: str) -> Ticket:
        subject = item.text("source", "subject") or item.text("ticket_attributes", _TITLE)
        return ticket(
            id=id, subject=text_of(subject), body=text,
            channel=item.some("source", "type") or item.some("category"), tags=_tags(item),
        )  # fmt: skip

    def _changed(self, item: Body, key: str, id: str, topic: str, body: Body) -> Event:
        changes: tuple[Change, ...] = ()
        if topic == "conversation_part.tag.created":
            changes = tuple(Change("tag", (tag,)) for tag in _part_tags(item))
        elif topic not in ("ticket.attribute.updated", "ticket.team.assigned"):
            return self._ignored(key, "unknown", id)
        return Event(
            key=key, kind="changed", account=self.name, ticket_id=id, changes=changes,
            held=None if changes else self._held(item), stamp=item.text("updated_at"),
            happened_at_s=body.time_s("created_at"),
        )  # fmt: skip

    def _held(self, item: Body) -> Held:
        field = self.rules.actions.field
        table = "ticket_attributes" if item.at("ticket_attributes").value else "custom_attributes"
        team = item.text("team_assignee_id")
        return Held(
            tags=_tags(item),
            field=item.some(table, field.id) if field else None,
            group=None if team in _UNSET else team,
        )

    # ------------------------------------------------------------------------------ out

    async def _read(self, ticket_id: str) -> Snapshot:
        found = (await self.api.call("GET", _path(ticket_id))).body
        return Snapshot(self._held(found), found, found.text("updated_at"))

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        found = (await self.api.call("GET", _path(ticket_id))).body
        return any(mark in part.text("body") for part in _parts(found))

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        admin, path = self.entry.own_user_id, _path(ticket_id)
        if todo.add or todo.drop:
            return frozenset({"tags"}), await self._tag(path, todo)
        if todo.field is not None:
            return frozenset({"field"}), await self._set_field(ticket_id, todo.field)
        if todo.group is not None:
            return frozenset({"group"}), await self._assign(ticket_id, todo.group)
        note = {
            "message_type": "note", "type": "admin", "admin_id": admin, "body": todo.note,
            "skip_notifications": True,
        }  # fmt: skip
        return frozenset({"note"}), await self.api.call("POST", f"{path}/reply", note)

    async def _tag(self, path: str, todo: Missing) -> Answered:
        """One call per tag, by id; each adds or takes off that one tag."""
        admin = {"admin_id": self.entry.own_user_id}
        ids = await self._names.ids(self.api, (*todo.add, *todo.drop))
        answered = None
        for tag in todo.add:
            answered = await self.api.call("POST", f"{path}/tags", {"id": ids[tag], **admin})
        for tag in todo.drop:
            answered = await self.api.call("DELETE", f"{path}/tags/{ids[tag]}", admin)
        if answered is None:
            raise HelpdeskFailed("refused")
        return answered

    async def _set_field(self, ticket_id: str, value: str) -> Answered:
        field = self.rules.actions.field
        values = {field.id: value} if field is not None else {}
        if ticket_id.startswith("ticket-"):
            change = {"ticket_attributes": values, "skip_notifications": True}
        else:
            change = {"custom_attributes": values}
        return await self.api.call("PUT", _path(ticket_id), change)

    async def _assign(self, ticket_id: str, team: str) -> Answered:
        admin, path = self.entry.own_user_id, _path(ticket_id)
        if ticket_id.startswith("ticket-"):
            change = {"assignee_id": team, "admin_id": admin, "skip_notifications": True}
            return await self.api.call("PUT", path, change)
        part = {
            "message_type": "assignment", "type": "team", "admin_id": admin, "assignee_id": team
        }  # fmt: skip
        return await self.api.call("POST", f"{path}/parts", part)

    async def fetch(self, ticket_id: str) -> Event:
        found = (await self.api.call("GET", _path(ticket_id))).body
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=self._ticket(found, ticket_id, _first(found)),
            stamp=found.text("updated_at"), happened_at_s=found.time_s("created_at"),
        )  # fmt: skip


_TITLE, _DESCRIPTION = "_default_title_", "_default_description_"


def _id(topic: str, item: Body) -> str:
    """`conversation-ID` or `ticket-ID`; a part's tag topic names its conversation."""
    kind = "ticket" if topic.startswith("ticket.") else "conversation"
    path = ("conversation", "id") if topic.startswith("conversation_part.") else ("id",)
    id = item.ticket_id(*path) or item.ticket_id("id")
    found = f"{kind}-{id}"
    return found if id and Body(found).ticket_id() else ""


def _path(ticket_id: str) -> str:
    kind, _, id = ticket_id.partition("-")
    return f"/{kind}s/{id}"


def _first(item: Body) -> str:
    return text_of(item.text("source", "body") or item.text("ticket_attributes", _DESCRIPTION))


def _parts(item: Body) -> list[Body]:
    return [
        *item.items("conversation_parts", "conversation_parts"),
        *item.items("ticket_parts", "ticket_parts"),
    ]


def _latest(item: Body) -> str:
    """The newest part that a customer wrote."""
    said = [part for part in _parts(item) if part.text("author", "type") not in ("admin", "bot")]
    texts = [text for part in said if (text := text_of(part.text("body")))]
    return texts[-1] if texts else ""


def _tags(item: Body) -> tuple[str, ...]:
    return tuple(name for tag in item.items("tags", "tags") if (name := tag.text("name")))


def _part_tags(item: Body) -> tuple[str, ...]:
    return _tags(item) or _tags(item.at("conversation_part"))
