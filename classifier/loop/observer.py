"""What the loop tells about itself."""

from __future__ import annotations

from typing import Protocol

from classifier.inbox.queues import Depth, QueueName


class LoopObserver(Protocol):
    """Told about the loop; label values from closed sets. Promise: returns at once, never raises."""

    def delivery(self, account: str, outcome: str, duration_s: float) -> None:
        """A webhook was answered: accepted, duplicate, ignored, handshake, busy, not_genuine, malformed."""
        ...

    def queue_depth(self, queue: QueueName, depth: Depth) -> None: ...

    def entry_ended(self, queue: QueueName, outcome: str, duration_s: float) -> None:
        """A worker let go of an entry: done in one of several ways, handed back, or buried."""
        ...

    def looped(self, account: str, age_s: float) -> None:
        """A ticket carries its label: seconds from its delivery to the write-back's end."""
        ...

    def write_back(self, account: str, status: str) -> None: ...

    def correction(self, account: str, kind: str) -> None:
        """A label changed in the helpdesk: corrected, removed, or echo (it was our own)."""
        ...

    def writes_allowed(self, account: str, per_minute: float) -> None: ...
