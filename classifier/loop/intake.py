"""The webhook's side of the loop: proof, reading, and safety before the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from classifier.errors import CallerError, Malformed, NotFound, NotGenuine
from classifier.helpdesks.desk import Desk
from classifier.helpdesks.port import Answer, Delivery, Event, Handshake
from classifier.inbox.queues import Away, Entry, Queues
from classifier.loop.messages import Arrived, encode
from classifier.loop.observer import LoopObserver

Desks = Callable[[], Mapping[str, Desk]]


class Intake:
    """Promise: answers with the vendor's `accepted` only when every event is safe in the inbox."""

    def __init__(self, desks: Desks, queues: Queues, observer: LoopObserver) -> None:
        self._desks = desks
        self._queues = queues
        self._observer = observer

    async def take(self, source: str, delivery: Delivery) -> Answer:
        """Raises NotFound, NotGenuine or Malformed; counts everything but unknown sources."""
        desk = self._desks().get(source)
        if desk is None:
            raise NotFound(f"there is no helpdesk {source!r} in the config")
        started = perf_counter()
        outcome = "unexpected"
        try:
            outcome, answer = await self._take(desk, delivery)
        except CallerError as error:
            outcome = "not_genuine" if isinstance(error, NotGenuine) else "malformed"
            raise
        finally:
            self._observer.delivery(desk.name, outcome, perf_counter() - started)
        return answer

    async def _take(self, desk: Desk, delivery: Delivery) -> tuple[str, Answer]:
        desk.verify(delivery)
        parsed = desk.parse(delivery)
        if isinstance(parsed, Handshake):
            return "handshake", parsed.answer
        entries = [_entry(event) for event in parsed if event.kind != "ignored"]
        if not entries:
            return "ignored", desk.manners.accepted
        try:
            new = await self._queues.put("inbox", entries)
        except Away:
            return "busy", desk.manners.busy
        return "accepted" if new else "duplicate", desk.manners.accepted


def _entry(event: Event) -> Entry:
    if not event.ticket_id:
        raise Malformed("the event names no ticket")
    return Entry(
        f"{event.account}:{event.key}",
        encode(Arrived(event)),
        f"{event.account}:{event.ticket_id}",
    )
