"""HubSpot: arrays of thin events in, signed over the public URL; one property update out.

Signatures: HubSpot/hubspot-api-python (v3; v1 and v2 only by a setting, they have no time). Event
fields and calls are common knowledge; nobody could try them. Tickets have no tags; a group is
the owner.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any, ClassVar

from classifier.errors import Malformed, NotGenuine
from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import bearer
from classifier.helpdesks.port import Change, Delivery, Event, Held, Manners, Parsed, Target
from classifier.helpdesks.prose import text_of
from classifier.helpdesks.rates import RateHeaders

SCHEME = signatures.Scheme("sha256", "base64")
SIGNATURE = "x-hubspot-signature-v3"
OLD_SIGNATURE = "x-hubspot-signature"
TIME = "x-hubspot-request-timestamp"
_PRIORITY, _OWNER = "hs_ticket_priority", "hubspot_owner_id"
_NOTE_TO_TICKET = 228  # HubSpot's own type of association


class HubSpot(Desk):
    vendor = "hubspot"
    manners = Manners(resends=True, ack_deadline_s=5.0)
    rate = RateHeaders(limit="x-hubspot-ratelimit-max", remaining="x-hubspot-ratelimit-remaining")
    logins: ClassVar = {"bearer": lambda _, key: bearer(key)}
    usual_url = "https://api.hubapi.com"
    targets = frozenset({"field", "priority", "group", "note"})

    def _check_signature(self, delivery: Delivery) -> None:
        """v3; where the entry allows it, also the signatures without a time."""
        headers, secrets = delivery.headers, self.account.secrets
        sent = headers.get(SIGNATURE)
        if sent is None and self.entry.old_signatures:
            _check_old(headers.get(OLD_SIGNATURE), self._signed(delivery), delivery.body, secrets)
            return
        window_s, now_s = self.entry.replay_window_s, delivery.received_at_s
        at = signatures.check_time(headers.get(TIME), signatures.milliseconds, now_s, window_s)
        message = self._signed(delivery) + delivery.body + at.encode()
        signatures.check_hmac(SCHEME, sent, message, secrets)

    def _signed(self, delivery: Delivery) -> bytes:
        """Method and address, which is the public one even behind a proxy."""
        return signatures.raw(delivery.method + (self.entry.public_url or delivery.url))

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        at = str(int(now_s * 1_000))
        address = self.entry.public_url or url
        return {
            TIME: at,
            SIGNATURE: SCHEME.sign(secret, f"POST{address}".encode() + body + at.encode()),
        }

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        body = read(delivery.body)
        if not isinstance(body.value, list):
            raise Malformed("the body is no array of events")
        return tuple(self._event(each) for each in body.items())

    def _event(self, body: Body) -> Event:
        key, id = body.text("eventId"), body.ticket_id("objectId")
        topic = body.text("subscriptionType")
        if not key or not id:
            return self._ignored(key, "unknown")
        if self.entry.account_id not in (None, body.some("portalId")):
            return self._ignored(key, "foreign", id)
        if topic == "ticket.creation":
            return Event(
                key=f"created:{id}", kind="arrived", account=self.name, ticket_id=id,
                actor=body.some("sourceId"), happened_at_s=body.time_s("occurredAt"),
            )  # fmt: skip
        target = self._target(body.text("propertyName"))
        if topic != "ticket.propertyChange" or target is None:
            return self._ignored(key, "unknown", id)
        actor = body.some("sourceId")
        return Event(
            key=key, kind="changed", account=self.name, ticket_id=id,
            changes=(Change(target, tuple(filter(None, (body.text("propertyValue"),)))),),
            actor=actor, own=self._whose(body, actor), happened_at_s=body.time_s("occurredAt"),
        )  # fmt: skip

    def _target(self, property_name: str) -> Target | None:
        field = self.rules.actions.field
        if field is not None and property_name == field.id:
            return "field"
        names: dict[str, Target] = {_PRIORITY: "priority", _OWNER: "group"}
        return names.get(property_name)

    def _whose(self, body: Body, actor: str | None) -> bool | None:
        """`own_user_id` is what `sourceId` says of our app; a person works in the CRM's pages."""
        if body.text("changeSource") == "CRM_UI":
            return False
        own = self.entry.own_user_id
        return None if own is None or actor is None else own in actor

    def _held(self, found: Body) -> Held:
        properties, field = found.at("properties"), self.rules.actions.field
        return Held(
            field=properties.some(field.id) if field else None,
            priority=properties.some(_PRIORITY),
            group=properties.some(_OWNER),
        )

    # ------------------------------------------------------------------------------ out

    async def _get(self, ticket_id: str, **query: str) -> Body:
        field = self.rules.actions.field
        names = ["subject", "content", "createdate", "hs_lastmodifieddate", _PRIORITY, _OWNER]
        query |= {"properties": ",".join([*names, *([field.id] if field else [])])}
        path = f"/crm/v3/objects/tickets/{ticket_id}"
        return (await self.api.call("GET", path, query=query)).body

    async def _read(self, ticket_id: str) -> Snapshot:
        found = await self._get(ticket_id)
        return Snapshot(self._held(found), found, found.text("updatedAt"))

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        found = await self._get(ticket_id, associations="notes")
        ids = [{"id": each.text("id")} for each in found.items("associations", "notes", "results")]
        if not ids:
            return False
        wanted = {"properties": ["hs_note_body"], "inputs": ids[-100:]}
        notes = await self.api.call("POST", "/crm/v3/objects/notes/batch/read", wanted)
        bodies = (each.text("properties", "hs_note_body") for each in notes.body.items("results"))
        return any(mark in body for body in bodies)

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        properties: dict[str, str] = {}
        field = self.rules.actions.field
        if todo.field is not None and field is not None:
            properties[field.id] = todo.field
        if todo.priority is not None:
            properties[_PRIORITY] = todo.priority
        if todo.group is not None:
            properties[_OWNER] = todo.group
        if properties:
            path, change = f"/crm/v3/objects/tickets/{ticket_id}", {"properties": properties}
            return todo.parts - {"note"}, await self.api.call("PATCH", path, change)
        note = _note(ticket_id, todo.note or "")
        return frozenset({"note"}), await self.api.call("POST", "/crm/v3/objects/notes", note)

    async def fetch(self, ticket_id: str) -> Event:
        found = await self._get(ticket_id)
        properties = found.at("properties")
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=ticket(
                id=ticket_id, subject=properties.text("subject"),
                body=text_of(properties.text("content")),
            ),
            held=self._held(found), stamp=found.text("updatedAt"),
            happened_at_s=properties.time_s("createdate"),
        )  # fmt: skip


def _note(ticket_id: str, text: str) -> dict[str, Any]:
    kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": _NOTE_TO_TICKET}
    return {
        "properties": {"hs_note_body": text, "hs_timestamp": int(time.time() * 1_000)},
        "associations": [{"to": {"id": ticket_id}, "types": [kind]}],
    }


def _check_old(sent: str | None, signed: bytes, body: bytes, secrets: signatures.Secrets) -> None:
    """v1 is a plain SHA-256 of secret and body, v2 of secret, method, address and body."""
    if not sent:
        raise NotGenuine("missing")
    messages = [part for secret in secrets for part in (secret + body, secret + signed + body)]
    valid = (sha256(message).hexdigest().encode() for message in messages)
    signatures.check_any(signatures.raw(sent), valid)
