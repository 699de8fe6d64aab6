"""Works the inbox: classifies what arrived, and learns from what agents changed."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec import structs

from classifier.config.inbox import Inbox as InboxConfig
from classifier.errors import CallerError, ServiceError
from classifier.helpdesks.desk import Desk
from classifier.helpdesks.port import Event, HelpdeskFailed
from classifier.inbox.queues import Claimed, Entry, FollowUp, Queues
from classifier.ledger import LedgerAway
from classifier.loop.intake import Desks
from classifier.loop.memory import Memory
from classifier.loop.messages import Arrived, Poll, WriteBack, decode, encode
from classifier.loop.observer import LoopObserver
from classifier.loop.worker import Again, Bury, Done, Verdict
from classifier.records import Classification, Ticket

_POLLED = "poll:"


class Classify(Protocol):
    """The pipeline as the loop sees it. Raises ServiceError, or CallerError for an unusable ticket."""

    async def __call__(self, ticket: Ticket, account: str, timeout_s: float) -> Classification: ...


class Corrections(Protocol):
    """The ledger as the loop sees it. Raises LedgerAway."""

    async def corrected(
        self, account: str, ticket_id: str, label: str, by: str | None = None
    ) -> object: ...


class Reader:
    """One inbox entry to its verdict. Everything it does may be done twice without harm."""

    def __init__(
        self,
        desks: Desks,
        classify: Classify,
        corrections: Corrections | None,
        queues: Queues,
        config: InboxConfig,
        observer: LoopObserver,
    ) -> None:
        self._desks = desks
        self._classify = classify
        self._corrections = corrections
        self._queues = queues
        self._memory = Memory(queues, config.remember_s)
        self._config = config
        self._observer = observer

    async def handle(self, claimed: Claimed) -> Verdict:
        try:
            message = decode(claimed.entry.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Bury("unreadable")
        desks = self._desks()
        if isinstance(message, Arrived) and (desk := desks.get(message.event.account)):
            return await self._event(claimed, message.event, desk)
        if isinstance(message, Poll) and (desk := desks.get(message.account)):
            return await self._poll(desk)
        return Again("unknown_account")  # a reload may bring it back

    async def _event(self, claimed: Claimed, event: Event, desk: Desk) -> Verdict:
        if event.kind == "changed":
            return await self._changed(event, desk)
        if event.kind == "ignored":
            return Done("ignored")
        if _is_polled(claimed) and await self._memory.label(event.account, event.ticket_id):
            return Done("known")  # its webhook came after all
        try:
            ticket = event.ticket or (await desk.fetch(event.ticket_id)).ticket
        except HelpdeskFailed as failure:
            return _fetch_failed(failure)
        if ticket is None or not ticket.text.strip():
            return Done("empty")
        return await self._classified(claimed, event, desk, ticket)

    async def _classified(
        self, claimed: Claimed, event: Event, desk: Desk, ticket: Ticket
    ) -> Verdict:
        named = structs.replace(ticket, id=event.ticket_id)
        try:
            classification = await self._classify(
                named, event.account, self._config.ticket_timeout_s
            )
        except ServiceError as error:
            pause_s = error.retry_after_s
            return Again(error.slug.replace("-", "_"), None if pause_s is None else float(pause_s))
        except CallerError:
            return Bury("refused")
        answer = classification.answer
        await self._memory.predicted(event.account, event.ticket_id, answer.label)
        wanted = desk.effect(answer.label, answer.confidence, event.key)
        if wanted is None:
            return Done("classified")
        message = WriteBack(event.account, event.ticket_id, wanted, claimed.accepted_at)
        entry = Entry(claimed.entry.key, encode(message), claimed.entry.order)
        return Done("classified", (FollowUp("outbox", entry),))

    async def _changed(self, event: Event, desk: Desk) -> Verdict:
        writes = await self._memory.writes(event.account, event.ticket_id)
        for ours in (writes.pending, writes.written):
            if ours is not None and desk.correction(event, ours) is None:
                self._observer.correction(event.account, "echo")
                return Done("echo")
        found = desk.correction(event, writes.written)
        if found is None:
            return Done("unrelated")
        if found.to_label is None:
            self._observer.correction(event.account, "removed")
            return Done("removed")
        if self._corrections is not None:
            try:
                await self._corrections.corrected(
                    event.account, event.ticket_id, found.to_label, found.by
                )
            except LedgerAway:
                return Again("ledger_away", counts=False)
        self._observer.correction(event.account, "corrected")
        return Done("corrected")

    async def _poll(self, desk: Desk) -> Verdict:
        """Puts tickets of which nothing is known into the inbox, page by page."""
        try:
            page = await desk.poll(await self._memory.cursor(desk.name))
        except HelpdeskFailed as failure:
            return Again(f"helpdesk_{failure.status}", failure.retry_after_s)
        new = [event for event in page.events if event.kind == "arrived" and event.ticket_id]
        entries = [
            Entry(f"{_POLLED}{event.account}:{event.ticket_id}", encode(Arrived(event)),
                  f"{event.account}:{event.ticket_id}")
            for event in new
            if await self._memory.label(event.account, event.ticket_id) is None
        ]  # fmt: skip
        if entries:
            await self._queues.put("inbox", entries)
        await self._memory.keep_cursor(desk.name, page.cursor)
        return Again("polled", 0.0, counts=False) if page.more else Done("polled")


def _is_polled(claimed: Claimed) -> bool:
    return claimed.entry.key.startswith(_POLLED)


def _fetch_failed(failure: HelpdeskFailed) -> Verdict:
    if failure.status == "gone":
        return Done("gone")
    if failure.status == "refused":
        return Bury("refused")
    return Again(f"helpdesk_{failure.status}", failure.retry_after_s)
