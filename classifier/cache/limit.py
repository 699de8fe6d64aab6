"""A time limit that blames Redis only for Redis: asyncio.timeout for a busy process."""

from __future__ import annotations

import asyncio
from types import TracebackType

# After the limit a reply that has arrived meanwhile is still read: one turn of the event loop takes
# the bytes in, the next one wakes the look-up, the third is for a connection that was waited for.
_TURNS = 3


class Limit:
    """Raises TimeoutError like asyncio.timeout, a few turns of the loop after `timeout_s`.

    In a burst a single turn of the loop takes longer than the limit. The reply lies in the socket by
    then, but asyncio.timeout would fire in the very turn that reads it: a thousand identical tickets
    at once would all count as failures of a Redis that is well.
    """

    __slots__ = ("_handle", "_loop", "_timeout", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._handle: asyncio.Handle = self._loop.call_later(self._timeout_s, self._due, _TURNS)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _due(self, turns: int) -> None:
        if turns:
            self._handle = self._loop.call_soon(self._due, turns - 1)
        else:
            self._timeout.reschedule(self._loop.time())
