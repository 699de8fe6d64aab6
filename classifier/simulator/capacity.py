"""A model server takes so many calls at once; the others wait in line and only get slower."""

from __future__ import annotations

import heapq


class Capacity:
    """Tells how long a call takes with its wait; it neither sleeps nor looks at a clock.

    First come, first served. A call whose client has gone away is worked off all the same, as by a
    server that only notices when it sends the answer.
    """

    def __init__(self, max_concurrency: int) -> None:
        self._free_at = [0.0] * max_concurrency

    def took_s(self, works_s: float, now_s: float) -> float:
        """Seconds until the answer to a call that comes now and is worked on for `works_s`."""
        if not self._free_at:
            return works_s
        begins = max(now_s, self._free_at[0])
        heapq.heapreplace(self._free_at, begins + works_s)
        return begins + works_s - now_s
