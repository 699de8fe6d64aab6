"""Jira Service Management (Cloud): admin webhooks in, one issue update and one comment out.

Webhooks: developer.atlassian.com/cloud/jira/platform/webhooks. Calls are common knowledge; nobody
could try them. A group is left to the site's own automation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered
from classifier.helpdesks.body import Body, read, ticket
from classifier.helpdesks.desk import Desk, Snapshot
from classifier.helpdesks.effects import Missing, Part
from classifier.helpdesks.logins import basic, bearer
from classifier.helpdesks.port import Change, Delivery, Event, Held, Manners, Parsed
from classifier.helpdesks.rates import RateHeaders

SCHEME = signatures.Scheme("sha256", "hex", "sha256=")
SIGNATURE = "x-hub-signature"
_DEEPEST = 32  # levels of a document that are read


class Jira(Desk):
    vendor = "jira"
    # 408, 409, 425, 429, 5xx: up to five times, 5 to 15 minutes apart.
    manners = Manners(resends=True, ack_deadline_s=20.0)
    rate = RateHeaders(limit="x-ratelimit-limit", remaining="x-ratelimit-remaining")
    logins: ClassVar = {"basic": basic, "bearer": lambda _, key: bearer(key)}
    usual_priorities = ("Medium",)
    targets = frozenset({"tag", "field", "priority", "note"})

    def _check_signature(self, delivery: Delivery) -> None:
        sent = delivery.headers.get(SIGNATURE)
        signatures.check_hmac(SCHEME, sent, delivery.body, self.account.secrets)

    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: SCHEME.sign(secret, body)}

    # ------------------------------------------------------------------------------- in

    def parse(self, delivery: Delivery) -> Parsed:
        body = read(delivery.body)
        topic, id = body.text("webhookEvent"), body.ticket_id("issue", "key")
        key = f"{topic}:{id}:{body.text('timestamp')}"
        if not id:
            return (self._ignored(key, "unknown"),)
        if topic == "jira:issue_created":
            return (self._arrived(body, f"created:{id}", id, _prose(_description(body))),)
        if topic == "comment_created":
            return (self._commented(body, id),)
        if topic != "jira:issue_updated":
            return (self._ignored(key, "unknown", id),)
        changes = tuple(self._changes(body))
        if not changes:
            return (self._ignored(key, "unknown", id),)
        user = body.at("user")
        actor, own = user.some("accountId"), self._own(user.some("accountId"))
        return (
            Event(
                key=key, kind="changed", account=self.name, ticket_id=id, changes=changes,
                held=self._held(body.at("issue")), actor=actor,
                own=True if user.text("accountType") == "app" else own,
                stamp=body.text("issue", "fields", "updated"), happened_at_s=body.time_s("timestamp"),
            ),
        )  # fmt: skip

    def _commented(self, body: Body, id: str) -> Event:
        comment = body.at("comment")
        key = f"comment:{comment.text('id')}"
        if not self.entry.replies:
            return self._ignored(key, "reply", id)
        if (
            comment.text("author", "accountType") != "customer"
            or comment.at("jsdPublic").value is False
        ):
            return self._ignored(key, "agent", id)
        return self._arrived(body, key, id, _prose(comment.at("body")))

    def _arrived(self, body: Body, key: str, id: str, text: str) -> Event:
        fields, actor = body.at("issue", "fields"), body.some("user", "accountId")
        found = ticket(
            id=id, subject=fields.text("summary"), body=text, tags=fields.words("labels")
        )
        return Event(
            key=key, kind="arrived", account=self.name, ticket_id=id,
            ticket=found if text or found.subject else None, actor=actor, own=self._own(actor),
            stamp=fields.text("updated"), happened_at_s=body.time_s("timestamp"),
        )  # fmt: skip

    def _changes(self, body: Body) -> Iterator[Change]:
        field = self.rules.actions.field
        for item in body.items("changelog", "items"):
            before, after = item.text("fromString"), item.text("toString")
            name = item.text("fieldId") or item.text("field")
            if name == "labels":
                old, new = before.split(), after.split()
                yield Change(
                    "tag",
                    tuple(tag for tag in new if tag not in old),
                    tuple(tag for tag in old if tag not in new),
                )
            elif name == "priority":
                yield Change(
                    "priority", *(tuple(filter(None, (side,))) for side in (after, before))
                )
            elif field is not None and name == field.id:
                yield Change("field", *(tuple(filter(None, (side,))) for side in (after, before)))

    def _held(self, issue: Body) -> Held:
        fields, field = issue.at("fields"), self.rules.actions.field
        return Held(
            tags=fields.words("labels"),
            field=(fields.some(field.id, "value") or fields.some(field.id)) if field else None,
            priority=fields.some("priority", "name"),
        )

    # ------------------------------------------------------------------------------ out

    async def _read(self, ticket_id: str) -> Snapshot:
        field = self.rules.actions.field
        names = ["labels", "priority", "updated", *([field.id] if field else [])]
        query = {"fields": ",".join(names)}
        found = (await self.api.call("GET", f"/rest/api/3/issue/{ticket_id}", query=query)).body
        return Snapshot(self._held(found), found, found.text("fields", "updated"))

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        path = f"/rest/servicedeskapi/request/{ticket_id}/comment"
        found = await self.api.call("GET", path, query={"public": "false", "limit": 100})
        return any(mark in each.text("body") for each in found.body.items("values"))

    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        change: dict[str, Any] = {}
        if todo.add or todo.drop:  # each adds or takes off one label
            labels = [{"add": tag} for tag in todo.add] + [{"remove": tag} for tag in todo.drop]
            change["update"] = {"labels": labels}
        fields: dict[str, Any] = {}
        field = self.rules.actions.field
        if todo.field is not None and field is not None:
            fields[field.id] = {"value": todo.field}
        if todo.priority is not None:
            fields["priority"] = {"name": todo.priority}
        if fields:
            change["fields"] = fields
        if change:
            path = f"/rest/api/3/issue/{ticket_id}"
            return todo.parts - {"note"}, await self.api.call("PUT", path, change)
        path = f"/rest/servicedeskapi/request/{ticket_id}/comment"
        note = {"body": todo.note, "public": False}
        return frozenset({"note"}), await self.api.call("POST", path, note)

    async def fetch(self, ticket_id: str) -> Event:
        found = (await self.api.call("GET", f"/rest/api/3/issue/{ticket_id}")).body
        fields = found.at("fields")
        return Event(
            key=f"fetch:{ticket_id}", kind="arrived", account=self.name, ticket_id=ticket_id,
            ticket=ticket(
                id=ticket_id, subject=fields.text("summary"),
                body=_prose(fields.at("description")), tags=fields.words("labels"),
            ),
            stamp=fields.text("updated"), happened_at_s=fields.time_s("created"),
        )  # fmt: skip


def _description(body: Body) -> Body:
    return body.at("issue", "fields", "description")


def _prose(text: Body, depth: int = 0) -> str:
    """A text, or the texts of a document in Atlassian's format, block by block."""
    if text.some():
        return text.text()
    if depth > _DEEPEST:
        return ""
    if text.some("text"):
        return text.text("text")
    parts = [_prose(each, depth + 1) for each in text.items("content")]
    inline = text.text("type") in ("paragraph", "heading")
    return ("" if inline else "\n").join(filter(None, parts))
