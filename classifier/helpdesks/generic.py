"""Any other helpdesk: Standard Webhooks in, the body's paths by setting; a signed call out.

Scheme: github.com/standard-webhooks/standard-webhooks, spec 1.0.0, symmetric signatures (`v1`).
"""

from __future__ import annotations

import time
from base64 import b64decode
from binascii import Error as NotBase64
from typing import ClassVar

import msgspec

from classifier.errors import ConfigError, NotGenuine
from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Account, Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part, outcome
from classifier.helpdesks.logins import basic, bearer
from classifier.helpdesks.port import (
    Change,
    Delivery,
    Event,
    HelpdeskFailed,
    Manners,
    Order,
    Outcome,
    Parsed,
)
from classifier.helpdesks.rates import RateHeaders

SCHEME = signatures.Scheme("sha256", "base64", "v1,")
ID, TIME, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_MOST_SIGNATURES = 16
_SHORTEST, _LONGEST = 24, 64  # bytes of a secret, says the specification
_PATHS = {
    "id": "data.id", "subject": "data.subject", "body": "data.body", "tags": "data.tags",
    "language": "data.language", "channel": "data.channel", "label": "data.label",
}  # fmt: skip


def decoded(secret: bytes) -> bytes:
    """`whsec_` and base64, padded or not. Raises ConfigError."""
    text = secret.removeprefix(b"whsec_")
    try:
        found = b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except NotBase64:
        found = b""
    if not _SHORTEST <= len(found) <= _LONGEST:
        raise ConfigError(
            "a Standard Webhooks secret is `whsec_` and base64 of 24 to 64 bytes; "
            'make one: echo "whsec_$(openssl rand -base64 32)"'
        )
    return found


class Generic(Desk):
    vendor = "generic"
    manners = Manners(resends=True, ack_deadline_s=15.0)
    rate = RateHeaders()
    logins: ClassVar = {"bearer": lambda _, key: bearer(key), "basic": basic}
    self_hosted = True
    keyless = True

    def __init__(self, account: Account) -> None:
        """Raises ConfigError for a secret that is none."""
        super().__init__(account)
        signed = self.entry.proof in (None, "signature")
        self._secrets = tuple(map(decoded, account.secrets)) if signed else ()

    def _check_signature(self, delivery: Delivery) -> None:
        headers = delivery.headers
        id, sent = headers.get(ID), headers.get(SIGNATURE)
        window_s, now_s = self.entry.replay_window_s, delivery.received_at_s
        at = signatures.check_time(headers.get(TIME), signatures.seconds, now_s, window_s)
        if not id or not sent:
            raise NotGenuine("missing")
        ours = [each for each in sent.split(" ")[:_MOST_SIGNATURES] if SCHEME.could_be(each)]
        if not ours:
            raise NotGenuine("malformed")
        message = signatures.raw(f"{id}.{at}.") + delivery.body
        valid = [SCHEME.sign(secret, message).encode() for secret in self._secrets]
        for each in ours[:-1]:
            if signatures.is_any(each.encode(), valid):
                return
        signatures.check_any(ours[-1].encode(), valid)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        return _signed(decoded(secret), "msg_sample", now_s, body)

    # ------------------------------------------------------------------------------- in

    def _at(self, body: Body, name: str) -> Body:
        """What stands at a configured path: `data.tickets.0.id`."""
        path = self.entry.paths.get(name, _PATHS.get(name, ""))  # type: ignore[call-overload]
        return body.at(*(int(step) if step.isdecimal() else step for step in path.split(".")))

    def parse(self, delivery: Delivery) -> Parsed:
        """The key is the signed `webhook-id`, or what stands at `paths.key`."""
        body = read(delivery.body)
        key = self._at(body, "key").text() if "key" in self.entry.paths else ""
        key, topic = key or delivery.headers.get(ID, ""), body.text("type")
        id = self._at(body, "id").text()[:256]
        if not key or not id:
            return (self._ignored(key, "unknown", id),)
        if topic == "ticket.corrected":
            return (self._corrected(body, key, id),)
        text = self._at(body, "body").text()
        if not text or (topic and topic not in ("ticket.created", "ticket.replied")):
            return (self._ignored(key, "unknown", id),)
        if topic == "ticket.replied" and not self.entry.replies:
            return (self._ignored(key, "reply", id),)
        return (
            Event(
                key=key, kind="arrived", account=self.name, ticket_id=id,
                ticket=ticket(
                    id=id, subject=self._at(body, "subject").text(), body=text,
                    language=self._at(body, "language").some(),
                    channel=self._at(body, "channel").some(), tags=self._at(body, "tags").words(),
                ),
                happened_at_s=body.time_s("timestamp"),
            ),
        )  # fmt: skip

    def _corrected(self, body: Body, key: str, id: str) -> Event:
        """`{"type": "ticket.corrected", "data": {"id", "label", "previous"?, "by"?}}`."""
        sides = (self._at(body, "label").some(), body.some("data", "previous"))
        added, removed = (self._as_values(label) for label in sides)
        return Event(
            key=key, kind="changed", account=self.name, ticket_id=id,
            changes=(Change("field" if self.rules.actions.field else "tag", added, removed),),
            actor=body.some("data", "by"), own=False, happened_at_s=body.time_s("timestamp"),
        )  # fmt: skip

    def _as_values(self, label: str | None) -> tuple[str, ...]:
        """The tag or field value that stands for a label."""
        return () if label is None else (self.rules.shown(label),)

    # ------------------------------------------------------------------------------ out

    async def write(self, order: Order) -> Outcome:
        """Tells the receiver once per marker; whether an agent's value stays is its decision."""
        try:
            answered = await self._send(order)
        except HelpdeskFailed as error:
            if error.status == "conflict":  # 409: the receiver keeps what an agent has set
                return Outcome(status="kept_human", rate=error.rate)
            return Outcome(status=error.status, retry_after_s=error.retry_after_s, rate=error.rate)
        return outcome(order, (), wrote=True, rate=answered.rate)

    async def _send(self, order: Order) -> Answered:
        now_s, data = time.time(), {"id": order.ticket_id} | msgspec.to_builtins(order.effect)
        body = {"type": "ticket.classified", "timestamp": int(now_s), "data": data}
        content = msgspec.json.encode(body)
        headers = {}
        if self._secrets:
            headers = _signed(self._secrets[0], order.effect.marker, now_s, content)
        return await self.api.call("POST", "", content, headers=headers)

    async def _read(self, ticket_id: str) -> Snapshot:
        raise HelpdeskFailed("refused")

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        raise HelpdeskFailed("refused")


def _signed(secret: bytes, id: str, now_s: float, body: bytes) -> dict[str, str]:
    at = str(int(now_s))
    signature = SCHEME.sign(secret, f"{id}.{at}.".encode() + body)
    return {ID: id, TIME: at, SIGNATURE: signature}
