"""What is known of a ticket across workers: its prediction and what we wrote to it."""

from __future__ import annotations

import msgspec

from classifier.helpdesks.port import Written
from classifier.inbox.queues import Queues
from classifier.loop.messages import Writes, decode_writes, encode_writes


class Memory:
    """Facts per ticket in the queues' own durable place. Calls raise Away as the queues do.

    A ticket's entries are worked one at a time per queue, and each fact has one writer: the
    reader remembers labels, the writer what it wrote.
    """

    def __init__(self, queues: Queues, ttl_s: float) -> None:
        self._queues = queues
        self._ttl_s = ttl_s

    async def label(self, account: str, ticket_id: str) -> str | None:
        """The label that was predicted last; None for a ticket that was never classified."""
        found = await self._queues.recall(f"label:{account}:{ticket_id}")
        return None if found is None else found.decode()

    async def predicted(self, account: str, ticket_id: str, label: str) -> None:
        await self._queues.remember(f"label:{account}:{ticket_id}", label.encode(), self._ttl_s)

    async def writes(self, account: str, ticket_id: str) -> Writes:
        found = await self._queues.recall(f"writes:{account}:{ticket_id}")
        if found is None:
            return Writes()
        try:
            return decode_writes(found)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Writes()  # of another version: as if nothing were known

    async def about_to_write(
        self, account: str, ticket_id: str, pending: Written
    ) -> Written | None:
        """Keeps what is about to be written; what was written before."""
        before = (await self.writes(account, ticket_id)).written
        await self._keep_writes(account, ticket_id, Writes(before, pending))
        return before

    async def wrote(self, account: str, ticket_id: str, written: Written) -> None:
        await self._keep_writes(account, ticket_id, Writes(written))

    async def cursor(self, account: str) -> str:
        found = await self._queues.recall(f"cursor:{account}")
        return "" if found is None else found.decode()

    async def keep_cursor(self, account: str, cursor: str) -> None:
        await self._queues.remember(f"cursor:{account}", cursor.encode(), self._ttl_s)

    async def _keep_writes(self, account: str, ticket_id: str, writes: Writes) -> None:
        key = f"writes:{account}:{ticket_id}"
        await self._queues.remember(key, encode_writes(writes), self._ttl_s)
