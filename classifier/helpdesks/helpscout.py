"""Help Scout: bare conversations in, signed with SHA-1; whole lists of tags and fields out.

Shapes and paths: helpscout/helpscout-api-php; bodies of calls are common knowledge. The event's
name stands in a header that nothing signs, and a body names neither event nor actor.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, ClassVar

from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import TokenLogin
from classifier.helpdesks.port import Delivery, Event, Held, HelpdeskFailed, Manners, Parsed
from classifier.helpdesks.prose import text_of
from classifier.helpdesks.rates import RateHeaders
from classifier.records import Ticket

SCHEME = signatures.Scheme("sha1", "base64")
SIGNATURE = "x-helpscout-signature"
EVENT = "x-helpscout-event"
_CHANGES = frozenset({"convo.tags", "convo.custom-fields", "convo.assigned", "convo.moved"})


def _login(client_id: str, client_secret: str) -> TokenLogin:
    return TokenLogin("/v2/oauth2/token", client_id, client_secret)


class HelpScout(Desk):
    vendor = "helpscout"
    # Any answer but 2xx is sent again, up to ten times; ten lost events switch the webhook off.
    manners = Manners(resends=True)
    rate = RateHeaders(
        limit="x-ratelimit-limit-minute",
        remaining="x-ratelimit-remaining-minute",
        retry_after="x-ratelimit-retry-after",
    )
    logins: ClassVar = {"client_credentials": _login}
    usual_url = "https://api.helpscout.net"
    targets = frozenset({"tag", "field", "group", "note"})

    def _check_signature(self, delivery: Delivery) -> None:
        sent = delivery.headers.get(SIGNATURE)
        signatures.check_hmac(SCHEME, sent, delivery.body, self.account.secrets)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: SCHEME.sign(secret, body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        body, topic = read(delivery.body), delivery.headers.get(EVENT, "")
        id = body.ticket_id("id")
        digest = blake2b(delivery.body, digest_size=8).hexdigest()
        key = f"{topic}:{id}:{digest}"
        if not id:
            return (self._ignored(key, "unknown"),)
        if topic == "convo.created":
            return (self._arrived(body, f"created:{id}", id),)
        if topic == "convo.customer.reply.created":
            if self.entry.replies:
                return (self._arrived(body, key, id),)
            return (self._ignored(key, "reply", id),)
        if topic not in _CHANGES:
            return (self._ignored(key, "unknown", id),)
        return (
            Event(
                key=key, kind="changed", account=self.name, ticket_id=id, held=self._held(body),
                stamp=body.text("userUpdatedAt"), happened_at_s=body.time_s("userUpdatedAt"),
            ),
        )  # fmt: skip

    def _arrived(self, body: Body, key: str, id: str) -> Event:
        text = _said(body.at("_embedded"))
        return Event(
            key=key, kind="arrived", account=self.name, ticket_id=id,
            ticket=_ticket(body, id, text) if text else None,
            stamp=body.text("userUpdatedAt"), happened_at_s=body.time_s("userUpdatedAt"),
        )  # fmt: skip

    def _held(self, body: Body) -> Held:
        field = self.rules.actions.field
        values = {each.text("id"): each.some("value") for each in body.items("customFields")}
        return Held(
            tags=_tags(body),
            field=values.get(field.id) if field else None,
            group=body.some("assignee", "id"),
        )

    # ------------------------------------------------------------------------------ out

    async def _read(self, ticket_id: str) -> Snapshot:
        found = (await self.api.call("GET", f"/v2/conversations/{ticket_id}")).body
        return Snapshot(self._held(found), found, found.text("userUpdatedAt"))

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        found = await self.api.call("GET", f"/v2/conversations/{ticket_id}/threads")
        threads = found.body.items("_embedded", "threads")
        return any(mark in each.text("body") for each in threads)

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        part: Part
        call: tuple[str, str, dict[str, Any]]
        field = self.rules.actions.field
        if todo.add or todo.drop:
            part, call = "tags", ("PUT", "/tags", {"tags": todo.tags(seen.held.tags)})
        elif todo.field is not None and field is not None:
            part, call = "field", ("PUT", "/fields", _fields(seen.whole, field.id, todo.field))
        elif todo.group is not None:
            change = {"op": "replace", "path": "/assignTo", "value": int(todo.group)}
            part, call = "group", ("PATCH", "", change)
        else:
            part, call = "note", ("POST", "/notes", {"text": todo.note})
        method, rest, body = call
        path = f"/v2/conversations/{ticket_id}{rest}"
        return frozenset({part}), await self.api.call(method, path, body)

    async def fetch(self, ticket_id: str) -> Event:
        found = (await self.api.call("GET", f"/v2/conversations/{ticket_id}")).body
        threads = await self.api.call("GET", f"/v2/conversations/{ticket_id}/threads")
        text = _said(threads.body.at("_embedded")) or text_of(found.text("preview"))
        if not text:
            raise HelpdeskFailed("gone")
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=_ticket(found, ticket_id, text), stamp=found.text("userUpdatedAt"),
            happened_at_s=found.time_s("createdAt"),
        )  # fmt: skip


def _said(embedded: Body) -> str:
    """The first thread of a customer's that says something; the vendor lists the newest first."""
    for thread in embedded.items("threads"):
        text = text_of(thread.text("body"))
        if thread.text("type") == "customer" and text:
            return text
    return ""


def _ticket(body: Body, id: str, text: str) -> Ticket:
    return ticket(
        id=id, subject=body.text("subject"), body=text, channel=body.some("type"), tags=_tags(body)
    )


def _tags(body: Body) -> tuple[str, ...]:
    return tuple(tag for each in body.items("tags") if (tag := each.text("tag")))


def _fields(conversation: Body, id: str, value: str) -> dict[str, Any]:
    """The whole list, ours among it: the call replaces it."""
    others = [
        {"id": each.at("id").value, "value": each.at("value").value}
        for each in conversation.items("customFields")
        if each.text("id") != id and each.some("value")
    ]
    return {"fields": [*others, {"id": int(id), "value": value}]}
